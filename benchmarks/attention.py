"""Cost of a decoding step with attention, as a ratio to the plain LSTM's in the same run.

Both have the sizes of params.yaml and P = 64 places; they take turns on one thread, and printed is the ratio
of the medians of processor time. Set MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ as stages/run.sh does.

    python benchmarks/attention.py [--rounds 30] [--words 1004] [--arithmetic native]
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

from recap.core.config import load
from recap.decoders.build import build_decoder, describe
from recap.decoders.config import DecodersConfig
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure

PARAMS = Path(__file__).parents[1] / "params.yaml"
IMAGES, FEATURE_DIM, GRID = 256, 256, (64, 64)
MOST = 2.0
"""How many times the plain LSTM's step a step with attention may cost."""


def main() -> None:
    parser = argparse.ArgumentParser(description="A step with attention beside the plain LSTM's.")
    parser.add_argument("--rounds", type=int, default=30, help="of both in turn")
    parser.add_argument("--words", type=int, default=1004, help="of the vocabulary")
    parser.add_argument("--arithmetic", choices=("native", "portable"), default="native")
    options = parser.parse_args()
    configure(RuntimeConfig(options.arithmetic, 1, "cpu"))
    decoders = load(PARAMS, DecodersConfig)
    rows = torch.randn(IMAGES, FEATURE_DIM + GRID[0] * GRID[1])
    tokens = torch.full((IMAGES,), 5)
    seconds: dict[str, list[float]] = {"lstm": [], "attention_lstm": []}
    with torch.inference_mode():
        made = {}
        for name in seconds:
            model = describe(name, decoders.of(name), FEATURE_DIM, options.words, GRID)
            decoder = build_decoder(model, torch.Generator().manual_seed(0)).eval()
            made[name] = decoder, decoder.start(rows)
        for _ in range(options.rounds):
            for name, (decoder, state) in made.items():
                start = time.process_time()
                decoder.step(tokens, state)
                seconds[name].append(time.process_time() - start)
    plain, looking = (statistics.median(own) for own in seconds.values())
    print(f"a step of {IMAGES} captions, {GRID[0]} places: {looking / plain:.2f} times the plain LSTM's")
    if looking > MOST * plain:
        sys.exit(f"a bar is missed: at most {MOST:g}")


if __name__ == "__main__":
    main()
