"""Greedy search, and the loop that it shares with sampling: one word after the other.

Shapes: N batch, D feature, V vocabulary, R rows that are not finished, L words at most.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recap.decoding.caption import Constraints
from recap.decoding.search import StepDecoder, Words, forbid, select
from recap.text.vocabulary import END, NULL, START

Choose = Callable[[Tensor, Tensor, int], Tensor]
"""Log-probabilities (R, V) of the allowed words, their images (R,) and the step to tokens (R,)."""


def greedy(
    decoder: StepDecoder, features: Tensor, constraints: Constraints, image_ids: Sequence[int] = ()
) -> list[list[Words]]:
    """Take the likeliest allowed word until <END> or the maximum length; of equals, the first.

    Arguments are those of ``Search``; a constraint changes the choice, not the probability of a word.
    """
    return word_by_word(decoder, features, constraints, lambda logs, images, step: logs.argmax(1))


def word_by_word(
    decoder: StepDecoder, features: Tensor, constraints: Constraints, choose: Choose
) -> list[list[Words]]:
    """Write one caption an image, of words that ``choose`` takes; a finished one leaves the batch."""
    count, device = len(features), features.device
    prefix = torch.full((count, constraints.max_length), NULL, device=device)  # (N, L)
    logs = torch.zeros((count, constraints.max_length), dtype=features.dtype, device=device)  # (N, L)
    lengths = torch.full((count,), constraints.max_length)  # (N,)
    rows = torch.arange(count, device=device)  # (R,)
    tokens = torch.full((count,), START, device=device)  # (R,)
    state = decoder.start(features)
    for step in range(constraints.max_length):
        scores, state = decoder.step(tokens, state)
        log_probabilities = scores.log_softmax(1)  # (R, V)
        forbid(log_probabilities, prefix[rows, :step], constraints)
        tokens = choose(log_probabilities, rows, step)
        prefix[rows, step] = tokens
        logs[rows, step] = log_probabilities.gather(1, tokens[:, None])[:, 0].to(logs.dtype)
        ended = tokens == END
        if bool(ended.any()):
            lengths[rows[ended].cpu()] = step + 1
            going = (~ended).nonzero()[:, 0]
            if not len(going):
                break
            rows, tokens, state = rows[going], tokens[going], select(state, going)
    return [
        [Words(own_tokens[:length], own_logs[:length])]
        for own_tokens, own_logs, length in zip(prefix.tolist(), logs.tolist(), lengths.tolist(), strict=True)
    ]
