"""Class visualization: preprocessing, jitter, blur, the update step, and both parameterisations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from recap.backbones.backbone import Backbone, OneHead
from recap.backbones.normalisation import valid_range
from recap.errors import InputError
from recap.explain.class_scores import score_gradients
from recap.explain.class_visualization import (
    blur_image,
    class_visualization_update_step,
    create_class_visualization,
    deprocess,
    jitter,
    preprocess,
)
from recap.explain.fourier_visualization import create_fourier_visualization

CREATORS = [create_class_visualization, create_fourier_visualization]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded())


def test_deprocess_undoes_preprocess(tiny_backbone: Backbone) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    x = preprocess(Image.fromarray(pixels), 12, tiny_backbone)
    assert x.shape == (1, 3, 12, 12)
    assert np.array_equal(np.asarray(deprocess(x, tiny_backbone)), pixels)
    assert preprocess(Image.new("L", (40, 30)), 12, tiny_backbone).shape == (1, 3, 12, 12)


@given(st.integers(-20, 20), st.integers(-20, 20))
def test_jitter_back_gives_the_image_back(ox: int, oy: int) -> None:
    x = noise(2, 3, 9, 9)
    assert torch.equal(jitter(jitter(x, ox, oy), -ox, -oy), x)


def test_jitter_moves_right_and_down() -> None:
    x = torch.zeros(1, 3, 4, 4)
    x[0, :, 1, 1] = 1
    assert (jitter(x, 1, 2)[0, :, 3, 2] == 1).all()


def test_blur_keeps_the_mean_and_the_colours_apart() -> None:
    x = torch.zeros(2, 3, 9, 9)
    x[0, 1, 4, 4] = 1
    blurred = blur_image(x, 0.5)
    assert torch.isclose(blurred[0, 1].sum(), torch.tensor(1.0), atol=1e-5)
    assert 0 < blurred[0, 1, 4, 3] < blurred[0, 1, 4, 4] < 1
    assert blurred[0, 0].abs().max() == blurred[1].abs().max() == 0
    assert torch.allclose(blur_image(torch.ones(1, 3, 5, 5), 0.5), torch.ones(1, 3, 5, 5))


def test_the_update_step_climbs_the_regularised_score(tiny_backbone: Backbone) -> None:
    img = noise(2, 3, 12, 12)
    before = img.clone()
    targets = torch.tensor([1, 4])
    gradients, _ = score_gradients(tiny_backbone, before, targets)
    expected = gradients - 2 * 0.1 * before
    returned = class_visualization_update_step(img, tiny_backbone, targets, 0.1, 0.5)
    assert returned is img
    step = img - before
    assert torch.allclose(step.flatten(1).norm(dim=1), torch.full((2,), 0.5), atol=1e-5)
    assert torch.allclose(step, 0.5 * expected / expected.flatten(1).norm(dim=1).view(2, 1, 1, 1), atol=1e-6)


@pytest.mark.parametrize(("create", "options"), [(CREATORS[0], {"learning_rate": 0.5}), (CREATORS[1], {})])
def test_the_score_rises_and_pixels_stay_valid(create, options, tiny_backbone: Backbone) -> None:
    model = OneHead(tiny_backbone, "digit")
    targets = torch.tensor([0, 1, 2])
    options = {"max_jitter": 2, **options}
    start = create(targets, model, tiny_backbone, 12, seeded(), iterations=0, **options)
    grown = create(targets, model, tiny_backbone, 12, seeded(), iterations=50, **options)
    assert (model(grown.images).diag() > model(start.images).diag() + 0.05).all()
    assert torch.allclose(grown.probabilities, model(grown.images).softmax(dim=1).diag())
    low, high = valid_range(tiny_backbone)
    assert (grown.images >= low - 1e-5).all()
    assert (grown.images <= high + 1e-5).all()
    assert list(grown.snapshots) == [25, 50]
    assert torch.equal(grown.snapshots[50], grown.images)


@pytest.mark.parametrize("create", CREATORS)
def test_a_class_gets_the_same_image_alone_as_in_a_batch(create, tiny_backbone: Backbone) -> None:
    options = {"iterations": 5, "max_jitter": 2}
    both = create(torch.tensor([0, 3]), tiny_backbone, tiny_backbone, 12, seeded(), **options)
    alone = create(torch.tensor([3]), tiny_backbone, tiny_backbone, 12, seeded(), **options)
    again = create(torch.tensor([3]), tiny_backbone, tiny_backbone, 12, seeded(), **options)
    assert torch.allclose(both.images[1], alone.images[0], atol=1e-3)
    assert torch.equal(alone.images, again.images)


@pytest.mark.parametrize("create", CREATORS)
def test_a_class_out_of_range_is_refused(create, tiny_backbone: Backbone) -> None:
    with pytest.raises(InputError, match=r"expected a class index in 0\.\.4, received 5"):
        create(torch.tensor([5]), tiny_backbone, tiny_backbone, 12, seeded())


class Contrast(torch.nn.Module):
    """Wakes only where neighbouring pixels differ enough, as the units of a trained network do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = torch.relu((x[..., 1:] - x[..., :-1]).abs().mean(dim=(1, 2, 3)) - 0.01)
        return torch.stack([score, torch.zeros_like(score)], dim=1)


def test_the_first_spectrum_wakes_units_that_a_flat_image_does_not(tiny_backbone: Backbone) -> None:
    model, target = Contrast(), torch.tensor([0])
    probability = {}
    for iterations in (0, 20):
        grown = create_fourier_visualization(
            target, model, tiny_backbone, 64, seeded(), iterations=iterations, max_jitter=2
        )
        probability[iterations] = grown.probabilities.item()
    assert probability[20] > probability[0] > 0.5
