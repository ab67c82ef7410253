"""Fooling images: the step's length, the stop, and what happens to a whole batch."""

import pytest
import torch
from torch import Tensor, nn

from recap.backbones.backbone import Backbone, OneHead
from recap.errors import InputError
from recap.explain.class_scores import score_gradients
from recap.explain.fooling import fool, make_fooling_image


def noise(count: int, side: int = 12) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(4))


def test_it_stops_when_the_target_is_the_top_class(tiny_backbone: Backbone) -> None:
    model = OneHead(tiny_backbone, "digit")
    x = noise(1)
    target = int(model(x).argmin())
    fooling = make_fooling_image(x, target, model)
    assert model(fooling).argmax() == target
    assert not torch.equal(fooling, x)
    assert torch.equal(x, noise(1))


def test_a_step_has_the_length_of_the_learning_rate(tiny_backbone: Backbone) -> None:
    x = noise(5)
    targets = tiny_backbone(x).argmin(dim=1)
    fooled = fool(x, targets, tiny_backbone, 0.01, 1)
    assert fooled.iterations.tolist() == [1] * 5
    step = fooled.images - x
    assert torch.allclose(step.flatten(1).norm(dim=1), torch.full((5,), 0.01), atol=1e-6)
    gradients, _ = score_gradients(tiny_backbone, x, targets)
    cosine = torch.cosine_similarity(step.flatten(1), gradients.flatten(1))
    assert torch.allclose(cosine, torch.ones(5), atol=1e-4)


def test_a_batch_is_fooled_image_by_image(tiny_backbone: Backbone) -> None:
    x = noise(6)
    targets = torch.tensor([0, 1, 2, 3, 4, 0])
    together = fool(x, targets, tiny_backbone, 1.0, 100)
    for i in range(6):
        alone = fool(x[i : i + 1], targets[i : i + 1], tiny_backbone, 1.0, 100)
        assert alone.iterations[0] == together.iterations[i]
        assert torch.allclose(alone.images[0], together.images[i], atol=1e-4)
    assert torch.equal(together.succeeded, tiny_backbone(together.images).argmax(dim=1) == targets)


def test_an_image_that_fools_already_stays_as_it_is(tiny_backbone: Backbone) -> None:
    x = noise(3)
    fooled = fool(x, tiny_backbone(x).argmax(dim=1), tiny_backbone, 1.0, 100)
    assert torch.equal(fooled.images, x)
    assert fooled.iterations.tolist() == [0, 0, 0]
    assert fooled.succeeded.all()


def test_a_class_without_gradient_is_given_up_and_stays_finite() -> None:
    class Dead(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x.mean(dim=(2, 3)), 0 * x.mean(dim=(1, 2, 3))[:, None] - 9], dim=1)

    fooled = fool(noise(1), torch.tensor([3]), Dead(), 1.0, 100)
    assert fooled.images.isfinite().all()
    assert not fooled.succeeded[0]
    assert fooled.iterations[0] == 0


def test_the_number_of_iterations_is_kept(tiny_backbone: Backbone) -> None:
    x = noise(2)
    fooled = fool(x, tiny_backbone(x).argmin(dim=1), tiny_backbone, 1e-9, 7)
    assert fooled.iterations.tolist() == [7, 7]
    assert not fooled.succeeded.any()


def test_a_class_out_of_range_is_refused(tiny_backbone: Backbone) -> None:
    with pytest.raises(InputError, match=r"expected a class index in 0\.\.2, received 3"):
        make_fooling_image(noise(1), 3, OneHead(tiny_backbone, "digit"))
