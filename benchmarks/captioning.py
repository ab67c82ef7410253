"""What `recap caption` takes: 100 pictures, as a ratio to their backbone's forward pass, and a cold start.

Baselines are measured in the same run: the forward pass of the same pictures, decoded and normalised before,
in the same batches; and a process that imports torch. Weights are random, captions end after 12 words.
Usage: python benchmarks/captioning.py [--images 100] [--rounds 5] [--backbone squeezenet1_1]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from ruamel.yaml import YAML

import recap
from recap.backbones.build import build_backbone, save_backbone
from recap.backbones.images import load_images
from recap.captioner import SEEN_AT_ONCE
from recap.core.artifacts import write_json
from recap.decoders.build import build_decoder, save_decoder
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

ROOT = Path(__file__).resolve().parents[1]
THREADS, SIDE, WORDS = 2, 224, 12


def write_run(root: Path, backbone_name: str, count: int) -> list[Path]:
    """Write the models of a run with random weights, and pictures; returns the pictures' paths."""
    torch.manual_seed(0)
    description = {"name": backbone_name, "heads": {"class": [str(index) for index in range(1000)]}}
    backbone = build_backbone(description)
    weights = {
        name: torch.randn_like(value) * (2 / value[0].numel()) ** 0.5
        if value.ndim > 1
        else torch.zeros_like(value)
        for name, value in backbone.state_dict().items()
    }
    save_backbone(root / "models" / "backbone", description, weights)
    vocabulary = Vocabulary((*SPECIAL_WORDS, *(f"word{index}" for index in range(1000))))
    write_json(root / "data" / "captions" / "vocabulary.json", vocabulary.to_json())
    model: dict[str, Any] = {"name": "lstm", "feature_dim": backbone.feature_dim, "wordvec_dim": 256}
    model |= {"vocabulary_size": len(vocabulary), "hidden_dim": 512, "dropout": 0.0}
    generator = torch.Generator().manual_seed(0)
    save_decoder(root / "models" / "lstm", build_decoder(model, generator), model)
    params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["evaluate"]["decoding"]["max_length"] = WORDS
    write_json(root / "params.yaml", params)
    draw = np.random.default_rng(0)
    paths = []
    for number in range(count):
        small = Image.fromarray(draw.integers(0, 256, (28, 28, 3), dtype=np.uint8))
        paths.append(root / f"{number}.jpg")
        small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(works: dict[str, Callable[[], object]], rounds: int) -> None:
    """Print the medians of works that take turns, as ratios to the first; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            times[name].append(seconds(work))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    baseline = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"{name:42} {median:7.2f} s   x {median / baseline:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="squeezenet1_1")
    options = parser.parse_args()
    configure(RuntimeConfig("native", THREADS, "cpu"))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        paths = write_run(root, options.backbone, options.images)
        captioner = recap.load(root / "models" / "lstm")
        captioner = replace(captioner, batch_size=options.images)
        backbone = captioner.backbone
        assert backbone is not None
        x = backbone.preprocess(load_images(paths, backbone))

        def forward() -> None:
            with torch.no_grad():
                for first in range(0, len(x), SEEN_AT_ONCE):
                    backbone.features(x[first : first + SEEN_AT_ONCE])

        print(
            f"{options.backbone}, {options.images} pictures of {SIDE} x {SIDE}; load {os.getloadavg()[0]:.1f}"
        )
        compare({"forward pass": forward, "captions": lambda: captioner.caption(paths)}, options.rounds)
        python = [sys.executable, "-c", "import torch"]
        recap_command = [sys.executable, "-m", "recap.cli", "caption", "--decoder", "lstm", str(paths[0])]
        cold: dict[str, Callable[[], object]] = {
            "import torch": lambda: subprocess.run(python, check=True),
            "recap caption PICTURE, cold": lambda: subprocess.run(
                recap_command, cwd=root, check=True, capture_output=True
            ),
        }
        compare(cold, min(options.rounds, 3))


if __name__ == "__main__":
    main()
