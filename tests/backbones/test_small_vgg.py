"""The two streams: heads of form see no colour, heads of colours no detail."""

import pytest
import torch
from torch import Tensor

from recap.backbones.backbone import head_slices
from recap.backbones.scene_heads import HEADS
from recap.backbones.small_vgg import TwoStreamVgg, contrast
from recap.backbones.training import initialize

SLICES = head_slices(HEADS)
FORM = [name for name in HEADS if not name.endswith("_colour") and name != "background"]


@pytest.fixture(scope="module")
def backbone() -> TwoStreamVgg:
    network = TwoStreamVgg(32, HEADS).eval()
    initialize(network, torch.Generator().manual_seed(0))
    return network


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 4 - 2


def changed(backbone: TwoStreamVgg, images: Tensor, others: Tensor) -> set[str]:
    with torch.no_grad():
        differ = (backbone(images) - backbone(others)).abs().amax(0) > 1e-5
    return {name for name, rows in SLICES.items() if differ[rows].any()}


def test_form_is_the_same_in_other_colours(backbone: TwoStreamVgg, images: Tensor) -> None:
    others = images[:, [2, 0, 1]]  # red becomes green, and so on
    assert changed(backbone, images, others) == set(HEADS) - set(FORM)


def test_colours_are_read_at_half_the_size(backbone: TwoStreamVgg, images: Tensor) -> None:
    blocks = images.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (N, 3, 32, 2, 32, 2)
    others = blocks.flip(3, 5).flatten(4, 5).flatten(2, 3)
    assert changed(backbone, images, others) == {*FORM, "background"}


def test_contrast_is_the_distance_from_the_mean_colour() -> None:
    images = torch.zeros(1, 3, 4, 4)
    images[0, :, 0, 0] = torch.tensor([16.0, 0.0, 0.0])
    images[0, :, 3, 3] = torch.tensor([0.0, 0.0, 8.0])
    found = contrast(images)[0, 0]  # the mean is (1, 0, 0.5)
    assert found[0, 0] == 1
    assert found[3, 3] == pytest.approx((1 + 7.5**2) ** 0.5 / (15**2 + 0.25) ** 0.5, rel=1e-5)
    assert found[1, 2] == pytest.approx((1 + 0.25) ** 0.5 / (15**2 + 0.25) ** 0.5, rel=1e-5)


def test_an_image_of_one_colour_gives_finite_numbers_and_slopes(backbone: TwoStreamVgg) -> None:
    plain = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    backbone(plain).sum().backward()
    assert plain.grad is not None
    assert plain.grad.isfinite().all()


def test_gradients_reach_pixels_through_the_whole_network() -> None:
    network = TwoStreamVgg(
        8, {"first_digit": ("0", "1"), "first_colour": ("red", "blue"), "background": ("white",)}
    )
    initialize(network, torch.Generator().manual_seed(2))
    network.double().eval()
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x.requires_grad_()
    network(x)[0, 0].backward()
    direction = torch.rand(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    step = 1e-7
    with torch.no_grad():
        numerical = (network(x + step * direction) - network(x - step * direction))[0, 0] / (2 * step)
    assert x.grad is not None
    assert (x.grad * direction).sum() == pytest.approx(numerical.item(), rel=1e-4)
