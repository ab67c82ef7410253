"""Captions drawn from the decoder's distribution, with temperature, top-k and top-p.

Shapes: N batch, D feature, V vocabulary, R rows that are not finished, L words at most.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap.decoding.caption import Constraints
from recap.decoding.greedy import word_by_word
from recap.decoding.search import StepDecoder, Words


def sample(
    decoder: StepDecoder,
    features: Tensor,
    constraints: Constraints,
    image_ids: Sequence[int],
    *,
    seed: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> list[list[Words]]:
    """Draw every word by its probability among the allowed ones; one caption an image.

    The draw of a word depends only on the seed, the image's id and the position of the word, so a caption
    is the same in any batch and any order of the images, but for the rounding of scores.

    Args:
        decoder, features, constraints: as in ``Search``.
        image_ids: N, from -2^63 to 2^63 - 1.
        seed: from 0 to 2^63 - 1.
        temperature: positive; divides the log-probabilities: below 1 likely words become likelier.
        top_k: draw from the k likeliest words only (Fan et al. 2018); None for all.
        top_p: draw from the fewest words that have at least this probability together, after temperature and
            top_k (nucleus sampling, Holtzman et al. 2020); 1 for all.
    """
    uniform = torch.from_numpy(_uniform(seed, image_ids, constraints.max_length)).to(
        features.device
    )  # (N, L)

    def choose(logs: Tensor, images: Tensor, step: int) -> Tensor:
        sharpened = logs.double() / temperature  # (R, V)
        words = None
        if top_k is not None:
            sharpened, words = sharpened.topk(min(top_k, logs.shape[1]))  # (R, k), descending
        elif top_p < 1:
            sharpened, words = sharpened.sort(dim=1, descending=True)
        probability = sharpened.softmax(1)
        cumulative = probability.cumsum(1)
        if top_p < 1:
            probability = probability.masked_fill(cumulative - probability >= top_p, 0)
            cumulative = probability.cumsum(1)
        total = cumulative[:, -1:].contiguous()
        place = torch.searchsorted(cumulative, uniform[images, step, None] * total, right=True)  # (R, 1)
        last = torch.searchsorted(cumulative, total)  # rounding must not reach words of probability 0
        place = torch.minimum(place, last)
        return (place if words is None else words.gather(1, place))[:, 0]

    return word_by_word(decoder, features, constraints, choose)


def _uniform(seed: int, image_ids: Sequence[int], length: int) -> NDArray[np.float64]:
    """Draw numbers from [0, 1), (N, L) float64: row i depends only on the seed and the id of image i."""
    numbers = np.empty((len(image_ids), length))
    for row, image_id in enumerate(image_ids):
        key = np.array([seed, image_id % 2**64], dtype=np.uint64)
        np.random.Generator(np.random.Philox(key=key)).random(out=numbers[row])
    return numbers
