"""VGG-16 and ResNets under torchvision's parameter names, whose published weights they take.

Sources: Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D; He et al. 2016, arXiv:1512.03385, with
the stride in the 3 x 3 convolution, as torchvision has it.
Shapes: N batch, C channels, H and W height and width, D feature width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recap.backbones.backbone import Backbone
from recap.backbones.squeezenet import CLASS_COUNT, IMAGENET_MEAN, IMAGENET_STD
from recap.runtime.allocation import allocate

VGG_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each block; pooling halves the sides after it."""
VGG_SIDE, VGG_DIM = 7, 4096
RESNET_BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
EXPANSION = 4


class ImagenetBackbone(Backbone):
    """A classifier of ImageNet's classes; its weights hold nothing until they are loaded."""

    input_size = 224
    shorter_side = 256

    def __init__(self, class_names: Sequence[str]) -> None:
        super().__init__()
        self.heads = {"class": tuple(class_names)}
        with torch.device("meta"):  # to draw a hundred million weights that are replaced takes seconds
            self._build()
        allocate(self)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD), persistent=False)

    def _build(self) -> None:
        raise NotImplementedError


class Vgg16(ImagenetBackbone):
    """VGG-16, whose fc7 after its ReLU, 4,096 wide, are the features of CS231n's assignment.

    Its last maps are (N, 512, H / 32, W / 32).
    """

    name = "vgg16"
    feature_dim = VGG_DIM
    maps_layer = "features"

    def _build(self) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for width, count in VGG_BLOCKS:
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        # Set past nn.Module's attributes: torchvision's name of these layers is also the method's name.
        self._modules["features"] = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(VGG_SIDE)
        # Dropout keeps the layers' places in the parameter names.
        self.classifier = nn.Sequential(
            nn.Linear(512 * VGG_SIDE**2, VGG_DIM),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(VGG_DIM, VGG_DIM),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(VGG_DIM, CLASS_COUNT),
        )

    def pool(self, maps: Tensor) -> Tensor:
        """(N, 512, height, width) -> (N, 4096)."""
        x = self.avgpool(maps).flatten(1)  # (N, 512, 7, 7) -> (N, 25088)
        return self.classifier[:5](x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, 1000)."""
        return self.classifier[6](self.classifier[5](self.features(x)))


class Bottleneck(nn.Module):
    """Convolutions 1 x 1, 3 x 3 and 1 x 1 beside a way that passes them by."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        wide = width * EXPANSION
        self.conv1 = nn.Conv2d(channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, wide, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != wide:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, wide, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(wide)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 4 width, H / stride, W / stride)."""
        past = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return torch.relu(self.bn3(self.conv3(x)) + past)


class ResNet(ImagenetBackbone):
    """A residual network of ``RESNET_BLOCKS``; its feature is the mean over places, 2,048 wide."""

    feature_dim = 512 * EXPANSION
    maps_layer = "layer4"

    def __init__(self, name: str, class_names: Sequence[str]) -> None:
        self.name = name
        super().__init__(class_names)

    def _build(self) -> None:
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = 64
        for number, count in enumerate(RESNET_BLOCKS[self.name]):
            width = 64 << number
            blocks = []
            for place in range(count):
                blocks.append(Bottleneck(channels, width, stride=2 if number and not place else 1))
                channels = width * EXPANSION
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(self.feature_dim, CLASS_COUNT)

    def maps(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 2048, H / 32, W / 32)."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, 1000)."""
        return self.fc(self.features(x))
