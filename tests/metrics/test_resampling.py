"""Intervals cover, tests reject what differs and accept what does not."""

import numpy as np
import pytest

from recap.metrics.resampling import bootstrap_means, interval, paired_difference
from recap.metrics.systems import compare_systems, score_system


def test_the_interval_is_that_of_the_normal_approximation():
    generator = np.random.default_rng(0)
    values = generator.normal(size=2000)
    bounds = interval(bootstrap_means(values[:, None], 4000, generator)[:, 0])
    standard_error = values.std() / np.sqrt(len(values))
    assert bounds["low"] == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.15 * standard_error)
    assert bounds["high"] == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.15 * standard_error)


def test_statistics_of_an_image_are_drawn_together():
    values = np.arange(50.0)
    samples = bootstrap_means(np.column_stack([values, 2 * values]), 200, np.random.default_rng(0))
    assert samples.shape == (200, 2)
    assert samples[:, 1] == pytest.approx(2 * samples[:, 0])
    assert samples[:, 0].std() > 0


def test_the_same_seed_draws_the_same_images():
    values = np.random.default_rng(1).normal(size=(30, 3))
    draws = [bootstrap_means(values, 100, np.random.default_rng(7)) for _ in range(2)]
    assert np.array_equal(*draws)


def test_p_values_of_equal_captioners_are_uniform():
    generator = np.random.default_rng(3)
    values = [
        paired_difference(generator.normal(size=40), generator.normal(size=40), 200, generator).p_value
        for _ in range(300)
    ]
    assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(values) == pytest.approx(0.5, abs=0.06)


def test_a_clear_difference_is_significant_and_signed():
    generator = np.random.default_rng(4)
    second = generator.normal(size=200)
    difference = paired_difference(second + 0.3 + 0.1 * generator.normal(size=200), second, 500, generator)
    assert 0.25 < difference.low < difference.mean < difference.high < 0.35
    assert difference.p_value == pytest.approx(1 / 501)


def test_identical_captions_differ_by_nothing():
    values = np.random.default_rng(5).normal(size=20)
    difference = paired_difference(values, values, 100, np.random.default_rng(0))
    assert (difference.mean, difference.low, difference.high, difference.p_value) == (0, 0, 0, 1)


def test_how_far_long_resampling_is_can_be_seen(monkeypatch, capsys):
    monkeypatch.setattr("recap.progress.SECONDS_BETWEEN_LINES", 0.0)
    generator = np.random.default_rng(0)
    bootstrap_means(np.ones((2, 1)), 5, generator)
    paired_difference(np.ones(3), np.zeros(3), 5, generator)
    assert capsys.readouterr().err.count("resampling images: 1 of 1") == 2


def test_a_p_value_counts_the_swap_of_all_captions_for_every_metric():
    """Of few images, swapping all captions is one of few draws, and as extreme as what was observed."""
    references = [[f"a cat sleeps on mat {n}", f"the cat {n} lies there"] for n in "abcdef"]
    systems = {
        "right": score_system([[own[0]] for own in references], references, with_meteor=False),
        "wrong": score_system([[f"{n} dogs"] for n in "abcdef"], references, with_meteor=False),
    }
    compared = compare_systems(systems, 4000, seed=0)["comparisons"]
    assert {row["metric"] for row in compared} >= {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider_d"}
    for row in compared:
        assert row["p_value"] == pytest.approx(2 / 2**6, rel=0.3), row["metric"]
