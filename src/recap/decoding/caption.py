"""What a search returns, and what a caption may be."""

import itertools
from dataclasses import dataclass

from recap.text.vocabulary import NULL, START, UNK


@dataclass(frozen=True)
class Caption:
    """A generated caption.

    ``tokens`` are the numbers of its words or characters, without <START> and <END>, ``pieces`` their texts,
    and ``separator`` what stands between two of them. ``log_probabilities`` are the decoder's own, in nats,
    one a token and one for <END> when the caption reached it; their sum is the log-likelihood of the caption.
    """

    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    pieces: tuple[str, ...]
    separator: str

    @property
    def text(self) -> str:
        """The caption as people read it."""
        return self.separator.join(self.pieces)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the text."""
        return tuple(self.text.split())

    @property
    def spans(self) -> list[range]:
        """For each word the places of its tokens."""
        if self.separator:
            return [range(place, place + 1) for place in range(len(self.pieces))]
        ends = [place for place, piece in enumerate(self.pieces) if piece == " "]
        spans = [range(a + 1, b) for a, b in itertools.pairwise([-1, *ends, len(self.pieces)])]
        return [span for span in spans if span]

    @property
    def word_log_probabilities(self) -> tuple[float, ...]:
        """Of each of the words, in nats: the sum over its tokens."""
        return tuple(sum(self.log_probabilities[span.start : span.stop]) for span in self.spans)

    @property
    def log_probability(self) -> float:
        """Of the whole caption, in nats."""
        return sum(self.log_probabilities)


@dataclass(frozen=True)
class Constraints:
    """What a caption may be; where nothing would be allowed, it ends.

    Attributes:
        max_length: words at most.
        banned: words that are never said.
        min_length: words at least, at most ``max_length``.
        banned_last: words that are not the last one.
        repeat_trigrams: whether three words in a row may come again.
    """

    max_length: int
    banned: tuple[int, ...]
    min_length: int = 0
    banned_last: tuple[int, ...] = ()
    repeat_trigrams: bool = True


def usual_constraints(max_length: int, *, allow_unknown: bool = False) -> Constraints:
    """No <NULL> and no <START> ever, and no <UNK> unless allowed."""
    return Constraints(max_length, (NULL, START) if allow_unknown else (NULL, START, UNK))
