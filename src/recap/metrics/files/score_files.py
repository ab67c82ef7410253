"""Scores files of captions against captions of people."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycocoevalcap
from numpy.typing import NDArray

from recap.errors import InputError
from recap.metrics.clip_score import clip_scores, read_embeddings
from recap.metrics.config import TokenizerName
from recap.metrics.files.caption_files import read_captions
from recap.metrics.meteor.scoring import meteor
from recap.metrics.scores import score_captions
from recap.metrics.summary import source_of, summarize
from recap.metrics.systems import compare_systems, score_system
from recap.metrics.tokenization.by_name import tokenize_groups, tokenizer

COCO_2014_VALIDATION = "coco2014-val"
"""The captions from which papers on COCO's Karpathy split often take the idf; SPICE's jar has them."""


def score_files(
    results: Sequence[str],
    references: str,
    *,
    training: str | None,
    tokenizer_name: TokenizerName,
    with_meteor: bool,
    resamples: int,
    seed: int,
    subset: bool,
    idf: str | None,
    embeddings: Sequence[str] = (),
) -> dict[str, Any]:
    """Score files of captions, which ``read_captions`` reads, against captions of people.

    Args:
        results: a file a captioner.
        references: captions of people.
        training: captions that a novel caption is not among; for one captioner.
        tokenizer_name: of ``recap.metrics.tokenization.by_name``.
        with_meteor: whether METEOR is among the scores.
        resamples: of the bootstrap and of the paired tests.
        seed: draws them.
        subset: whether images that a file has no caption of are left out, where they else are refused.
        idf: a file whose captions CIDEr-D's idf comes from, or "coco2014-val"; None takes the references.
        embeddings: files of CLIP's for one captioner: of images, captions, and references if there are.

    Returns:
        What ``summarize`` says of one captioner with one caption an image, else what ``compare_systems``
        says; with what the scores come from.

    Raises:
        InputError: a file is not what it should be, or the tokenizer needs Java and there is none.
    """
    again = [name for place, name in enumerate(results) if name in results[:place]]
    if again:
        raise InputError(f"{again[0]}: expected every file of captions once, received it again")
    people = read_captions(references)
    said = {name: read_captions(name) for name in results}
    uncaptioned = [image for image, own in people.items() if not own]
    images = _images(people, said, subset=subset)
    tokenize = tokenizer(tokenizer_name)
    originals = tokenize_groups(tokenize, [people[image] for image in images])
    documents = None if idf is None else tokenize_groups(tokenize, corpus(idf))
    labels = [Path(name).stem for name in results]
    labels = labels if len(set(labels)) == len(labels) else list(results)
    candidates = {
        label: tokenize_groups(tokenize, [own[image] for image in images])
        for label, own in zip(labels, said.values(), strict=True)
    }
    several = len(results) > 1 or any(len(own) > 1 for group in candidates.values() for own in group)
    if several and embeddings:
        raise InputError("--clip-images: expected one captioner with one caption an image, received several")
    if several:
        systems = {
            label: score_system(own, originals, with_meteor=with_meteor, documents=documents)
            for label, own in candidates.items()
        }
        summary = source_of(originals) | compare_systems(systems, resamples, seed)
    else:
        captions = [own[0] for own in next(iter(candidates.values()))]
        known = (
            None if training is None else [text for own in read_captions(training).values() for text in own]
        )
        summary = summarize(
            captions,
            originals,
            score_captions(captions, originals, documents),
            further=_clip_scores(embeddings, images) if embeddings else {},
            meteor=meteor(captions, originals) if with_meteor else None,
            training_captions=None if known is None else tokenize(known),
            resamples=resamples,
            generator=np.random.default_rng(seed),
        )
    if documents is not None:
        summary["idf"] = f"the {sum(map(len, documents))} captions of {len(documents)} images of {idf}"
        for key in ("constant_caption", "constant_cider_d", "human_cider_d"):  # of another idf
            summary.pop(key, None)
    summary["tokenizer"] = tokenizer_name
    summary["images_without_captions"] = len(uncaptioned)
    summary["images_without_results"] = len(people) - len(uncaptioned) - len(images)
    if len(documents or originals) == 1:
        summary["note"] = "CIDEr-D is 0: with one image every n-gram is in all images, so its idf is 0"
    return summary


def _images(
    people: Mapping[str, list[str]], said: Mapping[str, Mapping[str, list[str]]], *, subset: bool
) -> list[str]:
    """Return the images that are scored, in the order of the references."""
    images = [image for image, own in people.items() if own]
    for name, own in said.items():
        unknown = [image for image in own if image not in people]
        if unknown:
            raise InputError(f"{name}: expected an image of the references, received image id {unknown[0]}")
        missing = [image for image in images if not own.get(image)]
        if missing and not subset:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(
                f"{name}: expected a caption for every image, received none for {missing[0]}{others}; "
                "--subset scores the images that have one"
            )
        images = [image for image in images if own.get(image)]
    if not images:
        raise InputError(f"{', '.join(said)}: expected captions of images of the references, received none")
    return images


def _clip_scores(files: Sequence[str], images: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    read = [read_embeddings(name, images, several=place == 2) for place, name in enumerate(files)]
    if len({own[0].shape[-1] for own in read}) > 1:
        sizes = ", ".join(f"{name}: {own[0].shape[-1]}" for name, own in zip(files, read, strict=True))
        raise InputError(f"expected embeddings of one size, received {sizes}")
    return clip_scores(*read)


def corpus(name: str) -> list[list[str]]:
    """Return the captions of each image of a file, or of "coco2014-val"."""
    if name != COCO_2014_VALIDATION:
        return [own for own in read_captions(name).values() if own]
    with zipfile.ZipFile(Path(pycocoevalcap.__path__[0]) / "spice" / "spice-1.0.jar") as jar:
        (member,) = (member for member in jar.namelist() if member.endswith("captions_val2014.json"))
        content = json.loads(jar.read(member))
    captions: dict[int, list[str]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        captions[annotation["image_id"]].append(annotation["caption"])
    return list(captions.values())
