"""Captions of many images: batches of features through a search, tokens to words.

Shapes: I images, N batch, D feature.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from recap.decoders.decoder import Decoder
from recap.decoders.ensemble import Ensemble
from recap.decoding.caption import Caption, Constraints
from recap.decoding.greedy import greedy
from recap.decoding.search import Search, Words
from recap.progress import track
from recap.text.vocabulary import END, Vocabulary


def generate(
    decoder: Decoder | Ensemble,
    features: NDArray[np.float32],
    vocabulary: Vocabulary,
    constraints: Constraints,
    batch_size: int,
    search: Search = greedy,
    image_ids: Sequence[int] | None = None,
) -> list[Caption]:
    """Return the best caption of each image, in their order; arguments as of ``generate_n_best``."""
    found = generate_n_best(decoder, features, vocabulary, constraints, batch_size, search, image_ids)
    return [best for best, *_ in found]


def generate_n_best(
    decoder: Decoder | Ensemble,
    features: NDArray[np.float32],
    vocabulary: Vocabulary,
    constraints: Constraints,
    batch_size: int,
    search: Search = greedy,
    image_ids: Sequence[int] | None = None,
) -> list[list[Caption]]:
    """Return what the search finds of each image, best first.

    Args:
        decoder: in eval mode, on the device to compute on.
        features: (I, D) float32, may be mapped from a file.
        vocabulary: of the decoder.
        constraints: on captions.
        batch_size: images at once.
        search: how to choose words.
        image_ids: I, on which random draws depend; None: the numbers of the rows.
    """
    device = next(decoder.parameters()).device
    ids = range(len(features)) if image_ids is None else image_ids
    captions: list[list[Caption]] = []
    with torch.inference_mode():
        for first in track(range(0, len(features), batch_size), "captions"):
            rows = slice(first, first + batch_size)
            batch = torch.from_numpy(np.array(features[rows])).to(device)  # (N, D)
            captions += [
                [_caption(words, vocabulary) for words in own]
                for own in search(decoder, batch, constraints, ids[rows])
            ]
    return captions


def _caption(words: Words, vocabulary: Vocabulary) -> Caption:
    tokens = tuple(token for token in words.tokens if token != END)
    return Caption(
        tokens,
        tuple(words.log_probabilities),
        tuple(vocabulary.idx_to_word[token] for token in tokens),
        vocabulary.separator,
    )
