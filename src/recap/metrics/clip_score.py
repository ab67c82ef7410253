"""CLIPScore and RefCLIPScore (Hessel et al. 2021) from embeddings that the user's CLIP gave."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recap.core.input_files import check_regular
from recap.errors import InputError

WEIGHT = 2.5

Vectors = NDArray[np.floating]


def clip_scores(
    images: Sequence[Vectors], captions: Sequence[Vectors], references: Sequence[Vectors] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Score one caption of each of N images by embeddings of D numbers, which need no length of 1.

    Args:
        images: N embeddings, (D,) each.
        captions: N embeddings, (D,) each.
        references: N times those of one or more captions of people, (R, D) each, for RefCLIPScore.

    Returns:
        ``clip_score``, 0 to 2.5, and ``ref_clip_score``, 0 to 1.43; (N,) each.
    """
    pairs = zip(images, captions, strict=True)
    scores = {"clip_score": WEIGHT * np.array([_nearest(image[None], own) for image, own in pairs])}
    if references is not None:
        nearest = np.array(
            [_nearest(own, caption) for own, caption in zip(references, captions, strict=True)]
        )
        sums = scores["clip_score"] + nearest
        products = 2 * scores["clip_score"] * nearest
        scores["ref_clip_score"] = np.divide(products, sums, out=np.zeros(len(sums)), where=sums > 0)
    return scores


def _nearest(vectors: Vectors, other: Vectors) -> float:
    """Return the largest cosine of vectors (R, D) with another (D,); below 0 it is 0 (Hessel et al.)."""
    vectors, other = vectors.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(other)
    cosines = np.divide(vectors @ other, lengths, out=np.zeros(len(vectors)), where=lengths > 0)
    return float(cosines.max(initial=0.0))


def read_embeddings(path: str, images: Sequence[str], *, several: bool = False) -> list[Vectors]:
    """Read the embeddings of images from a .npz file whose arrays are named by image.

    Args:
        path: the file.
        images: the names of those that are wanted.
        several: whether an image has a row for each of its captions, (R, D), or one embedding, (D,).

    Raises:
        InputError: the file cannot be read, an image is absent, or an array has another form.
    """
    check_regular(Path(path))
    try:
        with zipfile.ZipFile(path), np.load(Path(path), allow_pickle=False) as arrays:
            absent = [image for image in images if image not in arrays]
            if absent:
                raise InputError(f"{path}: expected an array for every image, received none for {absent[0]}")
            found = [arrays[image] for image in images]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path}: expected .npz with an array an image, received: {error}") from None
    width = found[0].shape[-1:]
    expected = f"{'rows of ' if several else ''}{width[0] if width else 'some'} finite numbers"
    for image, array in zip(images, found, strict=True):
        fits = array.ndim == 1 + several and array.size and array.shape[-1:] == width
        if not fits or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise InputError(f"{path}: {image}: expected {expected}, received {array.dtype} {array.shape}")
    return found
