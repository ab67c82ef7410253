"""Deals images to splits by their ids, where a source does not say which are for what."""

import hashlib
from collections.abc import Mapping, Sequence

from recap.errors import InputError


def deal(ids: Sequence[int], shares: Mapping[str, float]) -> dict[str, list[int]]:
    """Deal images to training and to the splits of ``shares``, each image by a hash of its id alone.

    So an image stays in its split when others come or go. Only where a split would have none, the next one
    in the order of the hashes goes there.

    Returns:
        The rows of "train" and of each other split, ascending.

    Raises:
        InputError: there are fewer images than splits.
    """
    if len(ids) <= len(shares):
        raise InputError(
            f"images: expected at least {len(shares) + 1}, one for each split, received {len(ids)}"
        )
    places = [_place(image_id) for image_id in ids]
    ranked = sorted(range(len(ids)), key=places.__getitem__)
    dealt: dict[str, list[int]] = {}
    start, bound = 0, 0.0
    for split, share in shares.items():
        bound += share
        most = len(ids) - len(shares) + len(dealt)  # leaves one for each of the others
        end = min(max(start + 1, sum(place < bound for place in places)), most)
        dealt[split] = sorted(ranked[start:end])
        start = end
    return {"train": sorted(ranked[start:]), **dealt}


def _place(image_id: int) -> float:
    """Return a number in 0..1 that tells nothing about the image.

    Others split by a hash of the id as well, so this one is of more than the id.
    """
    return int.from_bytes(hashlib.sha256(f"split/{image_id}".encode()).digest()[:8]) / 2**64
