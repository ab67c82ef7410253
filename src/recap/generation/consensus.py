"""Consensus decoding: of many sampled captions of an image, the one that agrees most with many others.

It maximises the expected CIDEr-D under the decoder (minimum Bayes risk, Kumar and Byrne 2004), where a beam
maximises the probability. What is chosen from and what it is compared with are drawn apart: good candidates
are likely captions, a low temperature; the voters stand for what people may say, a higher one. What
people did say of similar training images may vote too (consensus captions of neighbours: Devlin et al. 2015).

Shapes: N batch, D feature, K candidates or voters an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recap.data.batches import CaptionedFeatures
from recap.evaluation.cider_d import CiderD, InverseFrequency
from recap.generation.caption import Constraints
from recap.generation.neighbours import Neighbours, Tokens, captions_of_images
from recap.generation.sampling import sample
from recap.generation.search import StepDecoder, Words

ROWS_AT_ONCE = 16384  # draws that a decoder reads together: bounds memory


@dataclass(frozen=True)
class Consensus:
    """A search: draws candidates and voters and ranks the candidates by mean CIDEr-D against the voters.

    Attributes:
        rarity: weights of n-grams of words' numbers, <END> the last word, as ``rarity_of`` gives them.
        candidates: captions drawn to choose from.
        temperature: of their draws.
        voters: captions drawn to compare them with.
        voter_temperature: of those draws.
        seed: of the draws.
        neighbours: whose captions vote too, with the weight of all voters together.
    """

    rarity: InverseFrequency
    candidates: int = 40
    temperature: float = 0.5
    voters: int = 40
    voter_temperature: float = 1.0
    seed: int = 0
    neighbours: Neighbours | None = None

    def __call__(
        self, decoder: StepDecoder, features: Tensor, constraints: Constraints, image_ids: Sequence[int]
    ) -> list[list[Words]]:
        """The candidates of each image, best first; of equals, the one drawn first.

        Args:
            decoder: in eval mode.
            features: (N, D).
            constraints: what a caption may be.
            image_ids: N; draws depend on them.
        """
        per_image = self.candidates + self.voters
        groups: list[list[list[Words]]] = []
        for first, count, temperature in (
            (0, self.candidates, self.temperature),
            (self.candidates, self.voters, self.voter_temperature),
        ):
            ids = [image * per_image + first + draw for image in image_ids for draw in range(count)]
            captions: list[Words] = []
            for start in range(0, len(ids), ROWS_AT_ONCE):
                part = ids[start : start + ROWS_AT_ONCE]
                rows = torch.arange(start, start + len(part), device=features.device) // count
                drawn = sample(
                    decoder, features[rows], constraints, part, seed=self.seed, temperature=temperature
                )
                captions += [words for (words,) in drawn]
            groups.append([captions[start : start + count] for start in range(0, len(ids), count)])
        candidates, voters = groups
        panels: list[list[list[Tokens]]] = [[[words.tokens for words in own] for own in voters]]
        if self.neighbours:
            panels.append(self.neighbours(features))
        return [self._ranked(own, voting) for own, *voting in zip(candidates, *panels, strict=True)]

    def _ranked(self, candidates: list[Words], panels: list[list[Tokens]]) -> list[Words]:
        scores = [CiderD(panel, self.rarity) for panel in panels]
        known: dict[tuple[int, ...], float] = {}  # the same caption is often drawn again
        for words in candidates:
            key = tuple(words.tokens)
            if key not in known:
                known[key] = sum(score(key) for score in scores)
        return sorted(candidates, key=lambda words: -known[tuple(words.tokens)])


def rarity_of(training: CaptionedFeatures) -> InverseFrequency:
    """Weights of n-grams from the captions of images."""
    return InverseFrequency(list(captions_of_images(training).values()))
