"""How well a decoder predicts the captions that people wrote. M captions, T steps, N batch, D feature."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from recap.decoders.decoder import Decoder
from recap.text.vocabulary import NULL


def perplexity(
    decoder: Decoder,
    features: NDArray[np.float32],
    captions: NDArray[np.int32],
    image_rows: NDArray[np.int32],
    batch_size: int,
) -> float:
    """exp of the mean loss over all words of all captions, <END> included and <NULL> not.

    Args:
        decoder: in eval mode, on the device to compute on.
        features: (images, D) float32.
        captions: (M, T) int32 in the CS231n layout.
        image_rows: (M,) int32, the row of each caption's image.
        batch_size: captions at once.
    """
    device = next(decoder.parameters()).device
    total, words = 0.0, 0
    # Captions of one length together: no work on padding.
    order = np.argsort((captions != NULL).sum(axis=1), kind="stable")
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            longest = int((captions[rows] != NULL).sum(axis=1).max())
            batch = torch.from_numpy(captions[rows, :longest].astype(np.int64)).to(device)  # (N, T)
            images = torch.from_numpy(np.ascontiguousarray(features[image_rows[rows]])).to(device)  # (N, D)
            count = int((batch[:, 1:] != NULL).sum())
            total += float(decoder.loss(images, batch)) * count
            words += count
    return math.exp(total / words)
