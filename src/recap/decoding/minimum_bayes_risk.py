"""Consensus decoding: of many sampled captions of an image, the one that agrees most with many others.

It maximises the expected CIDEr-D under the decoder (minimum Bayes risk, Kumar and Byrne 2004), where a beam
maximises the probability. What is chosen from and what it is compared with are drawn apart: good candidates
are likely captions, a low temperature; the voters stand for what people may say, a higher one. What
people did say of similar training images may vote too (consensus captions of neighbours: Devlin et al. 2015).
The members of an ensemble draw apart, so that each proposes what it alone would say, and vote together.

Shapes: N batch, D feature, K candidates or voters an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recap.decoding.caption import Constraints
from recap.decoding.neighbours import Neighbours, Said, Tokens
from recap.decoding.sampling import sample
from recap.decoding.search import StepDecoder, Words, members_of
from recap.metrics.cider_d import CiderD, InverseFrequency

ROWS_AT_ONCE = 16384  # draws that a decoder reads together: bounds memory
NEIGHBOURS_TO_VOTERS = 5.0  # all neighbours' weight to that of all voters


@dataclass(frozen=True)
class Consensus:
    """A search: draws candidates and voters and ranks the candidates by mean CIDEr-D against the voters.

    Attributes:
        idf: weights of n-grams of words' numbers, <END> the last word of a caption.
        candidates: captions drawn to choose from, by each member of an ensemble.
        temperature: of their draws.
        voters: captions drawn to compare them with, by each member of an ensemble.
        voter_temperature: of those draws.
        seed: of the draws.
        neighbours: whose captions vote too, ``NEIGHBOURS_TO_VOTERS`` times their weights.
    """

    idf: InverseFrequency
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
        members = members_of(decoder, features)
        candidates = self._drawn(members, constraints, image_ids, 0, self.candidates, self.temperature)
        voters = self._drawn(
            members, constraints, image_ids, self.candidates, self.voters, self.voter_temperature
        )
        neighbours: Sequence[Said | None] = [None] * len(image_ids)
        if self.neighbours:
            neighbours = self.neighbours(features)
        return [self._ranked(*panel) for panel in zip(candidates, voters, neighbours, strict=True)]

    def _drawn(
        self,
        members: Sequence[tuple[StepDecoder, Tensor]],
        constraints: Constraints,
        image_ids: Sequence[int],
        first: int,
        count: int,
        temperature: float,
    ) -> list[list[Words]]:
        """For each image ``count`` captions of every member, from that member's draw ``first`` on."""
        each = self.candidates + self.voters
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
        """A caption for each of the ids, N times as many as features (N, D), image by image."""
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

    def _ranked(self, candidates: list[Words], voters: list[Words], neighbours: Said | None) -> list[Words]:
        captions: list[Tokens] = [words.tokens for words in voters]
        weights = [1 / len(voters)] * len(voters)
        if neighbours:
            said, shares = neighbours
            captions += said
            weights += [NEIGHBOURS_TO_VOTERS * share for share in shares]
        score = CiderD(captions, self.idf, weights)
        known: dict[tuple[int, ...], float] = {}  # the same caption is often drawn again
        for words in candidates:
            key = tuple(words.tokens)
            if key not in known:
                known[key] = score(key)
        return sorted(candidates, key=lambda words: -known[tuple(words.tokens)])
