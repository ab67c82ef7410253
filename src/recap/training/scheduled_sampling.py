"""Scheduled sampling: while it learns, a decoder reads some of its own words in place of the people's.

Shapes: N batch, T time, D feature, V vocabulary, L = T + 1 steps of an encoded caption.
"""

import torch
from torch import Tensor

from recap.data.vocabulary import NULL
from recap.decoders.decoder import Decoder


@torch.no_grad()
def words_to_read(
    decoder: Decoder, features: Tensor, captions: Tensor, share: float, generator: torch.Generator
) -> Tensor:
    """The words of captions, each but the first replaced with probability ``share`` by one of the decoder.

    A word of the decoder is drawn from its distribution after the words of people (Bengio et al. 2015, in the
    two passes of Mihaylova and Martins 2019, so that time needs no loop).

    Args:
        decoder: in eval mode here, whatever its mode was.
        features: (N, D).
        captions: (N, L) int64.
        share: 0 to 1.
        generator: draws, on the device of the features.

    Returns:
        (N, T) int64, what to read.
    """
    read = captions[:, :-1]  # (N, T)
    mode = decoder.training
    decoder.eval()
    scores = decoder(features, read[:, :-1])  # (N, T - 1, V)
    decoder.train(mode)
    said = draw_words(scores, generator)  # (N, T - 1)
    own = torch.rand(said.shape, generator=generator, device=said.device) < share
    own &= read[:, 1:] != NULL
    return torch.cat((read[:, :1], torch.where(own, said, read[:, 1:])), dim=1)


def draw_words(scores: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from softmax(scores), (..., V) to (...) int64: the largest of scores with Gumbel noise."""
    uniform = torch.rand(scores.shape, generator=generator, device=scores.device, dtype=scores.dtype)
    return (scores - (-uniform.log()).log()).argmax(-1)
