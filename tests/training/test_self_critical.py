"""Self-critical training: samples, baseline and gradient restated, and that captions become better."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.settings import settings
from torch import Tensor

from recap.decoders.build import build_decoder
from recap.decoders.decoder import Decoder
from recap.runtime.workers import Worker
from recap.text.vocabulary import END, NULL, SPECIAL_WORDS, START, Vocabulary
from recap.training import self_critical
from recap.training.config import SelfCriticalConfig, TrainConfig
from recap.training.optimizer import make_optimizer
from recap.training.self_critical import (
    RewardedImages,
    RewardedLanguage,
    draw_words,
    leave_one_out,
    refine,
    sample_captions,
)
from recap.training.state import TrainingState

VOCABULARY = Vocabulary((*SPECIAL_WORDS, "a", "red", "blue", "seven", "here"))
SELF_CRITICAL = SelfCriticalConfig(
    epochs=1, learning_rate=0.01, images=4, language_images=0, samples=3, claim=0.0
)
CONFIG = settings(TrainConfig, self_critical=SELF_CRITICAL, gradient_clip=1e9, seed=1)


def build(dropout: float = 0.0, words: int = len(VOCABULARY)) -> Decoder:
    model: dict[str, Any] = {"name": "lstm", "feature_dim": 2, "vocabulary_size": words}
    model |= {"wordvec_dim": 8, "hidden_dim": 16, "dropout": dropout}
    return build_decoder(model, torch.Generator().manual_seed(0))


def graph(colour: str) -> dict[str, Any]:
    seven = {"digit": 7, "colour": colour, "size": "small", "digit_image": 0}
    seven |= {"center": [12, 12], "box": [2, 2, 22, 22]}
    return {"background": "white", "arrangement": "top left", "objects": [seven]}


def images(count: int = 4) -> RewardedImages:
    features = np.eye(2, dtype=np.float32)[np.arange(count) % 2]
    references = [["a red seven", "a red seven here"], ["a blue seven", "a blue seven here"]]
    graphs = [graph("red"), graph("blue")]
    rows = [row % 2 for row in range(count)]
    return RewardedImages(
        features, [references[row] for row in rows], VOCABULARY, 7, [graphs[row] for row in rows]
    )


def fitted(decoder: Decoder) -> TrainingState:
    best = {name: value.clone() for name, value in decoder.state_dict().items()}
    return TrainingState(decoder, make_optimizer(decoder, 0.0), best=best)


def ignore(*arguments: object) -> None:
    pass


def test_a_baseline_is_the_mean_of_the_others() -> None:
    rewards = np.array([1.0, 2.0, 6.0, 0.0, 0.0, 3.0])
    expected = [1 - 4, 2 - 3.5, 6 - 1.5, -1.5, -1.5, 3.0]
    assert leave_one_out(rewards, 3).tolist() == expected


def test_draws_follow_the_softmax() -> None:
    scores = torch.tensor([0.0, 1.0, 2.0, -1.0])
    drawn = draw_words(scores.expand(40_000, 4), torch.Generator().manual_seed(5))
    frequencies = torch.bincount(drawn, minlength=4) / 40_000
    torch.testing.assert_close(frequencies, scores.softmax(0), rtol=0, atol=0.01)


def test_samples_are_captions_drawn_from_the_decoder() -> None:
    decoder = build(dropout=0.5)
    features = torch.zeros(4000, 2)
    captions = sample_captions(decoder, features, 5, torch.Generator().manual_seed(3))
    assert captions.shape == (4000, 5)
    assert captions[:, 0].eq(START).all()
    for caption in captions[:200].tolist():
        words = caption[1:]
        end = next((place for place, token in enumerate(words) if token in (END, NULL)), None)
        if end is not None:
            assert set(words[end + 1 :]) <= {NULL}
    scores, _ = decoder.step(torch.tensor([START]), decoder.start(features[:1]))
    frequencies = torch.bincount(captions[:, 1], minlength=len(VOCABULARY)) / 4000
    torch.testing.assert_close(frequencies, scores.softmax(1)[0].detach(), rtol=0, atol=0.03)


def test_a_step_follows_the_gradient_of_the_rewarded_log_likelihoods(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []

    def record(*arguments: Any) -> Tensor:
        drawn.append(sample_captions(*arguments))
        return drawn[-1]

    monkeypatch.setattr(self_critical, "sample_captions", record)
    decoder, plain = build(), build()
    data = images()
    state = fitted(decoder)
    monkeypatch.setattr(state.optimizer, "step", ignore)
    refine("lstm", data, CONFIG, state, ignore, ignore)
    captions = drawn[0]
    order = np.random.default_rng(
        self_critical.derive_seed(CONFIG.seed, "self-critical order", 1)
    ).permutation(4)
    rows = [row for row in order.tolist() for _ in range(SELF_CRITICAL.samples)]
    scorers = data.scorers
    total, targets = torch.zeros(()), 0
    rewards = []
    for row, caption in zip(rows, captions, strict=True):
        words = [VOCABULARY.idx_to_word[token] for token in caption[1:].tolist() if token != NULL]
        rewards.append(scorers[row](words))
    for place, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        group = rewards[place // 3 * 3 : place // 3 * 3 + 3]
        baseline = (sum(group) - rewards[place]) / 2
        logs = plain(torch.from_numpy(data.features[row : row + 1]), caption[None, :-1]).log_softmax(2)[0]
        for moment, token in enumerate(caption[1:].tolist()):
            if token != NULL:
                total = total - (rewards[place] - baseline) * logs[moment, token]
                targets += 1
    (total / targets).backward()
    for name, value in plain.named_parameters():
        torch.testing.assert_close(decoder.get_parameter(name).grad, value.grad, rtol=1e-4, atol=1e-6)
    assert state.rewards[0][2] == pytest.approx(np.mean(rewards))


@pytest.mark.parametrize(
    ("caption", "balance"),
    [
        ("a small red seven on a white background <END>", 4),
        ("a small blue seven on a white background <END>", 2),
        ("a blue three <END>", -2),
        ("a red three above a blue seven <END>", -3),
        ("seven on a red <END>", -1),
        ("a <UNK> seven <END>", -1),
        ("a small red seven on a", -1),
    ],
)
def test_a_true_claim_adds_to_the_reward_what_a_false_one_takes(
    caption: str, balance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["a", "small", "red", "blue", "three", "seven", "above", "on", "white", "background"]
    vocabulary = Vocabulary((*SPECIAL_WORDS, *words))
    numbers = [START, *(vocabulary.word_to_idx[word] for word in caption.split())]
    drawn = torch.tensor([numbers + [NULL] * (10 - len(numbers))] * 2)
    monkeypatch.setattr(self_critical, "sample_captions", lambda *arguments: drawn)
    rewards = []
    for claim, graphs in ((0.0, None), (0.5, [graph("red")])):
        references = [["a small red seven on a white background", "a red seven"]]
        data = RewardedImages(np.zeros((1, 2), dtype=np.float32), references, vocabulary, 10, graphs)
        config = replace(CONFIG, self_critical=replace(SELF_CRITICAL, samples=2, claim=claim))
        state = fitted(build(words=len(vocabulary)))
        refine("lstm", data, config, state, ignore, ignore)
        rewards.append(state.rewards[0][2])
    assert rewards[1] - rewards[0] == pytest.approx(0.5 * balance)


def test_a_long_gradient_is_clipped_and_its_own_norm_recorded() -> None:
    def moved(clip: float) -> tuple[float, float]:
        decoder = build()
        before = torch.nn.utils.parameters_to_vector(decoder.parameters()).detach().clone()
        best = {name: value.clone() for name, value in decoder.state_dict().items()}
        state = TrainingState(decoder, torch.optim.SGD(decoder.parameters(), lr=1.0), best=best)
        refine("lstm", images(), replace(CONFIG, gradient_clip=clip), state, ignore, ignore)
        after = torch.nn.utils.parameters_to_vector(decoder.parameters()).detach()
        return (after - before).norm().item(), state.rewards[0][4]

    free, norm = moved(1e9)
    assert free == pytest.approx(SELF_CRITICAL.learning_rate * norm, rel=1e-3)
    clipped, recorded = moved(norm / 8)
    assert clipped == pytest.approx(SELF_CRITICAL.learning_rate * norm / 8, rel=1e-3)
    assert recorded == pytest.approx(norm)


def test_the_reward_rises_and_captions_end() -> None:
    state = fitted(build())
    own = SelfCriticalConfig(epochs=60, learning_rate=0.02, images=8, language_images=0, samples=5, claim=0.0)
    config = replace(CONFIG, self_critical=own, gradient_clip=5.0, average_decay=0.9)
    data = images(16)
    refine("lstm", data, config, state, ignore, ignore)
    assert len(state.rewards) == 120
    rewards = [row[2] for row in state.rewards]
    assert np.mean(rewards[-10:]) > np.mean(rewards[:10]) + 2
    state.decoder.load_state_dict(state.best)
    captions = sample_captions(
        state.decoder, torch.from_numpy(data.features), data.longest, torch.Generator().manual_seed(0)
    )
    finished = (captions == END).any(dim=1).float().mean().item()
    assert finished > 0.9


def encoded(*captions: str) -> np.ndarray:
    return VOCABULARY.encode([caption.split() for caption in captions], 7)


def test_a_caption_without_picture_comes_with_all_captions_of_its_image() -> None:
    captions = encoded("a red seven", "a blue seven", "red", "a blue green seven here")
    features = np.arange(8, dtype=np.float32).reshape(4, 2)
    language = RewardedLanguage((captions, np.array([1, 0, 1, 0], np.int32)), features, VOCABULARY)
    drawn, references = language.draw(40, np.random.default_rng(1))
    red = [["a", "red", "seven", "<END>"], ["red", "<END>"]]
    blue = [["a", "blue", "seven", "<END>"], ["a", "blue", None, "seven", "here", "<END>"]]
    assert {tuple(row) for row in drawn.tolist()} == {(0, 1), (2, 3), (4, 5), (6, 7)}
    assert references == [blue if row[0] in (2, 6) else red for row in drawn.tolist()]


def test_images_that_are_not_there_teach_what_the_others_do_not() -> None:
    red, blue = np.eye(2, dtype=np.float32)
    references = [["a red seven"], ["a red seven here"]] * 4
    data = replace(images(8), features=np.tile(red, (8, 1)), references=references, graphs=None)
    captions = encoded("a blue seven", "a blue seven here")
    language = RewardedLanguage((captions, np.zeros(2, np.int32)), np.stack([blue, blue]), VOCABULARY)

    def says_blue(language_images: int) -> float:
        own = replace(SELF_CRITICAL, epochs=60, images=4, language_images=language_images, samples=5)
        state = fitted(build())
        config = replace(CONFIG, self_critical=own, gradient_clip=5.0)
        refine("lstm", data, config, state, ignore, ignore, language=language)
        drawn = sample_captions(
            state.decoder, torch.from_numpy(blue).expand(50, -1), 7, torch.Generator().manual_seed(0)
        )
        return (drawn == VOCABULARY.word_to_idx["blue"]).any(dim=1).float().mean().item()

    assert says_blue(8) > 0.9
    assert says_blue(0) < 0.2


class _Threads(Worker):
    """One of two workers that are threads of this process."""

    ranks = 2

    def __init__(self, rank: int, barrier: threading.Barrier, posted: list[Tensor | None]) -> None:
        self.rank, self.barrier, self.posted = rank, barrier, posted

    def add(self, tensor: Tensor) -> None:
        self.posted[self.rank] = tensor.clone()
        self.barrier.wait(timeout=60)
        assert self.posted[0] is not None
        assert self.posted[1] is not None
        tensor.copy_(self.posted[0] + self.posted[1])
        self.barrier.wait(timeout=60)


@pytest.mark.parametrize("images_a_step", [4, 3, 1])  # the last gives the second worker nothing to do
@pytest.mark.parametrize("language_images", [0, 3])
def test_two_workers_share_the_images_and_end_with_the_same_weights(
    images_a_step: int, language_images: int
) -> None:
    barrier, posted = threading.Barrier(2), [None, None]
    states = [fitted(build()) for _ in range(2)]
    own = replace(SELF_CRITICAL, images=images_a_step, language_images=language_images, epochs=2, claim=0.5)
    captions = encoded("a blue seven", "a blue seven here", "red here")
    features = np.eye(3, 2, dtype=np.float32)
    language = RewardedLanguage((captions, np.array([0, 0, 1], np.int32)), features, VOCABULARY)
    config = replace(CONFIG, self_critical=own, average_decay=0.5)

    def work(rank: int) -> None:
        worker = _Threads(rank, barrier, posted)
        refine("lstm", images(), config, states[rank], ignore, ignore, worker, language)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work, rank) for rank in range(2)]:
            future.result(timeout=120)
    assert states[0].rewards == states[1].rewards
    assert len(states[0].rewards) == 2 * -(-4 // images_a_step)
    for name, value in states[0].best.items():
        assert torch.equal(value, states[1].best[name])
    if images_a_step == 1 and not language_images:  # the first worker has every image, as one alone
        alone = fitted(build())
        refine("lstm", images(), config, alone, ignore, ignore)
        for name, value in states[0].best.items():
            torch.testing.assert_close(value, alone.best[name])
