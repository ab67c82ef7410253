"""Training speed of the fast decoders, as a ratio to the course's solvers in the same run.

The baseline is `recap.reference.torch_rnn` and `transformer` with `CaptioningSolverPytorch` and
`CaptioningSolverTransformer`: same captions, same batch, whole steps with sampling. Each side is a process of
its own, ours with the environment of the stages, under each arithmetic of the params group `runtime`; they
take turns, and printed are medians. A round is
batches from all parts of an epoch of 400,135 captions, random words with COCO's lengths; the recurrent
decoders have no dropout, as the course's have none, the Transformers drop 0.1. `of mm` and `of oneDNN` count
the operations of real words only, over the best product of square matrices by torch's own mm and by oneDNN;
on a GPU, `of float32` and the one of `--precision`. `--profile` says where the time goes, and what a
checkpoint a minute costs after ten epochs of COCO.

Usage: python benchmarks/training.py [--decoders lstm ...] [--batches 100 ...] [--order random] [--rounds 5]
       [--precision bfloat16 | tf32] [--dropout 0.3] [--profile] [--threads 1 --clock cpu]
       [--device cuda]

Shapes: D feature, W word vector, H hidden, V vocabulary.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import recap.training.loop
from recap.core.arithmetic import unsupported, variables
from recap.decoders.build import NAMES, build_decoder, describe
from recap.decoders.config import DecodersConfig
from recap.reference.solver import CaptioningSolverPytorch, CaptioningSolverTransformer
from recap.reference.torch_rnn import CaptioningRNN
from recap.reference.transformer import CaptioningTransformer
from recap.runtime.checkpoints import SECONDS_BETWEEN, Checkpoints
from recap.runtime.config import RuntimeConfig
from recap.runtime.linear import product
from recap.runtime.setup import configure
from recap.text.batches import CaptionedFeatures, sorted_batches
from recap.text.vocabulary import END, NULL, SPECIAL_WORDS, START
from recap.training.config import TrainConfig
from recap.training.loop import Task, fit
from recap.training.optimizer import make_optimizer
from recap.training.state import TrainingState

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.settings import settings

THREADS = 2
CAPTIONS, STEPS = 3000, 3  # a round, at least
BATCH_SIZES = (25, 100, 512)
IMAGES, FEATURE_DIM, WORDS = 20_000, 512, 1004
WORDVEC_DIM, HIDDEN_DIM, HEADS, LAYERS, FEEDFORWARD_DIM = 256, 512, 2, 2, 2048
LONGEST = 17
COCO_CAPTIONS = 400_135
EPOCHS = {"cpu": 1, "cuda": 8}  # of a round of ours; a GPU records graphs in the first, which others use
# captions of COCO's training set by their steps, <START> and <END> included, from 9 to 17
SHARE_OF_LENGTH = np.array([0.007, 0.161, 0.230, 0.220, 0.161, 0.109, 0.058, 0.035, 0.019])
ARITHMETICS = ("portable", "native")
COURSE = "course"
STAGE_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}
KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "mkldnn", "flash_attention"),
    "optimizer": ("_fused_adamw_", "linalg_vector_norm", "_foreach"),
    "loss": ("_log_softmax", "nll_loss", "_softmax"),
    "copies and fills": ("copy_", "fill_", "zero_", "cat", "index_select", "embedding_dense_backward"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Training speed against the course's solvers.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of both in turn")
    parser.add_argument("--decoders", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCH_SIZES)
    parser.add_argument("--order", choices=("buckets", "random"), default="buckets")
    parser.add_argument("--precision", choices=("float32", "tf32", "bfloat16"), default="float32")
    parser.add_argument("--dropout", type=float, default=0.0, help="of our recurrent decoders")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for one thread")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of both sides")
    parser.add_argument("--profile", action="store_true", help="say where our time goes")
    parser.add_argument("--side", choices=(*ARITHMETICS, COURSE), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.rounds, options.threads, *options.batches) < 1:
        parser.error("--rounds, --threads, --batches: expected at least 1")
    if not 0 <= options.dropout < 1:
        parser.error(f"--dropout: expected at least 0 and less than 1, received {options.dropout}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: expected a device of this machine, received 'cuda'")
    if options.side:
        serve(options)
        return
    print(
        f"{options.device}, {options.threads} threads, {options.clock} time, batches from {options.order}, "
        f"{options.precision}"
    )
    peaks = ("mm", "oneDNN") if options.device == "cpu" else ("float32", options.precision)
    print(
        f"{'decoder':12} {'arithmetic':9} {'batch':>5} {'captions/s':>11} {'baseline':>9} "
        f"{'ratio':>6} {'GFLOP/s':>8} {f'of {peaks[0]}':>10} {f'of {peaks[1]}':>11}"
    )
    for name in options.decoders:
        for batch_size in options.batches:
            compare(name, batch_size, options)


def compare(name: str, batch_size: int, options: argparse.Namespace) -> None:
    """Let all sides take turns and print a line for each arithmetic."""
    arithmetics = ARITHMETICS if options.device == "cpu" else ("native",)
    arguments = [*sys.argv[1:], "--decoders", name, "--batches", str(batch_size)]
    sides = {
        side: subprocess.Popen(
            [sys.executable, __file__, *arguments, "--side", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment_of(side),
            text=True,
        )
        for side in (*arithmetics, COURSE)
    }
    rows = [[ask(process) for process in sides.values()] for _ in range(options.rounds + 1)][1:]
    times: dict[str, tuple[float, ...]] = dict(zip(sides, zip(*rows, strict=True), strict=True))
    data = draw_data(batch_size, options.device)
    count = len(data.captions)
    base_seconds = statistics.median(times[COURSE])
    for side in arithmetics:
        seconds_a_round = statistics.median(times[side])
        ratio = statistics.median(base / own for own, base in zip(times[side], times[COURSE], strict=True))
        speed = operations(name, data) / seconds_a_round
        peaks = ask(sides[side], "peaks")
        print(
            f"{name:12} {side:9} {batch_size:5} {count / seconds_a_round:11,.0f} "
            f"{count / base_seconds:9,.0f} {ratio:6.2f} {speed / 1e9:8.0f} "
            f"{speed / peaks[0]:10.0%} {speed / peaks[1]:11.0%}",
            flush=True,
        )
        if options.profile:
            shares = ask(sides[side], "profile")
            print("   ", ", ".join(f"{kind} {share:.0%}" for kind, share in shares.items()), flush=True)
            size, cost = ask(sides[side], "checkpoint")
            every = cost / SECONDS_BETWEEN
            print(f"    a checkpoint: {size / 1e6:.0f} MB, {cost:.2f} s, {every:.1%} of the time", flush=True)
    for process in sides.values():
        process.communicate()


def environment_of(side: str) -> dict[str, str]:
    """The variables of a side's process: for ours those of the stages, for the course's as they are."""
    if side == COURSE:
        return dict(os.environ)
    return variables(side == "portable" and unsupported() is None, os.environ, "train") | STAGE_ENVIRONMENT


def ask(process: "subprocess.Popen[str]", question: str = "round") -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(question + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def serve(options: argparse.Namespace) -> None:
    """Answer what `compare` asks: seconds of a round, the peaks, shares of a profile, a checkpoint's cost."""
    device = configure(
        RuntimeConfig("portable" if options.side == "portable" else "native", options.threads, options.device)
    )
    # the course's side computes in float32, as torch does by itself
    if options.side != COURSE:
        torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = options.precision == "tf32"

    def clock() -> float:
        if options.device == "cuda":
            torch.cuda.synchronize()
        return time.process_time() if options.clock == "cpu" else time.perf_counter()

    (name,), (batch_size,) = options.decoders, options.batches
    data = draw_data(batch_size, options.device)
    if options.side == COURSE:
        torch.use_deterministic_algorithms(False)  # its indexing has no deterministic backward that is fast
        torch.set_default_device(device)  # the solvers name none
        work = baseline(name, data, batch_size)
    else:
        recap.training.loop.shuffled_batches = random_batches if options.order == "random" else drawn_batches
        state, work = fast(name, data, batch_size, device, options)
    for question in sys.stdin:
        if question == "round\n":
            epochs = 1 if options.side == COURSE else EPOCHS[options.device]
            answer: Any = seconds(work, clock) / epochs
        elif question == "peaks\n":
            answer = matmul_peaks(clock, options.device, options.precision)
        elif question == "checkpoint\n":
            answer = checkpoint(state, batch_size)
        else:
            answer = where_time_goes(work)
        print(json.dumps(answer), flush=True)


def drawn_batches(
    lengths: NDArray[np.int64], batch_size: int, generator: np.random.Generator
) -> Sequence[NDArray[np.int64]]:
    """Those that `draw_data` took from an epoch, in random order."""
    rows = np.arange(len(lengths))
    batches = [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    return [batches[place] for place in generator.permutation(len(batches))]


def random_batches(
    lengths: NDArray[np.int64], batch_size: int, generator: np.random.Generator
) -> Sequence[NDArray[np.int64]]:
    """The course's order: any lengths in a batch."""
    order = generator.permutation(len(lengths))
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def where_time_goes(work: Callable[[], object]) -> dict[str, float]:
    """Shares of the wall time by kind of operation; numpy, of which dropout's masks are, is in the last."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        microseconds = 1e6 * seconds(work)
    totals = dict.fromkeys([*KINDS, "elementwise and the rest"], 0.0)
    for event in profiler.key_averages():
        operation = event.key.removeprefix("aten::")
        kinds = (kind for kind, names in KINDS.items() if operation.startswith(names))
        totals[next(kinds, "elementwise and the rest")] += event.self_cpu_time_total
    totals["numpy and Python"] = microseconds - sum(totals.values())
    return {kind: value / microseconds for kind, value in totals.items()}


def draw_data(batch_size: int, device: str) -> CaptionedFeatures:
    """Some of the batches that captions of COCO's number and lengths make, as they follow by length.

    Fewer captions cut into batches would more often have two lengths in one.
    """
    generator = np.random.default_rng(0)
    share = SHARE_OF_LENGTH / SHARE_OF_LENGTH.sum()
    all_lengths = generator.choice(np.arange(9, LONGEST + 1), COCO_CAPTIONS, p=share)
    batches = sorted_batches(all_lengths, batch_size)
    # a GPU does a whole epoch, of which recording graphs is a small part
    steps = len(batches) if device == "cuda" else max(CAPTIONS // batch_size, STEPS)
    chosen = [batches[(2 * step + 1) * len(batches) // (2 * steps)] for step in range(steps)]
    lengths = all_lengths[np.concatenate(chosen)]
    count = len(lengths)
    captions = generator.integers(len(SPECIAL_WORDS), WORDS, (count, LONGEST), dtype=np.int32)
    captions[:, 0] = START
    captions[np.arange(count), lengths - 1] = END
    captions[np.arange(LONGEST) >= lengths[:, None]] = NULL
    features = generator.standard_normal((IMAGES, FEATURE_DIM), dtype=np.float32)
    return CaptionedFeatures(captions, generator.integers(0, IMAGES, count).astype(np.int32), features)


def fast(
    name: str, data: CaptionedFeatures, batch_size: int, device: torch.device, options: argparse.Namespace
) -> tuple[TrainingState, Callable[[], object]]:
    """A state that has the optimizer's moments after the first call of the other: epochs of a new one."""
    sizes: dict[str, Any] = {"wordvec_dim": WORDVEC_DIM, "dropout": options.dropout, "learning_rate": 1e-3}
    sizes["epochs"] = EPOCHS[device.type]
    if name == "transformer":
        sizes |= {"heads": HEADS, "layers": LAYERS, "feedforward_dim": FEEDFORWARD_DIM}
        sizes |= {"memory_tokens": 1, "dropout": 0.1}
    else:
        sizes["hidden_dim"] = HIDDEN_DIM
    own = replace(settings(DecodersConfig).of(name), **sizes)
    model = describe(name, own, FEATURE_DIM, WORDS)
    decoder = build_decoder(model, torch.Generator().manual_seed(0)).to(device)
    optimizer = make_optimizer(decoder, weight_decay=0.0)
    one = CaptionedFeatures(data.captions[:1], data.image_rows[:1], data.features)
    config = settings(TrainConfig, batch_size=batch_size, warmup_steps=0, patience=1, seed=0)
    config = replace(config, label_smoothing=0.0, precision=options.precision, keep="last")

    def train() -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            fit(Task(name, data, one, config, own), TrainingState(decoder, optimizer), ignore)

    return TrainingState(decoder, optimizer), train


def checkpoint(state: TrainingState, batch_size: int) -> tuple[int, float]:
    """Bytes, and seconds to write one with the history of ten epochs of COCO, the median of five."""
    state.steps = [[step, 1, 3.25, 0.001, 1.125, 1000] for step in range(10 * COCO_CAPTIONS // batch_size)]
    state.best = state.decoder.state_dict()
    with tempfile.TemporaryDirectory() as folder, Checkpoints(Path(folder) / "run") as kept:
        cost = statistics.median(seconds(lambda: kept.save(state)) for _ in range(5))
        return max(path.stat().st_size for path in kept.directory.iterdir()), cost


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
        # of a word: self-attention and feed-forward; what a caption's one memory token needs is left out
        layer = 4 * WORDVEC_DIM**2 + 2 * WORDVEC_DIM * FEEDFORWARD_DIM
        word, caption = LAYERS * layer + WORDVEC_DIM * WORDS, FEATURE_DIM * WORDVEC_DIM
    else:
        gates = 4 if name == "lstm" else 1
        word = (WORDVEC_DIM + HIDDEN_DIM) * gates * HIDDEN_DIM + HIDDEN_DIM * WORDS
        caption = FEATURE_DIM * HIDDEN_DIM
    return 6.0 * (targets * word + len(data.captions) * caption)


def matmul_peaks(clock: Callable[[], float], device: str, precision: str) -> list[float]:
    """The best of several products of square matrices, operations a second.

    On a CPU torch's own mm and oneDNN's; on a GPU float32's, and that of the precision.
    """
    size = 2048 if device == "cpu" else 8192
    left, right = torch.randn(size, size, device=device), torch.randn(size, size, device=device)

    def peak(multiply: Callable[[torch.Tensor, torch.Tensor], object], dtype: torch.dtype) -> float:
        one, other = left.to(dtype), right.to(dtype)
        return 2 * size**3 / min(seconds(lambda: multiply(one, other), clock) for _ in range(8))

    if device == "cpu":
        return [peak(torch.mm, torch.float32), peak(product, torch.float32)]
    torch.backends.cuda.matmul.allow_tf32 = False
    first = peak(torch.mm, torch.float32)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return [first, peak(torch.mm, torch.bfloat16 if precision == "bfloat16" else torch.float32)]


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


if __name__ == "__main__":
    main()
