"""Real photographs through SqueezeNet: fooling and class visualization reach what they must."""

from pathlib import Path

import pytest
import torch

from recap.backbones.backbone import Backbone
from recap.backbones.images import load_images
from recap.explain.class_visualization import create_class_visualization
from recap.explain.fooling import fool

pytestmark = [pytest.mark.shared, pytest.mark.slow]


def test_random_targets_fool(shared: Path, squeezenet: Backbone) -> None:
    paths = sorted((shared / "real" / "images").iterdir())[::16]
    x = squeezenet.preprocess(load_images(paths, squeezenet))
    targets = torch.randint(0, 1000, (len(paths),), generator=torch.Generator().manual_seed(0))
    fooled = fool(x, targets, squeezenet, 1.0, 100)
    assert fooled.succeeded.float().mean() >= 0.95
    changes = (fooled.images - x) * squeezenet.std.view(1, 3, 1, 1)
    assert changes.abs().amax() < 0.5


def test_class_visualization_convinces(squeezenet: Backbone) -> None:
    targets = torch.tensor([76, 366])
    generator = torch.Generator().manual_seed(0)
    grown = create_class_visualization(targets, squeezenet, squeezenet, 224, generator, iterations=60)
    assert (grown.probabilities > 0.9).all()
