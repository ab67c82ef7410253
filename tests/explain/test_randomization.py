"""The sanity check of saliency maps with randomised weights."""

import numpy as np
import torch
from scipy.stats import spearmanr

from recap.backbones.backbone import Backbone
from recap.explain.randomization import mean_rank_correlation, randomization_check, randomized


def test_layers_are_shuffled_from_the_logits_down(random_squeezenet: Backbone) -> None:
    before = random_squeezenet.state_dict()
    half = randomized(random_squeezenet, 0.5, 1).state_dict()
    changed = {name for name in before if not torch.equal(before[name], half[name])}
    assert "classifier.1.weight" in changed
    assert "features.12.squeeze.weight" in changed
    assert "features.0.weight" not in changed
    for name in before:
        assert torch.equal(before[name].flatten().sort().values, half[name].flatten().sort().values)
    everything = randomized(random_squeezenet, 1.0, 1).state_dict()
    assert all(not torch.equal(before[name], everything[name]) for name in before)
    nothing = randomized(random_squeezenet, 0.0, 1).state_dict()
    assert all(torch.equal(before[name], nothing[name]) for name in before)


def test_correlation_is_spearmans() -> None:
    generator = np.random.default_rng(0)
    maps, others = generator.random((2, 3, 8, 8))
    others += maps
    expected = np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(maps, others, strict=True)])
    assert np.isclose(mean_rank_correlation(maps, others), expected)
    assert mean_rank_correlation(maps, np.ones_like(maps)) == 0


def test_the_check_covers_every_method_and_starts_from_the_trained_network(
    random_squeezenet: Backbone,
) -> None:
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    best = random_squeezenet(x).argmax(dim=1)
    check = randomization_check(random_squeezenet, "class", x, best, (0.0, 1.0), 0)
    assert list(check) == ["gradient", "SmoothGrad", "integrated gradients", "Grad-CAM"]
    for outcome in check.values():
        first, last = outcome.correlations
        assert np.isclose(first, 1)
        assert last < 0.999
