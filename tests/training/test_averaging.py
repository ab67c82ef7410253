"""The moving average of the weights, restated plainly."""

import numpy as np
import pytest
import torch
from torch import nn

from recap.training.averaging import averaged, update_average


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_the_recurrence_with_a_decay_that_warms_up(decay: float) -> None:
    generator = np.random.default_rng(0)
    model = nn.Linear(3, 2).double()
    average: dict[str, torch.Tensor] = {}
    expected = None
    for step in range(20):
        weights = generator.normal(size=(2, 3))
        with torch.no_grad():
            model.weight.copy_(torch.from_numpy(weights))
        update_average(average, model, decay, step)
        d = min(decay, (1 + step) / (10 + step))
        expected = weights if expected is None else d * expected + (1 - d) * weights
    np.testing.assert_allclose(average["weight"].numpy(), expected, rtol=1e-12)


def test_the_weights_come_back_after_a_look_at_the_average() -> None:
    model = nn.Linear(2, 1)
    own = model.weight.detach().clone()
    average = {"weight": torch.full((1, 2), 7.0)}

    def look() -> None:
        with averaged(average, model):
            assert model.weight.tolist() == [[7.0, 7.0]]
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        look()
    assert torch.equal(model.weight, own)
    with averaged({}, model):
        assert torch.equal(model.weight, own)
