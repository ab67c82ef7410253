"""Captions every validation image with a decoder and scores what it wrote."""

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


def evaluate_decoder(
    model: Path, raw: Path, captions: Path, reduced: Path, config: EvaluateConfig, device: torch.device
) -> Evaluation:
    """Load a decoder, caption the validation images, and score the captions.

    Args:
        model: folder of the decoder.
        raw: folder that `fetch` wrote; its scene graphs, when there, decide the truth of captions.
        captions: folder that `tokenize` wrote.
        reduced: folder that `reduce` wrote; features (images, D) of both splits.
        config: the group `evaluate`.
        device: where to compute.

    Returns:
        The evaluation; ``per_image`` has ``log_probabilities``, the decoder's own of each word and of <END>;
        ``metrics``, beside the parts, ``perplexity`` and which ``references`` were used.

    Raises:
        InputError: a folder does not hold what its stage writes.
    """
    data = load_captions(captions)
    source = load_raw(raw)
    decoder = load_decoder(model, device)
    features = open_features(reduced / "val.h5")
    references = read_references(captions / "references_val.json")
    training = None
    if config.decoding.search == "consensus":
        training = CaptionedFeatures(*data.of("train"), open_features(reduced / "train.h5"))
    captioner = Captioner(
        decoder, data.vocabulary, config.decoding, training=training, batch_size=config.batch_size
    )
    generated = captioner.caption_reduced(features, references.image_ids)
    evaluation = evaluate(
        [caption.text for caption in generated],
        references,
        [item["caption"] for item in load_references(captions, "train")["annotations"]],
        source.scenes("val") if source.source.scenes else None,
        config,
    )
    encoded, image_rows = data.of("val")
    metrics = evaluation.metrics | {
        "perplexity": perplexity(decoder, features, encoded, image_rows, config.batch_size),
        "references": source.source.references,
    }
    per_image = [
        row | {"log_probabilities": list(caption.log_probabilities)}
        for row, caption in zip(evaluation.per_image, generated, strict=True)
    ]
    return dataclasses.replace(evaluation, per_image=per_image, metrics=metrics)
