"""Self-critical sequence training: sampled captions become likelier when they score above the others.

The gradient is that of the expected reward: CIDEr-D (Rennie et al. 2017) and, where scene graphs tell what is
so, something for each true claim and as much less for each false one; a price of false ones alone is saved by
silence. A sample's baseline is the mean reward of the other samples of its image (Luo 2020), which unlike a
greedy caption costs nothing.

Shapes: N images a step, K samples an image, D feature, V vocabulary, L steps of an encoded caption,
M captions of images that are not there.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap.decoders.decoder import Decoder
from recap.metrics.cider_d import CiderD, InverseFrequency
from recap.metrics.truth import balance, check_caption
from recap.progress import track
from recap.runtime.workers import ALONE, Worker
from recap.text.captions import Encoded
from recap.text.vocabulary import END, NULL, START, UNK, Vocabulary
from recap.training.config import SelfCriticalConfig, TrainConfig
from recap.training.loop import Keep, Report, apply_gradients, one_update
from recap.training.optimizer import learning_rate_at
from recap.training.seeds import derive_seed, seed_generator
from recap.training.state import TrainingState


@dataclass(frozen=True)
class RewardedImages:
    """Images with their reference captions.

    Attributes:
        features: (I, D) float32, may be mapped from a file.
        references: for each image tokenized captions, words with one space between them.
        vocabulary: of the decoder.
        longest: L, <START> and <END> included.
        graphs: for each image its scene graph, where claims count.
    """

    features: NDArray[np.float32]
    references: Sequence[Sequence[str]]
    vocabulary: Vocabulary
    longest: int
    graphs: Sequence[Mapping[str, Any]] | None = None

    @cached_property
    def idf(self) -> InverseFrequency:
        """The idf of the n-grams of the references."""
        return InverseFrequency(self._words)

    @cached_property
    def scorers(self) -> list[CiderD]:
        """CIDEr-D for each image, with <END> as the last word of every reference."""
        return [CiderD(own, self.idf) for own in self._words]

    @cached_property
    def _words(self) -> list[list[list[str]]]:
        end = self.vocabulary.idx_to_word[END]
        return [[[*caption.split(), end] for caption in own] for own in self.references]


class RewardedLanguage:
    """Images that are not there, whose captions are their references.

    Args:
        captions: encoded captions (M, L), and (M,) the image of each.
        features: (M, D) float32, one a caption; may be mapped from a file.
        vocabulary: of the decoder.
    """

    def __init__(self, captions: Encoded, features: NDArray[np.float32], vocabulary: Vocabulary) -> None:
        self._captions, self._images = captions
        self._features = features
        self._words: list[str | None] = list(vocabulary.idx_to_word)
        self._words[UNK] = None  # a sample with <UNK> says nothing that a reference says
        self._order = np.argsort(self._images, kind="stable")
        self._ends = np.cumsum(np.bincount(self._images))

    def draw(
        self, count: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.float32], list[list[list[str | None]]]]:
        """Draw captions: return the features (``count``, D), and all references of the image of each."""
        rows = generator.integers(len(self._captions), size=count)
        references = []
        for image in self._images[rows].tolist():
            own = self._order[self._ends[image - 1] if image else 0 : self._ends[image]]
            captions = self._captions[own, 1:].tolist()
            references.append(
                [[self._words[token] for token in caption if token != NULL] for caption in captions]
            )
        return np.asarray(self._features[rows]), references


def refine(
    name: str,
    images: RewardedImages,
    config: TrainConfig,
    state: TrainingState,
    report: Report,
    keep: Keep,
    worker: Worker = ALONE,
    language: RewardedLanguage | None = None,
) -> None:
    """Raise the expected reward of sampled captions, from the weights that `fit` ended with.

    Args:
        name: the decoder's, for messages.
        images: of training.
        config: the group `train`, with its `self_critical`.
        state: that of `fit` at its end, or of an earlier call; ``state.best`` gets the last weights or their
            average.
        report: receives live metrics and the step.
        keep: called between two steps with a state that may be kept and resumed.
        worker: one of the processes that share the work; each samples for its part of the images.
        language: where ``language_images`` are drawn from, if any are.
    """
    if not state.rewards:
        state.decoder.load_state_dict(state.best)
        state.optimizer.state.clear()
        state.average.clear()
    settings = config.self_critical
    steps = -(-len(images.references) // settings.images)  # an epoch
    for epoch in range(len(state.rewards) // steps + 1, settings.epochs + 1):
        generator = np.random.default_rng(derive_seed(config.seed, "self-critical order", epoch))
        order = generator.permutation(len(images.references))
        batches = [order[first : first + settings.images] for first in range(0, len(order), settings.images)]
        done = len(state.rewards) % steps
        todo: Iterable[NDArray[np.int64]] = batches[done:]
        if worker.rank == 0:
            todo = track(todo, f"{name}: self-critical epoch {epoch} of {settings.epochs}")
        for batch in todo:
            step = len(state.rewards)
            rate = learning_rate_at(step, settings.learning_rate, 0, steps * settings.epochs)
            drawn = _draw(images, batch, language, config, step, worker)
            mean, norm = _step(drawn, images, config, state, step, rate, worker)
            state.rewards.append([step + 1, epoch, mean, rate, norm])
            report({"reward": mean, "learning_rate": rate, "gradient_norm": norm}, state.steps_done())
            keep(state)
        if worker.rank:
            continue
        mean = float(np.mean([row[2] for row in state.rewards[-steps:]]))
        print(
            f"{name}: self-critical epoch {epoch} of {settings.epochs}: reward {mean:.4f}",
            file=sys.stderr,
            flush=True,
        )
    weights = state.average or dict(state.decoder.named_parameters())
    state.best = {key: value.detach().clone() for key, value in weights.items()}


class _Drawn(NamedTuple):
    """A worker's images of a step: features (N, D), and for each its scorer and scene graph, if any."""

    features: NDArray[np.float32]
    scorers: list[CiderD]
    graphs: list[Mapping[str, Any] | None]


def _draw(
    images: RewardedImages,
    batch: NDArray[np.int64],
    language: RewardedLanguage | None,
    config: TrainConfig,
    step: int,
    worker: Worker,
) -> _Drawn:
    own = batch[worker.rank :: worker.ranks]
    drawn = _Drawn(
        np.asarray(images.features[own]),
        [images.scorers[image] for image in own.tolist()],
        [images.graphs[image] if images.graphs else None for image in own.tolist()],
    )
    if language is None:
        return drawn
    count = len(range(worker.rank, config.self_critical.language_images, worker.ranks))
    seed = derive_seed(config.seed, "self-critical language", step, worker.rank)
    features, references = language.draw(count, np.random.default_rng(seed))
    return _Drawn(
        np.concatenate([drawn.features, features]),
        [*drawn.scorers, *(CiderD(own, images.idf) for own in references)],
        [*drawn.graphs, *[None] * count],
    )


def _step(
    drawn: _Drawn,
    images: RewardedImages,
    config: TrainConfig,
    state: TrainingState,
    step: int,
    rate: float,
    worker: Worker,
) -> tuple[float, float]:
    """Update the weights once; return the mean reward of the samples and the gradient's norm."""
    decoder, weight = state.decoder, next(state.decoder.parameters())
    samples = config.self_critical.samples
    counts = torch.zeros(3, dtype=torch.float64, device=weight.device)  # rewards, samples, words
    half = torch.autocast(weight.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    if len(drawn.features):
        features = np.repeat(drawn.features, samples, axis=0)  # (N K, D)
        x = torch.from_numpy(features).to(weight.device, weight.dtype)
        noise = torch.Generator(weight.device)
        noise.manual_seed(derive_seed(config.seed, "samples", step, worker.rank))
        with half:
            captions = sample_captions(decoder, x, images.longest, noise)  # (N K, at most L)
        rewards = _rewards(drawn, images.vocabulary, captions, config.self_critical)
        counts += torch.tensor([rewards.sum(), len(rewards), (captions[:, 1:] != NULL).sum()]).to(counts)
        words = counts[2].item()
    worker.add(counts)
    state.optimizer.zero_grad()
    if len(drawn.features):
        advantages = torch.from_numpy(leave_one_out(rewards, samples)).to(x)  # (N K,)
        decoder.train()
        seed = derive_seed(config.seed, "self-critical dropout", step, worker.rank)
        seed_generator(weight.device, seed)
        with half:
            loss = decoder.loss(x, captions, weights=advantages)
        if worker.ranks > 1:
            loss = loss * (words / counts[2].item())
        loss.backward()
    with one_update(config, state, step, rate):
        _, norm = apply_gradients(config, state, counts[:1].to(weight.dtype), worker)
    return (counts[0] / counts[1]).item(), norm.item()


def _rewards(
    drawn: _Drawn, vocabulary: Vocabulary, captions: Tensor, config: SelfCriticalConfig
) -> NDArray[np.float64]:
    """Return the reward of each caption (N K, at most L) of the N images."""
    rewards = []
    for place, caption in enumerate(captions.tolist()):
        image = place // config.samples
        words = [vocabulary.idx_to_word[token] for token in caption[1:] if token != NULL]
        reward = drawn.scorers[image](words)
        if (graph := drawn.graphs[image]) is not None:
            reward += config.claim * balance(check_caption(vocabulary.decode(caption), graph))
        rewards.append(reward)
    return np.array(rewards)


def leave_one_out(rewards: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
    """Return each reward (N K,) minus the mean of the K - 1 others of its image."""
    grouped = rewards.reshape(-1, samples)  # (N, K)
    others = (grouped.sum(axis=1, keepdims=True) - grouped) / (samples - 1)
    return (grouped - others).reshape(-1)


def draw_words(scores: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from softmax(scores), (..., V) to (...) int64: the largest of scores with Gumbel noise."""
    uniform = torch.rand(scores.shape, generator=generator, device=scores.device, dtype=scores.dtype)
    return (scores - (-uniform.log()).log()).argmax(-1)


@torch.no_grad()
def sample_captions(decoder: Decoder, features: Tensor, longest: int, generator: torch.Generator) -> Tensor:
    """Draw a caption for each row of features (N, D) from the decoder without dropout.

    Returns:
        (N, at most ``longest``) int64: <START>, words, <END> if reached in time, <NULL> to the end.
    """
    decoder.eval()
    tokens = torch.full((len(features),), START, device=features.device)  # (N,)
    going = torch.ones_like(tokens, dtype=torch.bool)
    captions = [tokens]
    state = decoder.start(features)
    while len(captions) < longest and going.any():
        scores, state = decoder.step(tokens, state)
        tokens = torch.where(going, draw_words(scores, generator), NULL)
        going &= (tokens != END) & (tokens != NULL)
        captions.append(tokens)
    return torch.stack(captions, dim=1)
