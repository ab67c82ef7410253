"""SqueezeNet 1.1 under torchvision's parameter names.

Source: Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", arXiv:1602.07360,
in the authors' release 1.1. Shapes: N batch, C channels, H and W height and width, D feature width (512).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recap.backbones.backbone import Backbone

CLASS_COUNT = 1000
FEATURE_DIM = 512
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Fire(nn.Module):
    """Squeeze to few channels, then expand with 1x1 and 3x3 kernels side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, kernel_size=1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 2 * expanded, H, W)."""
        x = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


class SqueezeNet(Backbone):
    """SqueezeNet 1.1: an ImageNet classifier with 1.2 million weights.

    Its last maps are those of the last fire module, about (N, D, H / 16, W / 16).
    """

    name = "squeezenet1_1"
    input_size = 224
    shorter_side = 256
    feature_dim = FEATURE_DIM
    maps_layer = "features"

    def __init__(self, class_names: Sequence[str]) -> None:
        super().__init__()
        self.heads = {"class": tuple(class_names)}
        # Set past nn.Module's attributes: torchvision's name of these layers is also the method's name.
        self._modules["features"] = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=3, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        )
        # Dropout keeps the convolution's place in the parameter names.
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(FEATURE_DIM, CLASS_COUNT, kernel_size=1))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, 1000), none below 0: ReLU comes before the mean over positions."""
        return torch.relu(self.classifier(self.maps(x))).mean(dim=(2, 3))
