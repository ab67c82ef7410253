"""Saliency maps equal captum's and finite differences; bad input is one line."""

import pytest
import torch
from captum.attr import Saliency
from torch import Tensor, nn

from recap.backbones.backbone import Backbone
from recap.errors import InputError
from recap.explain.saliency import compute_saliency_maps


def test_saliency_equals_captum(random_squeezenet: Backbone) -> None:
    x = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    y = torch.tensor([3, 977, 0])
    expected = Saliency(random_squeezenet).attribute(x.clone().requires_grad_(), target=y, abs=True)
    maps = compute_saliency_maps(x, y, random_squeezenet)
    assert maps.shape == (3, 96, 96)
    assert (maps - expected.amax(dim=1)).abs().max() <= 1e-6
    assert maps.max() > 0


def test_saliency_equals_finite_differences(tiny_backbone: Backbone) -> None:
    generator = torch.Generator().manual_seed(2)
    model = TinyDouble(tiny_backbone)
    x = torch.randn(2, 3, 12, 12, generator=generator, dtype=torch.float64)
    y = torch.tensor([1, 4])
    maps = compute_saliency_maps(x, y, model)
    step = 1e-5
    for row, column in [(0, 0), (3, 7), (8, 8)]:
        slopes = []
        for channel in range(3):
            moved = x.clone()
            moved[:, channel, row, column] += step
            back = x.clone()
            back[:, channel, row, column] -= step
            difference = (model(moved) - model(back)).gather(1, y.view(-1, 1)).squeeze(1)
            slopes.append(difference.abs() / (2 * step))
        assert torch.allclose(maps[:, row, column], torch.stack(slopes).amax(dim=0), atol=1e-8)


class TinyDouble(nn.Module):
    """A backbone in double precision."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        import copy

        self.backbone = copy.deepcopy(backbone).double()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.backbone(x)
        return logits


def test_an_image_has_the_same_map_alone_and_in_a_batch(tiny_backbone: Backbone) -> None:
    x = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    y = torch.tensor([0, 1, 2, 3])
    together = compute_saliency_maps(x, y, tiny_backbone)
    alone = torch.cat([compute_saliency_maps(x[i : i + 1], y[i : i + 1], tiny_backbone) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-7)


def test_weights_and_images_are_left_as_they_are(tiny_backbone: Backbone) -> None:
    x = torch.rand(1, 3, 12, 12)
    compute_saliency_maps(x, torch.tensor([0]), tiny_backbone)
    assert not x.requires_grad
    assert all(weight.grad is None for weight in tiny_backbone.parameters())


class Blind(nn.Module):
    """Logits that do not depend on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias.expand(len(x), 5)


class Rounded(nn.Module):
    """Logits through a step that has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach().mean(dim=(2, 3))


@pytest.mark.parametrize("model", [Blind(), Rounded()])
def test_a_model_without_gradients_is_refused(model: nn.Module) -> None:
    with pytest.raises(InputError, match="expected a model with gradients from logits to image"):
        compute_saliency_maps(torch.rand(1, 3, 12, 12), torch.tensor([0]), model)


@pytest.mark.parametrize("target", [-1, 1000, 5000])
def test_a_class_out_of_range_is_refused(target: int, random_squeezenet: Backbone) -> None:
    with pytest.raises(InputError, match=rf"expected a class index in 0\.\.999, received {target}"):
        compute_saliency_maps(torch.rand(1, 3, 64, 64), torch.tensor([target]), random_squeezenet)


def test_images_that_the_model_cannot_take_are_refused(random_squeezenet: Backbone) -> None:
    with pytest.raises(InputError, match="expected a size that SqueezeNet takes, received 8 x 8") as caught:
        compute_saliency_maps(torch.rand(1, 3, 8, 8), torch.tensor([0]), random_squeezenet)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"expected \(N, 3, H, W\) float32"):
        compute_saliency_maps(torch.rand(3, 64, 64), torch.tensor([0]), random_squeezenet)
    with pytest.raises(InputError, match=r"targets: expected \(1,\) int64"):
        compute_saliency_maps(torch.rand(1, 3, 64, 64), torch.tensor([0, 1]), random_squeezenet)
