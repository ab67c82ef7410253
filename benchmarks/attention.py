"""Cost of training and of decoding with attention, as ratios to the plain LSTM's in the same run.

Both have the sizes of params.yaml and P = 64 places of 64 channels; each arithmetic is a process of its own,
with the environment of the stages. In it both take turns on one thread, and printed are ratios of the medians
of processor time: of a step of training (loss, backward, clipping, AdamW) on a batch of captions of which 16
words are read, and of a step of decoding 256 captions.

    python benchmarks/attention.py [--rounds 30] [--words 1004] [--arithmetic native]
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch.nn.utils import clip_grad_norm_

from recap.core.config import load
from recap.decoders.build import build_decoder, describe
from recap.decoders.config import DecodersConfig
from recap.decoders.decoder import Decoder
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.text.vocabulary import SPECIAL_WORDS
from recap.training.config import TrainConfig
from recap.training.optimizer import make_optimizer
from training import environment_of

PARAMS = Path(__file__).parents[1] / "params.yaml"
ARITHMETICS = ("portable", "native")
NAMES = ("lstm", "attention_lstm")
IMAGES, FEATURE_DIM, GRID, LENGTH = 256, 256, (64, 64), 17
MOST = 2.0
"""How many times the plain LSTM's step a step with attention may cost."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Steps with attention beside the plain LSTM's.")
    parser.add_argument("--rounds", type=int, default=30, help="of both in turn")
    parser.add_argument("--words", type=int, default=1004, help="of the vocabulary")
    parser.add_argument("--arithmetic", choices=ARITHMETICS, help="one alone")
    parser.add_argument("--side", choices=ARITHMETICS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        sys.exit(measure(options.side, options.rounds, options.words))
    missed = False
    for arithmetic in [options.arithmetic] if options.arithmetic else ARITHMETICS:
        command = [sys.executable, __file__, *sys.argv[1:], "--side", arithmetic]
        missed |= subprocess.run(command, env=environment_of(arithmetic), check=False).returncode != 0
    if missed:
        sys.exit(f"a bar is missed: at most {MOST:g}")


def measure(arithmetic: Literal["portable", "native"], rounds: int, words: int) -> int:
    """Print the ratios under an arithmetic; return 1 where one is above the bar."""
    configure(RuntimeConfig(arithmetic, 1, "cpu"))
    decoders = load(PARAMS, DecodersConfig)
    made = {}
    for name in NAMES:
        model = describe(name, decoders.of(name), FEATURE_DIM, words, GRID)
        made[name] = build_decoder(model, torch.Generator().manual_seed(0))
    kinds = {"training": training, "decoding": decoding}
    ratios = {
        kind: compare({name: make(own) for name, own in made.items()}, rounds) for kind, make in kinds.items()
    }
    for kind, (ratio, plain, looking) in ratios.items():
        print(
            f"{arithmetic}, a step of {kind}: {ratio:.2f} times the plain LSTM's "
            f"({1e3 * looking:.1f} and {1e3 * plain:.1f} ms)",
            flush=True,
        )
    return int(any(ratio > MOST for ratio, *_ in ratios.values()))


def training(decoder: Decoder) -> Callable[[], object]:
    """A step of training, as `recap.training.loop` makes it."""
    config = load(PARAMS, TrainConfig)
    decoder.train()
    optimizer = make_optimizer(decoder, config.weight_decay)
    rows = torch.randn(config.batch_size, FEATURE_DIM + GRID[0] * GRID[1])
    captions = torch.randint(len(SPECIAL_WORDS), decoder.scores.out_features, (config.batch_size, LENGTH))

    def step() -> None:
        optimizer.zero_grad()
        decoder.loss(rows, captions, smoothing=config.label_smoothing).backward()
        clip_grad_norm_(decoder.parameters(), config.gradient_clip)
        optimizer.step()

    return step


def decoding(decoder: Decoder) -> Callable[[], object]:
    """A step of decoding."""
    decoder.eval()
    tokens = torch.full((IMAGES,), len(SPECIAL_WORDS))
    with torch.inference_mode():
        state = decoder.start(torch.randn(IMAGES, FEATURE_DIM + GRID[0] * GRID[1]))

    def step() -> None:
        with torch.inference_mode():
            decoder.step(tokens, state)

    return step


def compare(work: dict[str, Callable[[], object]], rounds: int) -> tuple[float, float, float]:
    """Let both take turns: the ratio, and the medians of the plain LSTM's and the other's seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, own in work.items():
            start = time.process_time()
            own()
            seconds[name].append(time.process_time() - start)
    plain, looking = (statistics.median(own) for own in seconds.values())
    return looking / plain, plain, looking


if __name__ == "__main__":
    main()
