"""The switches that make the same machine give the same bits; thread count and device are params."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.config import STRICT
from recap.errors import InputError


@dataclass(config=STRICT, frozen=True)
class RuntimeConfig:
    """Where and with how many threads the numbers are computed; both change floating-point sums."""

    threads: Annotated[int, Ge(1), Le(256)]
    device: Literal["cpu", "cuda"]


def configure(config: RuntimeConfig) -> Any:
    """Set the deterministic switches before the first operation.

    Returns:
        The ``torch.device`` to compute on.

    Raises:
        InputError: ``runtime.device`` is "cuda" and no CUDA device is there.
    """
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("runtime.device: expected a device of this machine, received 'cuda'")
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    # would fill every new tensor, against reads of what nobody wrote; the tests compare bytes instead
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return torch.device(config.device)
