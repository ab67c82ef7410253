"""captum's methods behind our interface: axioms, determinism, and bad input in one line."""

import pytest
import torch
from torch import Tensor, nn

from recap.backbones.backbone import Backbone, OneHead
from recap.errors import InputError
from recap.explain.attributions import attribution_methods, grad_cam, integrated_gradients, smooth_gradients

METHODS = ["gradient", "SmoothGrad", "integrated gradients", "Grad-CAM"]


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(3))


class Linear(nn.Module):
    """Class c scores the sum of row c of the image times a weight."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(dim=(1, 3)) * 2  # (N, H)


def test_integrated_gradients_of_a_linear_model_are_exact() -> None:
    x = images()
    maps = integrated_gradients(x, torch.tensor([4, 7]), Linear())
    x = x - x.mean(dim=(2, 3), keepdim=True)
    expected = torch.zeros(2, 12, 12)
    expected[0, 4], expected[1, 7] = 2 * x[0, :, 4].sum(dim=0).abs(), 2 * x[1, :, 7].sum(dim=0).abs()
    assert torch.allclose(maps, expected, atol=1e-5)


def test_smoothgrad_of_a_linear_model_is_its_gradient_and_leaves_the_global_generator() -> None:
    state = torch.get_rng_state()
    maps = smooth_gradients(images(), torch.tensor([4, 7]), Linear())
    assert torch.equal(state, torch.get_rng_state())
    assert torch.allclose(maps[0, 4], torch.full((12,), 2.0))
    assert maps[0].sum() == 24


def test_grad_cam_finds_the_place_of_the_evidence() -> None:
    class Places(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.AvgPool2d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.maps(x).mean(dim=(2, 3))

    x = torch.zeros(1, 3, 12, 12)
    x[0, 1, :4, 8:] = 1
    model = Places()
    (heat,) = grad_cam(x, torch.tensor([1]), model, model.maps)
    row, column = divmod(int(heat.argmax()), 12)
    assert row < 4
    assert column >= 8


@pytest.mark.parametrize("name", METHODS)
def test_maps_are_not_negative_and_the_same_on_every_run(name: str, random_squeezenet: Backbone) -> None:
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    y = torch.tensor([0, 999])
    method = attribution_methods(random_squeezenet.last_maps)[name]
    maps = method(x, y, OneHead(random_squeezenet, "class"))
    assert maps.shape == (2, 64, 64)
    assert (maps >= 0).all()
    assert torch.equal(maps, method(x, y, OneHead(random_squeezenet, "class")))


@pytest.mark.parametrize("name", METHODS)
def test_a_class_out_of_range_is_refused(name: str, tiny_backbone: Backbone) -> None:
    method = attribution_methods(tiny_backbone.layers[0])[name]
    with pytest.raises(InputError, match=r"expected a class index in 0\.\.4, received 5"):
        method(images(), torch.tensor([0, 5]), tiny_backbone)
