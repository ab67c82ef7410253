"""How varied a set of captions is."""

import itertools
from collections.abc import Collection, Sequence


def diversity(captions: Sequence[str], training_captions: Collection[str] | None) -> dict[str, float]:
    """Length and variety of captions.

    distinct-1 and distinct-2 (Li et al. 2016) are distinct words or bigrams over all of them, 0 when
    there are none.

    Args:
        captions: tokenized captions, one an image.
        training_captions: tokenized captions of the training set; None leaves ``novel`` out.

    Returns:
        length (mean words), vocabulary (distinct words), distinct_1, distinct_2, and novel (the share of
        captions that the training set does not contain).
    """
    words = [caption.split() for caption in captions]
    unigrams = [word for caption in words for word in caption]
    bigrams = [pair for caption in words for pair in itertools.pairwise(caption)]
    values = {
        "length": len(unigrams) / len(captions),
        "vocabulary": len(set(unigrams)),
        "distinct_1": len(set(unigrams)) / max(len(unigrams), 1),
        "distinct_2": len(set(bigrams)) / max(len(bigrams), 1),
    }
    if training_captions is not None:
        known = frozenset(training_captions)
        values["novel"] = sum(caption not in known for caption in captions) / len(captions)
    return values
