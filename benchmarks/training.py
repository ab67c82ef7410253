"""Training speed of the fast decoders, as a ratio to the course's solvers in the same run.

The baseline is `recap.reference.torch_rnn` and `transformer` with `CaptioningSolverPytorch` and
`CaptioningSolverTransformer`: same captions, same batch, whole steps with sampling. Both take turns; printed
are medians. The captions are random words with COCO's lengths; the recurrent decoders have no dropout, as the
course's have none, the Transformers drop 0.1. Usage: python benchmarks/training.py [--rounds 5]

Shapes: D feature, W word vector, H hidden, V vocabulary.
"""

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from recap.data.batches import CaptionedFeatures
from recap.data.vocabulary import END, NULL, SPECIAL_WORDS, START
from recap.decoders.build import NAMES, build_decoder
from recap.reference.solver import CaptioningSolverPytorch, CaptioningSolverTransformer
from recap.reference.torch_rnn import CaptioningRNN
from recap.reference.transformer import CaptioningTransformer
from recap.runtime import RuntimeConfig, configure
from recap.training.loop import Recipe, Task, fit
from recap.training.optimizer import make_optimizer
from recap.training.state import TrainingState

THREADS = 2
STEPS = 20  # a round
BATCH_SIZES = (25, 100, 512)
IMAGES, FEATURE_DIM, WORDS = 20_000, 512, 1004
WORDVEC_DIM, HIDDEN_DIM, HEADS, LAYERS, FEEDFORWARD_DIM = 256, 512, 2, 2, 2048
LONGEST = 17
# captions of COCO's training set by their steps, <START> and <END> included, from 9 to 17
SHARE_OF_LENGTH = np.array([0.007, 0.161, 0.230, 0.220, 0.161, 0.109, 0.058, 0.035, 0.019])


def main() -> None:
    parser = argparse.ArgumentParser(description="Training speed against the course's solvers.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of both in turn")
    rounds = parser.parse_args().rounds
    device = configure(RuntimeConfig(THREADS, "cpu"))
    peak = matmul_peak()
    print(f"{THREADS} threads, float32 matmul peak {peak / 1e9:.0f} GFLOP/s")
    print(f"{'decoder':12} {'batch':>5} {'captions/s':>11} {'baseline':>9} {'ratio':>6} {'of peak':>8}")
    for name in NAMES:
        for batch_size in BATCH_SIZES:
            data = draw_data(STEPS * batch_size)
            ours, theirs = fast(name, data, batch_size, device), baseline(name, data, batch_size)
            fast_times, base_times = [], []
            for number in range(rounds + 1):
                fast_seconds, base_seconds = seconds(ours), seconds(theirs)
                if number:  # the first round warms up
                    fast_times.append(fast_seconds)
                    base_times.append(base_seconds)
            ratio = statistics.median(b / f for f, b in zip(fast_times, base_times, strict=True))
            speed = len(data.captions) / statistics.median(fast_times)
            share = operations(name, data) / statistics.median(fast_times) / peak
            base_speed = len(data.captions) / statistics.median(base_times)
            print(f"{name:12} {batch_size:5} {speed:11,.0f} {base_speed:9,.0f} {ratio:6.2f} {share:8.0%}")


def draw_data(count: int) -> CaptionedFeatures:
    """``count`` captions with COCO's lengths, of random images."""
    generator = np.random.default_rng(0)
    captions = generator.integers(len(SPECIAL_WORDS), WORDS, (count, LONGEST), dtype=np.int32)
    lengths = generator.choice(np.arange(9, LONGEST + 1), count, p=SHARE_OF_LENGTH / SHARE_OF_LENGTH.sum())
    captions[:, 0] = START
    captions[np.arange(count), lengths - 1] = END
    captions[np.arange(LONGEST) >= lengths[:, None]] = NULL
    features = generator.standard_normal((IMAGES, FEATURE_DIM), dtype=np.float32)
    return CaptionedFeatures(captions, generator.integers(0, IMAGES, count).astype(np.int32), features)


def fast(name: str, data: CaptionedFeatures, batch_size: int, device: torch.device) -> Callable[[], object]:
    """One epoch of the pipeline's loop."""
    model: dict[str, Any] = {"name": name, "feature_dim": FEATURE_DIM, "vocabulary_size": WORDS}
    model |= {"wordvec_dim": WORDVEC_DIM, "dropout": 0.0}
    if name == "transformer":
        model |= {"heads": HEADS, "layers": LAYERS, "feedforward_dim": FEEDFORWARD_DIM}
        model |= {"memory_tokens": 1, "dropout": 0.1}
    else:
        model["hidden_dim"] = HIDDEN_DIM
    decoder = build_decoder(model, torch.Generator().manual_seed(0)).to(device)
    optimizer = make_optimizer(decoder, weight_decay=0.0)
    one = CaptionedFeatures(data.captions[:1], data.image_rows[:1], data.features)
    recipe = Recipe(batch_size, 1, 1e-3, warmup_steps=0, gradient_clip=1.0, patience=1, seed=0)

    def epoch() -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            fit(Task(name, data, one, recipe), TrainingState(decoder, optimizer), ignore, lambda state: None)

    return epoch


def ignore(metrics: dict[str, float], step: int) -> None:
    """Report nothing."""


def baseline(name: str, data: CaptionedFeatures, batch_size: int) -> Callable[[], object]:
    """One epoch of the course's solver."""
    words = [*SPECIAL_WORDS, *(f"w{number}" for number in range(len(SPECIAL_WORDS), WORDS))]
    numbers = {word: number for number, word in enumerate(words)}
    arrays = {
        "train_captions": data.captions,
        "train_image_idxs": data.image_rows,
        "train_features": data.features,
    }
    settings: dict[str, Any] = {"num_epochs": 1, "batch_size": batch_size, "verbose": False}
    if name == "transformer":
        transformer = CaptioningTransformer(
            numbers, FEATURE_DIM, WORDVEC_DIM, num_heads=HEADS, num_layers=LAYERS, max_length=LONGEST
        )
        return CaptioningSolverTransformer(transformer.train(), arrays, words, **settings).train
    recurrent = CaptioningRNN(numbers, FEATURE_DIM, WORDVEC_DIM, HIDDEN_DIM, name)
    return CaptioningSolverPytorch(recurrent, arrays, **settings).train


def operations(name: str, data: CaptionedFeatures) -> float:
    """Floating-point operations of the matrix products of one epoch: forward, and twice that backward."""
    targets = int((data.lengths() - 1).sum())
    if name == "transformer":
        layer = (
            6 * WORDVEC_DIM**2 + 2 * WORDVEC_DIM * FEEDFORWARD_DIM
        )  # of a word; scores of attention left out
        word, caption = LAYERS * layer + WORDVEC_DIM * WORDS, FEATURE_DIM * WORDVEC_DIM
    else:
        gates = 4 if name == "lstm" else 1
        word = (WORDVEC_DIM + HIDDEN_DIM) * gates * HIDDEN_DIM + HIDDEN_DIM * WORDS
        caption = FEATURE_DIM * HIDDEN_DIM
    return 6.0 * (targets * word + len(data.captions) * caption)


def matmul_peak() -> float:
    """The best of several products of square matrices, in operations a second."""
    size = 2048
    left, right = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / min(seconds(lambda: left @ right) for _ in range(10))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
