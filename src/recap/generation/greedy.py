"""Greedy search: the likeliest word, then the likeliest after it.

Shapes: N batch, D feature, V vocabulary, R rows that are not finished.
"""

import torch
from torch import Tensor

from recap.data.vocabulary import END, START
from recap.decoders.decoder import Decoder
from recap.generation.caption import Constraints

Words = list[tuple[int, float]]
"""The tokens of a caption, each with its log-probability; the last one may be <END>."""


def greedy(decoder: Decoder, features: Tensor, constraints: Constraints) -> list[Words]:
    """Take the likeliest allowed word until <END> or the maximum length; of equals, the first.

    A finished caption leaves the batch. The log-probabilities are the decoder's own: a ban changes what is
    chosen, not how likely it was.

    Args:
        decoder: in eval mode.
        features: (N, D).
        constraints: what a caption may be.

    Returns:
        One list of (token, log-probability) an image.
    """
    count = len(features)
    captions: list[Words] = [[] for _ in range(count)]
    rows = torch.arange(count, device=features.device)  # (R,)
    tokens = torch.full((count,), START, device=features.device)  # (R,)
    state = decoder.start(features)
    banned = torch.tensor(constraints.banned, dtype=torch.int64, device=features.device)
    for _ in range(constraints.max_length):
        scores, state = decoder.step(tokens, state)
        log_probabilities = scores.log_softmax(1)  # (R, V)
        tokens = log_probabilities.index_fill(1, banned, float("-inf")).argmax(1)
        chosen = log_probabilities.gather(1, tokens[:, None])[:, 0]  # (R,)
        for row, token, value in zip(rows.tolist(), tokens.tolist(), chosen.tolist(), strict=True):
            captions[row].append((token, value))
        going = (tokens != END).nonzero()[:, 0]
        if not len(going):
            break
        if len(going) < len(tokens):
            rows, tokens = rows[going], tokens[going]
            state = tuple(part.index_select(0, going) for part in state)
    return captions
