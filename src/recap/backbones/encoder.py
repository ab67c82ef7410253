"""An encoder of the user's: a function in a Python file that makes a network and says what it takes.

Shapes: N batch, S side of the square input in pixels, D feature width.
"""

import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recap.backbones.backbone import Backbone
from recap.errors import InputError

NAME = "encoder"
LARGEST_SIZE = 4096


class Encoder(Backbone):
    """The user's network; it has no classes.

    Args:
        module: (N, 3, S, S) float32 -> (N, D) float32, or an object with that as ``pooler_output``.
        preprocessing: ``size`` (S), ``mean`` and ``std`` of RGB in 0..1, and where the defaults do not fit
            ``resize`` (the shorter side before the cut; S) and ``interpolation`` (bilinear | bicubic).

    Raises:
        InputError: the preprocessing is none, or the module gives something else.
    """

    name = NAME
    heads: Mapping[str, tuple[str, ...]] = {}

    def __init__(self, module: nn.Module, preprocessing: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module.eval()
        try:
            given = {"resize": preprocessing["size"], "interpolation": "bilinear", **preprocessing}
            self.input_size, self.shorter_side = int(given.pop("size")), int(given.pop("resize"))
            mean, std = ([float(value) for value in given.pop(key)] for key in ("mean", "std"))
            self.interpolation = str(given.pop("interpolation"))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"preprocessing: expected size, mean and std, received none: {error}") from None
        is_right = 0 < self.input_size <= self.shorter_side <= LARGEST_SIZE and len(mean) == len(std) == 3
        if given or not is_right or min(std) <= 0 or self.interpolation not in ("bilinear", "bicubic"):
            raise InputError(
                "preprocessing: expected size, resize (not less), mean and std (3 each), interpolation "
                f"(bilinear or bicubic), received {dict(preprocessing)}"
            )
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)
        with torch.no_grad():
            self.feature_dim = self.features(torch.zeros(1, 3, self.input_size, self.input_size)).shape[1]

    @property
    def network(self) -> nn.Module:
        """The user's module, under whose names the weights are kept."""
        return self.module

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) float32 -> (N, D) float32."""
        try:
            found = self.module(x)
        except Exception as error:  # the user's code
            raise InputError(f"encoder: expected features, received: {_reason(error)}") from None
        found = getattr(found, "pooler_output", found)
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(x):
            received = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(f"encoder: expected features ({len(x)}, D), received {received}")
        return found.float()

    def forward(self, x: Tensor) -> Tensor:
        """No logits: (N, 0)."""
        return x.new_zeros(len(x), 0)


def build_encoder(path: Path, function: str, *, pretrained: bool) -> Encoder:
    """Run the user's function in a Python file, which gives a module and its preprocessing.

    ``pretrained`` is passed on where it has such a parameter: False where weights are loaded.

    Raises:
        InputError: there is no such file or function, it fails, or gives something else.
    """
    where = f"{path}: {function}"
    try:
        specification = importlib.util.spec_from_file_location(f"recap_encoder_{path.stem}", path)
        assert specification is not None
        assert specification.loader is not None
        code = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(code)
        build = getattr(code, function)
        options = {"pretrained": pretrained} if "pretrained" in inspect.signature(build).parameters else {}
        module, preprocessing = build(**options)
        if not isinstance(module, nn.Module) or not isinstance(preprocessing, Mapping):
            raise TypeError(f"{type(module).__name__}, {type(preprocessing).__name__}")
        return Encoder(module, preprocessing)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except Exception as error:  # the user's code
        raise InputError(
            f"{where}: expected a module and its preprocessing, received: {_reason(error)}"
        ) from None


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
