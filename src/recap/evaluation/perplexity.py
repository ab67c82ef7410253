"""How well a decoder predicts the captions that people wrote."""

import math

import torch

from recap.decoders.decoder import Decoder
from recap.text.batches import CaptionedFeatures, sorted_batches


def perplexity(decoder: Decoder, data: CaptionedFeatures, batch_size: int) -> float:
    """Return exp of the mean loss over all words of all captions, <END> included and <NULL> not.

    Args:
        decoder: in eval mode, on the device to compute on.
        data: the captions.
        batch_size: captions at once.
    """
    device = next(decoder.parameters()).device
    total, words = 0.0, 0
    with torch.inference_mode():
        for rows in sorted_batches(data.lengths(), batch_size):
            features, captions = data.batch(rows)
            count = data.words(rows)
            total += float(decoder.loss(features.to(device), captions.to(device))) * count
            words += count
    return math.exp(total / words)
