"""What a search returns, and what a caption may be."""

from dataclasses import dataclass

from recap.data.vocabulary import NULL, START, UNK


@dataclass(frozen=True)
class Caption:
    """A generated caption.

    ``tokens`` are the numbers of its words, without <START> and <END>. ``log_probabilities`` are the
    decoder's own, in nats, one a word and one for <END> when the caption reached it; their sum is the
    log-likelihood of the caption. ``words`` are the words themselves.
    """

    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words, joined by spaces."""
        return " ".join(self.words)

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
