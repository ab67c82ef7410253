"""What a search returns, and which words it may choose."""

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


@dataclass(frozen=True)
class Constraints:
    """What a caption may be: at most ``max_length`` words, none of them ``banned``."""

    max_length: int
    banned: tuple[int, ...]


def usual_constraints(max_length: int, *, allow_unknown: bool = False) -> Constraints:
    """No <NULL> and no <START> ever, and no <UNK> unless allowed."""
    return Constraints(max_length, (NULL, START) if allow_unknown else (NULL, START, UNK))
