"""The backbones that explanations are tested on."""

from tests.backbones.conftest import random_squeezenet as random_squeezenet
from tests.backbones.conftest import squeezenet as squeezenet
from tests.backbones.conftest import squeezenet_directory as squeezenet_directory
from tests.backbones.conftest import tiny_backbone as tiny_backbone
