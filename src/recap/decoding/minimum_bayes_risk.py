"""Consensus decoding: of many sampled captions of an image, choose the one that agrees most with many others.

It maximises the expected CIDEr-D under the decoder (minimum Bayes risk, Kumar and Byrne 2004). Candidates are
drawn at a low temperature, as good captions are likely ones; pseudo-references, with which they are compared,
at a higher one. Captions of similar training images can be references too (Devlin et al. 2015). The members
of an ensemble draw separately; all their draws are compared together.

Shapes: N batch, D feature, K candidates or pseudo-references an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recap.decoding.caption import Constraints
from recap.decoding.neighbours import Neighbours, Tokens, WeightedCaptions
from recap.decoding.sampling import sample
from recap.decoding.search import StepDecoder, Words
from recap.metrics.cider_d import CiderD, InverseFrequency

ROWS_AT_ONCE = 16384  # draws that a decoder reads together: bounds memory
NEIGHBOURS_WEIGHT = 5.0  # of the captions of all neighbours, relative to all pseudo-references


@dataclass(frozen=True)
class Consensus:
    """Draws candidates and pseudo-references, and ranks the candidates by mean CIDEr-D against these.

    Attributes:
        idf: of n-grams of token numbers, <END> the last token of a caption.
        candidates: captions that each member of an ensemble draws.
        temperature: of these draws.
        pseudo_references: captions that each member draws to compare with.
        pseudo_reference_temperature: of these draws.
        seed: of all draws.
        neighbours: whose captions are references too, with ``NEIGHBOURS_WEIGHT`` times their weights.
    """

    idf: InverseFrequency
    candidates: int
    temperature: float
    pseudo_references: int
    pseudo_reference_temperature: float
    seed: int
    neighbours: Neighbours | None

    def __call__(
        self, decoder: StepDecoder, features: Tensor, constraints: Constraints, image_ids: Sequence[int]
    ) -> list[list[Words]]:
        """Return the candidates of each image, best first; of equals, the one drawn first."""
        members = decoder.members_with_features(features)
        candidates = self._drawn(members, constraints, image_ids, 0, self.candidates, self.temperature)
        pseudo_references = self._drawn(
            members,
            constraints,
            image_ids,
            self.candidates,
            self.pseudo_references,
            self.pseudo_reference_temperature,
        )
        neighbours: Sequence[WeightedCaptions] = [([], [])] * len(image_ids)
        if self.neighbours:
            neighbours = self.neighbours(features)
        return [self._ranked(*own) for own in zip(candidates, pseudo_references, neighbours, strict=True)]

    def _drawn(
        self,
        members: Sequence[tuple[StepDecoder, Tensor]],
        constraints: Constraints,
        image_ids: Sequence[int],
        first: int,
        count: int,
        temperature: float,
    ) -> list[list[Words]]:
        """Draw for each image ``count`` captions of every member, from that member's draw ``first`` on."""
        each = self.candidates + self.pseudo_references
        drawn: list[list[Words]] = [[] for _ in image_ids]
        for number, (member, features) in enumerate(members):
            start = number * each + first
            ids = [
                image * each * len(members) + draw
                for image in image_ids
                for draw in range(start, start + count)
            ]
            captions = self._draw(member, features, constraints, ids, temperature)
            for place, own in enumerate(drawn):
                own += captions[place * count : (place + 1) * count]
        return drawn

    def _draw(
        self,
        decoder: StepDecoder,
        features: Tensor,
        constraints: Constraints,
        ids: Sequence[int],
        temperature: float,
    ) -> list[Words]:
        """Draw a caption for each of the ids, N times as many as features (N, D), image by image."""
        count = len(ids) // len(features)
        captions: list[Words] = []
        for start in range(0, len(ids), ROWS_AT_ONCE):
            part = ids[start : start + ROWS_AT_ONCE]
            rows = torch.arange(start, start + len(part), device=features.device) // count
            drawn = sample(
                decoder, features[rows], constraints, part, seed=self.seed, temperature=temperature
            )
            captions += [words for (words,) in drawn]
        return captions

    def _ranked(
        self, candidates: list[Words], pseudo_references: list[Words], neighbours: WeightedCaptions
    ) -> list[Words]:
        """Sort candidates by their score against weighted references."""
        captions: list[Tokens] = [words.tokens for words in pseudo_references] + neighbours[0]
        weights = [1 / len(pseudo_references)] * len(pseudo_references)
        weights += [NEIGHBOURS_WEIGHT * weight for weight in neighbours[1]]
        score = CiderD(captions, self.idf, weights)
        known: dict[tuple[int, ...], float] = {}  # the same caption is often drawn again
        for words in candidates:
            key = tuple(words.tokens)
            if key not in known:
                known[key] = score(key)
        return sorted(candidates, key=lambda words: -known[tuple(words.tokens)])
