"""Cost of saliency maps, as a ratio to one forward and backward pass of the same batch in the same run.

The baseline is what a training step costs without its optimizer: the loss of the batch and the gradients of
all weights, through SqueezeNet 1.1 with random weights at 224 x 224. Both take turns; printed are medians.
Usage: python benchmarks/vision.py [--images 100] [--rounds 5]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from recap.backbones.squeezenet import CLASS_COUNT, SqueezeNet
from recap.explain.saliency import compute_saliency_maps
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure

THREADS = 2


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    configure(RuntimeConfig("native", THREADS, "cpu"))
    generator = torch.Generator().manual_seed(0)
    model = SqueezeNet([f"class {index}" for index in range(CLASS_COUNT)]).eval()
    x = torch.randn(options.images, 3, model.input_size, model.input_size, generator=generator)
    y = torch.randint(0, CLASS_COUNT, (options.images,), generator=generator)

    def forward_and_backward() -> None:
        model.zero_grad()
        functional.cross_entropy(model(x), y).backward()

    def saliency() -> None:
        compute_saliency_maps(x, y, model)

    works = {"forward and backward": forward_and_backward, "saliency maps": saliency}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds + 1):
        for name, work in works.items():
            times[name].append(seconds(work))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}  # the first warms up
    baseline = medians["forward and backward"]
    for name, median in medians.items():
        print(f"{name:22} {options.images} images {median:7.2f} s   x {median / baseline:.2f}")


if __name__ == "__main__":
    main()
