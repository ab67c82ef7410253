"""The backbone that features are extracted with."""

from tests.backbones.conftest import random_squeezenet as random_squeezenet
