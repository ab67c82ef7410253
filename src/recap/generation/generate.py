"""Captions for many images: batches of features through a search, tokens to words.

Shapes: I images, N batch, D feature.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap.data.vocabulary import END, Vocabulary
from recap.decoders.decoder import Decoder
from recap.generation.caption import Caption, Constraints
from recap.generation.greedy import Words, greedy
from recap.progress import track

Search = Callable[[Decoder, Tensor, Constraints], list[Words]]
"""Decoder and features (N, D) to the tokens and log-probabilities of N captions."""


def generate(
    decoder: Decoder,
    features: NDArray[np.float32],
    vocabulary: Vocabulary,
    constraints: Constraints,
    batch_size: int,
    search: Search = greedy,
) -> list[Caption]:
    """Caption images.

    Args:
        decoder: in eval mode, on the device to compute on.
        features: (I, D) float32, may be mapped from a file.
        vocabulary: of the decoder.
        constraints: what a caption may be.
        batch_size: images at once.
        search: how to choose words.

    Returns:
        One caption an image, in their order.
    """
    device = next(decoder.parameters()).device
    captions: list[Caption] = []
    with torch.inference_mode():
        for first in track(range(0, len(features), batch_size), "captions"):
            batch = np.array(features[first : first + batch_size])
            for words in search(decoder, torch.from_numpy(batch).to(device), constraints):
                tokens = tuple(token for token, _ in words if token != END)
                captions.append(
                    Caption(
                        tokens,
                        tuple(value for _, value in words),
                        tuple(vocabulary.idx_to_word[token] for token in tokens),
                        vocabulary.separator,
                    )
                )
    return captions
