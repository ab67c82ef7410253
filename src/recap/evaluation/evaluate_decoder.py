"""Captions every test image with a decoder and scores what it wrote."""

import dataclasses
from pathlib import Path

import torch

from recap.captioner import Captioner
from recap.core.feature_files import open_features
from recap.core.raw_data import load_raw
from recap.decoders.build import load_decoder
from recap.evaluation.config import EvaluateConfig
from recap.evaluation.evaluate import Evaluation, evaluate
from recap.evaluation.perplexity import perplexity
from recap.text.batches import CaptionedFeatures
from recap.text.captions import load_captions, load_references
from recap.text.coco_files import read_references

MOST_RUNNERS_UP = 4


def evaluate_decoder(
    model: Path, raw: Path, captions: Path, reduced: Path, config: EvaluateConfig, device: torch.device
) -> Evaluation:
    """Load a decoder, caption the test images, and score the captions.

    Args:
        model: folder of the decoder.
        raw: folder that `fetch` wrote; its scene graphs, when there, decide the truth of captions.
        captions: folder that `tokenize` wrote.
        reduced: folder that `reduce` wrote; features (images, D) of each split.
        config: the group `evaluate`.
        device: where to compute.

    Returns:
        The evaluation; ``per_image`` has ``log_probabilities``, the decoder's own of each word and of <END>,
        and ``runners_up``, what a beam liked less, each with its log-probability; ``metrics``, beside the
        parts, ``perplexity`` and which ``references`` were used.

    Raises:
        InputError: a folder does not hold what its stage writes.
    """
    data = load_captions(captions)
    source = load_raw(raw)
    decoder = load_decoder(model, device)
    features = open_features(reduced / "test.h5")
    references = read_references(captions / "references_test.json")
    training = None
    if config.decoding.search == "consensus":
        training = CaptionedFeatures(*data.of("train"), open_features(reduced / "train.h5"))
    captioner = Captioner(
        decoder,
        data.vocabulary,
        config.decoding,
        training=training,
        batch_size=config.batch_size,
        n_best=1 + MOST_RUNNERS_UP,
    )
    found = captioner.caption_n_best(features, references.image_ids)
    generated = [best for best, *_ in found]
    evaluation = evaluate(
        [caption.text for caption in generated],
        references,
        [item["caption"] for item in load_references(captions, "train")["annotations"]],
        source.scenes("test") if source.source.scenes else None,
        config,
    )
    metrics = evaluation.metrics | {
        "perplexity": perplexity(decoder, CaptionedFeatures(*data.of("test"), features), config.batch_size),
        "references": source.source.references,
    }
    per_image = [
        row
        | {
            "log_probabilities": list(best.log_probabilities),
            "runners_up": [{"caption": own.text, "log_probability": own.log_probability} for own in others],
        }
        for row, (best, *others) in zip(evaluation.per_image, found, strict=True)
    ]
    return dataclasses.replace(evaluation, per_image=per_image, metrics=metrics)
