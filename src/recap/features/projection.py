"""The PCA that the stage `reduce` fitted, as decoders need it: from features to reduced features.

Shapes: N batch, D feature, K reduced feature.
"""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from recap.errors import InputError

FILE = "pca.safetensors"


class Projection(nn.Module):
    """PCA as the stage `reduce` fitted it, differentiable.

    Args:
        components: (K, D).
        mean: (D,).
    """

    components: Tensor
    mean: Tensor

    def __init__(self, components: Tensor, mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("components", components.float())
        self.register_buffer("mean", mean.float())

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, K)."""
        return (features - self.mean) @ self.components.T


def load_projection(path: Path) -> nn.Module:
    """Read pca.safetensors; where there is none, features pass as they are.

    Raises:
        InputError: the file holds something else.
    """
    if not path.is_file():
        return nn.Identity()
    try:
        tensors = load_file(path)
        projection = Projection(tensors["components"], tensors["mean"])
    except (OSError, SafetensorError, LookupError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{path}: expected components and mean of a PCA, received: {reason}") from None
    shapes = projection.components.shape, projection.mean.shape
    if shapes[0][1:] != shapes[1] or len(shapes[1]) != 1:
        shown = " and ".join(str(tuple(shape)) for shape in shapes)
        raise InputError(f"{path}: expected components (K, D) and mean (D,) of a PCA, received {shown}")
    return projection
