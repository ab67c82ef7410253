"""Speed of decoding, as ratios in one run: fast decoders against the course's `sample`, beams against greedy.

The course's models (features 512 wide, 1,004 words) learn the real captions of the mini archive in ../shared
for a few epochs, so that captions have real lengths; both sides have the same weights. Both take turns;
printed are medians. "Same steps" forbids <END> in both, so that all captions have 30 words.

    python benchmarks/decoding.py [--rounds 3] [--epochs 3] [--decoders rnn lstm transformer]

Shapes: N images, D feature, W word vector, H hidden, V vocabulary.
"""

import argparse
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recap.decoders.build import NAMES, build_decoder, describe
from recap.decoders.config import DecodersConfig
from recap.decoders.decoder import Decoder
from recap.decoding.beam import beam
from recap.decoding.caption import Constraints
from recap.decoding.greedy import greedy
from recap.reference.coco_utils import load_coco_data
from recap.reference.torch_rnn import CaptioningRNN
from recap.reference.transformer import CaptioningTransformer
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.text.batches import CaptionedFeatures
from recap.text.vocabulary import END, START
from recap.training.config import TrainConfig
from recap.training.loop import Task, fit
from recap.training.optimizer import make_optimizer
from recap.training.state import TrainingState

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.decoders import from_reference
from tests.settings import settings

THREADS = 2
ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "real" / "coco_captioning_mini.zip"
IMAGES, LOOPED_IMAGES = 256, 8
FEATURE_DIM, WORDVEC_DIM, HIDDEN_DIM, HEADS, LAYERS, FEEDFORWARD_DIM = 512, 256, 512, 2, 2, 2048
LENGTH, WIDTH = 30, 5
FREE = Constraints(max_length=LENGTH, banned=())
IMPOSSIBLE = -1e9
BARS = {"transformer": (30.0, 12.0), "rnn": (2.5, None), "lstm": (2.5, None)}
"""How many times as fast as `sample` greedy has to be, and the same on the same steps."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Decoding speed against the course's, and beams against greedy."
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of both in turn")
    parser.add_argument("--epochs", type=int, default=3, help="of learning before")
    parser.add_argument("--decoders", nargs="+", choices=NAMES, default=NAMES)
    options = parser.parse_args()
    if not ARCHIVE.is_file():
        print(f"left out: needs {ARCHIVE.name} in ../shared/real")
        return
    configure(RuntimeConfig("native", THREADS, "cpu"))
    data = read_archive()
    features = torch.from_numpy(data["val_features"][:IMAGES])  # (N, D)
    print(f"{THREADS} threads, {len(features)} images at once, at most {LENGTH} words")
    missed = False
    for name in options.decoders:
        decoder = learn(name, data, options.epochs)
        model = reference_of(name, decoder, data["word_to_idx"])
        with torch.inference_mode():
            missed |= compare(name, model, decoder, features, options.rounds)
    if missed:
        sys.exit("a bar is missed")


def compare(name: str, model: Any, decoder: Decoder, features: Tensor, rounds: int) -> bool:
    """Print the ratios of a decoder; whether one is beyond its bar."""
    captions, sampled, ratio = against_sample(model, decoder, features, rounds)
    equal = sum(words == cut(tokens) for words, tokens in zip(captions, sampled, strict=True)) / len(captions)
    words = statistics.mean(len(words) - (words[-1] == END) for words in captions)
    results: list[tuple[str, float, float | None, bool]]
    results = [("greedy: times as fast as `sample`", ratio, BARS[name][0], True)]
    biases = end_biases(model, decoder)
    before = [bias.item() for bias in biases]
    for bias in biases:
        bias.fill_(IMPOSSIBLE)
    _, _, ratio = against_sample(model, decoder, features, rounds)
    results.append(("  on the same steps", ratio, BARS[name][1], True))
    for bias, value in zip(biases, before, strict=True):
        bias.fill_(value)
    greedy_seconds, beam_seconds, loop_seconds = [], [], []
    some = features[:LOOPED_IMAGES]
    for _ in range(rounds):
        greedy_seconds.append(timed(lambda: greedy(decoder, features, FREE))[1])
        found, seconds = timed(lambda: beam(decoder, features, FREE, width=WIDTH))
        beam_seconds.append(seconds)
        looped, seconds = timed(lambda: [loop_over_hypotheses(decoder, row[None], WIDTH) for row in some])
        loop_seconds.append(seconds * len(features) / len(some))
    agreed = sum(own == words.tokens for own, (words,) in zip(looped, found, strict=False)) / len(looped)
    results.append(
        (f"beam {WIDTH}: times greedy's cost", median_ratio(beam_seconds, greedy_seconds), 6.0, False)
    )
    faster = median_ratio(loop_seconds, beam_seconds)
    results.append((f"beam {WIDTH}: times as fast as a loop over hypotheses", faster, 10.0, True))
    print(
        f"{name}: {words:.1f} words a caption; captions equal to `sample`'s {equal:.1%}, "
        f"to the loop's {agreed:.1%}"
    )
    missed = False
    for label, value, bar, at_least in results:
        target = "" if bar is None else f"  ({'at least' if at_least else 'at most'} {bar:g})"
        missed |= bar is not None and (value < bar if at_least else value > bar)
        print(f"  {label:<50} {value:6.1f}{target}")
    return missed


def against_sample(
    model: Any, decoder: Decoder, features: Tensor, rounds: int
) -> tuple[list[list[int]], list[list[int]], float]:
    """Captions of greedy and of `sample`, and how many times as fast greedy is."""
    ours, theirs = [], []
    for number in range(rounds + 1):
        found, seconds = timed(lambda: greedy(decoder, features, FREE))
        sampled, base_seconds = timed(lambda: model.sample(features, max_length=LENGTH))
        if number:  # the first round warms up
            ours.append(seconds)
            theirs.append(base_seconds)
    return [words.tokens for (words,) in found], np.asarray(sampled).tolist(), median_ratio(theirs, ours)


def loop_over_hypotheses(decoder: Decoder, feature: Tensor, width: int) -> list[int]:
    """Beam search of one image, feature (1, D), one hypothesis and one step at a time."""
    beams: list[tuple[float, list[int], Any]] = [(0.0, [], decoder.start(feature))]
    finished: list[tuple[float, list[int]]] = []
    for step in range(LENGTH):
        grown = []
        for total, tokens, state in beams:
            last = torch.tensor([tokens[-1] if tokens else START])
            scores, after = decoder.step(last, state)
            values, words = scores[0].log_softmax(0).topk(width)
            for value, word in zip(values.tolist(), words.tolist(), strict=True):
                grown.append((total + value, [*tokens, word], after))
        grown.sort(key=lambda candidate: -candidate[0])
        kept = grown[: width - len(finished)]
        over = [step + 1 == LENGTH or tokens[-1] == END for _, tokens, _ in kept]
        finished += [(total, tokens) for (total, tokens, _), ended in zip(kept, over, strict=True) if ended]
        beams = [candidate for candidate, ended in zip(kept, over, strict=True) if not ended]
        best = max((total for total, _ in finished), default=float("-inf"))
        if not beams or beams[0][0] <= best:
            break
    return max(finished)[1]


def read_archive() -> dict[str, Any]:
    """The mini archive as the course loads it."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(ARCHIVE) as archive:
        for name in archive.namelist():
            Path(folder, Path(name).name).write_bytes(archive.read(name))
        return load_coco_data(Path(folder))


def learn(name: str, data: dict[str, Any], epochs: int) -> Decoder:
    """A fast decoder of the course's sizes after some epochs."""
    sizes: dict[str, Any] = {
        "wordvec_dim": WORDVEC_DIM,
        "dropout": 0.0,
        "learning_rate": 1e-3,
        "epochs": epochs,
    }
    if name == "transformer":
        sizes |= {"heads": HEADS, "layers": LAYERS, "feedforward_dim": FEEDFORWARD_DIM, "memory_tokens": 1}
    else:
        sizes["hidden_dim"] = HIDDEN_DIM
    own = replace(settings(DecodersConfig).of(name), **sizes)
    model = describe(name, own, FEATURE_DIM, len(data["word_to_idx"]))
    decoder = build_decoder(model, torch.Generator().manual_seed(0))
    features = np.asarray(data["train_features"], dtype=np.float32)
    captions = CaptionedFeatures(data["train_captions"], data["train_image_idxs"], features)
    few = CaptionedFeatures(captions.captions[:1], captions.image_rows[:1], features)
    config = settings(TrainConfig, warmup_steps=20, patience=epochs, label_smoothing=0.0, seed=0)
    state = TrainingState(decoder, make_optimizer(decoder, weight_decay=0.0))
    fit(Task(name, captions, few, config, own), state, lambda metrics, step: None, lambda state: None)
    return decoder.eval()


def reference_of(name: str, decoder: Decoder, word_to_idx: dict[str, int]) -> Any:
    """The course's model with the weights of a fast decoder."""
    weights = decoder.state_dict()
    if name == "transformer":
        model = CaptioningTransformer(
            word_to_idx, FEATURE_DIM, WORDVEC_DIM, num_heads=HEADS, num_layers=LAYERS, max_length=LENGTH
        )
        names = [key for key in model.state_dict() if not key.startswith("positional_encoding.")]
        taken = {key: weights[from_reference.transformer_name(key)] for key in names}
        model.load_state_dict(taken, strict=False)
        return model.eval()

    def gated(weight: Tensor) -> Tensor:
        """The course has an LSTM's output gate before the block, torch after it."""
        if name == "rnn":
            return weight
        input_gate, forget_gate, block, output_gate = weight.split(HIDDEN_DIM)
        return torch.cat((input_gate, forget_gate, output_gate, block))

    recurrent = CaptioningRNN(word_to_idx, FEATURE_DIM, WORDVEC_DIM, HIDDEN_DIM, name)
    taken = {
        "W_proj": weights["projection.weight"].T,
        "b_proj": weights["projection.bias"],
        "W_embed": weights["words.weight"],
        "Wx": gated(weights["recurrence.weight_ih_l0"]).T,
        "Wh": gated(weights["recurrence.weight_hh_l0"]).T,
        "b": gated(weights["recurrence.bias_ih_l0"] + weights["recurrence.bias_hh_l0"]),
        "W_vocab": weights["scores.weight"].T,
        "b_vocab": weights["scores.bias"],
    }
    # a copy, so that biases can be changed apart, laid out as the course draws them
    recurrent.params = {
        key: value.clone(memory_format=torch.contiguous_format) for key, value in taken.items()
    }
    return recurrent


def end_biases(model: Any, decoder: Decoder) -> list[Tensor]:
    """What both add to the score of <END>, as views of their weights."""
    bias = model.output.bias if isinstance(model, CaptioningTransformer) else model.params["b_vocab"]
    return [bias.data[END], decoder.scores.bias.data[END]]


def cut(tokens: list[int]) -> list[int]:
    """The words up to <END>, which `sample` does not stop at."""
    return tokens[: tokens.index(END) + 1] if END in tokens else tokens


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it computes, and the seconds that it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def median_ratio(above: list[float], below: list[float]) -> float:
    """The median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


if __name__ == "__main__":
    main()
