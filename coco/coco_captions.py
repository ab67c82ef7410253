"""The captions of the CS231n archive, made again from COCO's own annotations of 2014.

Shapes: M captions of a part, L = 17 steps of a caption.
"""

import json
import os
import string
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recap.core.artifacts import write_text
from recap.core.input_files import read_json
from recap.errors import InputError
from recap.progress import track
from recap.sources.cs231n import (
    CAPTION_ROWS,
    CAPTIONS_MEMBER,
    MEMBER_BYTES,
    PARTS,
    STEPS,
    VOCABULARY_MEMBER,
    WORDS,
    unzipped,
)
from recap.text.captions import Captions, save_captions
from recap.text.coco_files import check_coco_captions
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def rebuild_captions(annotations: Path, directory: Path) -> dict[str, int]:
    """Write captions, vocabulary, names and URLs of images as members of the archive have them.

    Words are lowercase and without punctuation; captions of more than 15 are left out. The vocabulary holds
    the most frequent words of all training captions, equally frequent ones by alphabet.

    Args:
        annotations: COCO's zip, or any that holds its files.
        directory: empty; receives the members.

    Returns:
        ``vocabulary``, and for each part of the archive the number of captions.

    Raises:
        InputError: the file is absent or is no such file.
    """
    words: dict[str, list[list[str]]] = {}
    rows: dict[str, list[int]] = {}
    for part in PARTS.values():
        file = unzipped(annotations, part, directory)
        if file == annotations:
            raise InputError(f"{annotations}: expected COCO's zip of annotations, received another file")
        images, captions = check_coco_captions(read_json(file), str(annotations))
        file.unlink()
        row_of = {image["id"]: row for row, image in enumerate(images)}
        captions.sort(key=lambda caption: row_of[caption["image_id"]])
        words[part] = [
            caption["caption"].lower().translate(_NO_PUNCTUATION).split() for caption in track(captions, part)
        ]
        rows[part] = [row_of[caption["image_id"]] for caption in captions]
        names = "".join(f"coco/images/{part}2014/{image['file_name']}\n" for image in images)
        write_text(directory / f"{part}2014_images.txt", names)
        urls = "".join(f"{image.get('flickr_url', '')}\n" for image in images)
        write_text(directory / f"{part}2014_urls.txt", urls)
    counts = Counter(word for caption in words["train"] for word in caption)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = Vocabulary((*SPECIAL_WORDS, *ranked[: WORDS - len(SPECIAL_WORDS)]))
    splits: dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]] = {}
    for part, own in words.items():
        kept = [number for number, caption in enumerate(own) if len(caption) <= STEPS - 2]
        encoded = vocabulary.encode([own[number] for number in kept], STEPS)  # (M, L)
        splits[part] = (encoded, np.array([rows[part][number] for number in kept], np.int32))
    save_captions(directory, Captions(vocabulary, splits))
    path = (directory / "captions.h5").rename(directory / CAPTIONS_MEMBER)
    counted = {part: len(encoded) for part, (encoded, _) in splits.items()}
    if counted == CAPTION_ROWS:
        os.truncate(path, MEMBER_BYTES[CAPTIONS_MEMBER])  # bytes behind the end of an HDF5 file mean nothing
    (directory / "vocabulary.json").unlink()
    write_text(directory / VOCABULARY_MEMBER, json.dumps(vocabulary.to_json()))
    return {"vocabulary": len(vocabulary), **counted}
