"""Generated captions, and the constraints on them."""

import itertools
from dataclasses import dataclass

from recap.text.vocabulary import NULL, START, UNK


@dataclass(frozen=True)
class Caption:
    """A generated caption."""

    tokens: tuple[int, ...]  # numbers of its words or characters, without <START> and <END>
    log_probabilities: tuple[float, ...]  # in nats, one a token, and one for <END> when it was reached
    pieces: tuple[str, ...]  # the texts of the tokens
    separator: str  # between two of them

    @property
    def text(self) -> str:
        """The caption as text."""
        return self.separator.join(self.pieces)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the text."""
        return tuple(self.text.split())

    @property
    def spans(self) -> list[range]:
        """For each word the positions of its tokens."""
        if self.separator:
            return [range(place, place + 1) for place in range(len(self.pieces))]
        ends = [place for place, piece in enumerate(self.pieces) if piece == " "]
        spans = [range(a + 1, b) for a, b in itertools.pairwise([-1, *ends, len(self.pieces)])]
        return [span for span in spans if span]

    @property
    def word_log_probabilities(self) -> tuple[float, ...]:
        """The log-probability of each word, in nats: the sum over its tokens."""
        return tuple(sum(self.log_probabilities[span.start : span.stop]) for span in self.spans)

    @property
    def log_probability(self) -> float:
        """The log-probability of the whole caption, in nats."""
        return sum(self.log_probabilities)


@dataclass(frozen=True)
class Constraints:
    """Constraints on captions; where they allow no word, the caption ends."""

    max_length: int  # words at most
    banned: tuple[int, ...]  # words that never occur
    min_length: int = 0  # words at least, at most ``max_length``
    banned_last: tuple[int, ...] = ()  # words that are not the last one
    repeat_trigrams: bool = True  # whether three words in a row may occur again


def usual_constraints(max_length: int, *, allow_unknown: bool = False) -> Constraints:
    """Forbid <NULL> and <START>, and <UNK> unless it is allowed."""
    return Constraints(max_length, (NULL, START) if allow_unknown else (NULL, START, UNK))
