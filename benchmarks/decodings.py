"""Every way to write the captions of models, each scored beside its cost: the tables of docs/decoding.md.

In a checkout whose pipeline has run; names joined by + are an ensemble. Validation images choose, test images
report:

    python benchmarks/decodings.py [lstm rnn+lstm ...] [--split test]

Shapes: N rows, D feature, V vocabulary.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from recap.captioner import load_model
from recap.core import paths
from recap.core.config import load
from recap.core.feature_files import open_features
from recap.core.raw_data import load_raw
from recap.decoders.decoder import Decoder, State
from recap.decoders.ensemble import Ensemble
from recap.decoding.generate import generate
from recap.decoding.search import StepDecoder
from recap.decoding.searches import make_constraints, make_search
from recap.evaluation.config import EvaluateConfig
from recap.loading import decoder_names
from recap.metrics.diversity import diversity
from recap.metrics.scores import score_captions
from recap.metrics.tokenization.by_name import tokenize_groups
from recap.metrics.tokenization.treebank import tokenize
from recap.metrics.truth import check_caption, is_true
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.text.batches import CaptionedFeatures
from recap.text.captions import load_captions
from recap.text.coco_files import read_references
from recap.text.vocabulary import Vocabulary

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.settings import GREEDY

BAD_LAST_WORDS = ("a", "an", "and", "at", "by", "in", "of", "on", "or", "the", "to", "with")

DECODINGS = {
    "greedy": GREEDY,
    "greedy, no trigram twice": replace(GREEDY, repeat_trigrams=False),
    "sample": replace(GREEDY, search="sample"),
    "sample, temperature 0.5": replace(GREEDY, search="sample", temperature=0.5),
    "sample, top 10": replace(GREEDY, search="sample", top_k=10),
    "sample, nucleus 0.9": replace(GREEDY, search="sample", top_p=0.9),
    **{f"beam {width}": replace(GREEDY, search="beam", beam_width=width) for width in (2, 3, 5, 10)},
    **{
        f"beam {width}, length^{power}": replace(
            GREEDY, search="beam", beam_width=width, length_normalisation=power
        )
        for width in (3, 5)
        for power in (0.7, 1.0)
    },
    "beam 5, no trigram twice, no bad end": replace(
        GREEDY, search="beam", beam_width=5, repeat_trigrams=False, banned_last_words=BAD_LAST_WORDS
    ),
    "diverse beam 5 in 5, 0.5": replace(GREEDY, search="diverse_beam", beam_width=5, groups=5, diversity=0.5),
    "diverse beam 6 in 3, 0.5": replace(GREEDY, search="diverse_beam", beam_width=6, groups=3, diversity=0.5),
    "consensus of 40": replace(GREEDY, search="consensus", temperature=0.5),
    "consensus of 40, 100 neighbours": replace(GREEDY, search="consensus", temperature=0.5, neighbours=100),
}
"""What is compared, greedy first."""


@dataclass(frozen=True)
class Scored:
    """Images of a split: ids, features (N, D), tokenized references, and scene graphs where there are any.

    ``training`` has the captions and features of the training images.
    """

    image_ids: Sequence[int]
    features: np.ndarray
    references: list[list[str]]
    scenes: Sequence[Mapping[str, Any]] | None
    vocabulary: Vocabulary
    training: CaptionedFeatures


class _Counted:
    """A decoder that counts the rows that it reads, in the one entry of ``count``."""

    def __init__(self, decoder: StepDecoder, count: list[int]) -> None:
        self.decoder = decoder
        self.count = count

    def members_with_features(self, features: Tensor) -> list[tuple[StepDecoder, Tensor]]:
        members = self.decoder.members_with_features(features)
        return [(_Counted(member, self.count), own) for member, own in members]

    def start(self, features: Tensor) -> State:
        return self.decoder.start(features)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        self.count[0] += len(tokens)
        return self.decoder.step(tokens, state)


def load_scored(split: str) -> Scored:
    """Read what belongs to the images of a split."""
    source = load_raw(paths.RAW)
    references = read_references(paths.CAPTIONS / f"references_{split}.json")
    encoded = load_captions(paths.CAPTIONS)
    return Scored(
        references.image_ids,
        np.array(open_features(paths.REDUCED / f"{split}.h5")),
        tokenize_groups(tokenize, references.captions),
        source.scenes(split) if source.source.scenes else None,
        encoded.vocabulary,
        CaptionedFeatures(*encoded.of("train"), open_features(paths.REDUCED / "train.h5")),
    )


def compare_decodings(model: Decoder | Ensemble, scored: Scored, batch_size: int) -> list[dict[str, Any]]:
    """Caption the images in every way of ``DECODINGS``.

    Returns:
        For each a row: ``decoding``, ``cider_d``, ``bleu_4``, ``truth`` for scenes, ``distinct_2``,
        ``length``, ``log_probability`` (mean of a caption, nats), ``steps`` (rows that the decoder reads, an
        image) and ``time`` (of the processor, times greedy's).
    """
    rows: list[dict[str, Any]] = []
    greedy_seconds = 0.0
    for name, config in DECODINGS.items():
        search = make_search(config, scored.training)
        count = [0]

        def counted(decoder: StepDecoder, *rest: Any, search: Any = search, count: Any = count) -> Any:
            return search(_Counted(decoder, count), *rest)

        constraints = make_constraints(config, scored.vocabulary)
        begin = time.process_time()
        captions = generate(
            model,
            scored.features,
            scored.vocabulary,
            constraints,
            batch_size,
            counted,
            scored.image_ids,
        )
        seconds = time.process_time() - begin
        greedy_seconds = greedy_seconds or seconds
        texts = [caption.text for caption in captions]
        tokenized = tokenize(texts)
        scores = score_captions(tokenized, scored.references).metrics()
        variety = diversity(tokenized, None)
        row = {"decoding": name, "cider_d": scores["cider_d"], "bleu_4": scores["bleu_4"]}
        if scored.scenes is not None:
            claims = map(check_caption, texts, scored.scenes)
            row["truth"] = sum(map(is_true, claims)) / len(texts)
        row |= {key: variety[key] for key in ("distinct_2", "length")}
        row["log_probability"] = sum(caption.log_probability for caption in captions) / len(captions)
        row["steps"] = count[0] / len(captions)
        rows.append(row | {"time": seconds / greedy_seconds})
    return rows


HEADS = {
    "decoding": "decoding",
    "cider_d": "CIDEr-D",
    "bleu_4": "BLEU-4",
    "truth": "truth",
    "distinct_2": "distinct-2",
    "length": "words",
    "log_probability": "log-probability",
    "steps": "steps an image",
    "time": "time",
}


def format_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of ``compare_decodings`` as a Markdown table."""
    keys = [key for key in HEADS if key in rows[0]]
    lines = [
        "| " + " | ".join(HEADS[key] for key in keys) + " |",
        "|---|" + "---:|" * (len(keys) - 1),
    ]
    digits = {"length": 1, "log_probability": 2, "steps": 1, "time": 1}
    for row in rows:
        cells = [str(row[key]) if key == "decoding" else f"{row[key]:.{digits.get(key, 3)}f}" for key in keys]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print a table a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    options = parser.parse_args()
    if not paths.MODELS.is_dir():
        print("models: expected trained decoders, received none; make repro")
        return
    device = configure(replace(load(paths.PARAMS, RuntimeConfig), arithmetic="native"))
    batch_size = load(paths.PARAMS, EvaluateConfig).batch_size
    scored = load_scored(options.split)
    images, references = len(scored.image_ids), sum(map(len, scored.references))
    for name in options.models or decoder_names(paths.MODELS):
        model = load_model([paths.MODELS / member for member in name.split("+")], device)
        print(f"{name}: {images} {options.split} images, {references} references, from which the idf comes")
        print(f"\n{format_markdown(compare_decodings(model, scored, batch_size))}\n", flush=True)


if __name__ == "__main__":
    main()
