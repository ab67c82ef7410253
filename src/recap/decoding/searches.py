"""Makes searches and constraints from settings."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from recap.decoding.beam import beam
from recap.decoding.caption import Constraints, usual_constraints
from recap.decoding.greedy import greedy
from recap.decoding.minimum_bayes_risk import Consensus
from recap.decoding.neighbours import Neighbours, captions_of_images
from recap.decoding.sampling import sample
from recap.decoding.search import Search
from recap.errors import InputError
from recap.metrics.cider_d import InverseFrequency
from recap.text.batches import CaptionedFeatures
from recap.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from recap.decoding.config import DecodingConfig


def make_search(
    config: "DecodingConfig", training: CaptionedFeatures | None = None, n_best: int = 1
) -> Search:
    """Make the search that the settings name.

    Args:
        config: the settings.
        training: for a consensus: the captions that give the idf of n-grams, and the images among which it
            looks for neighbours; without it all n-grams have the same weight.
        n_best: captions an image that a beam returns; other searches return one.

    Raises:
        InputError: neighbours are asked for, and there are no training images.
    """
    if config.search == "consensus":
        if config.neighbours and training is None:
            raise InputError(
                f"neighbours: expected 0, as there are no training images here, received {config.neighbours}"
            )
        idf, neighbours = InverseFrequency(), None
        if training is not None:
            captions = captions_of_images(training)
            idf = InverseFrequency(list(captions.values()))
            if config.neighbours:
                neighbours = Neighbours(captions, training.features, config.neighbours)
        return Consensus(
            idf,
            candidates=config.candidates,
            temperature=config.temperature,
            pseudo_references=config.pseudo_references,
            pseudo_reference_temperature=config.pseudo_reference_temperature,
            seed=config.seed,
            neighbours=neighbours,
        )
    if config.search == "sample":
        return partial(
            sample, seed=config.seed, temperature=config.temperature, top_k=config.top_k, top_p=config.top_p
        )
    if config.search == "greedy":
        return greedy
    if config.search not in ("beam", "diverse_beam"):  # of a bundle, read where nothing checks it
        raise InputError(f"search: expected one that there is, received {config.search!r}")
    is_diverse = config.search == "diverse_beam"
    return partial(
        beam,
        width=config.beam_width,
        n_best=min(n_best, config.beam_width),
        length_normalisation=config.length_normalisation,
        groups=config.groups if is_diverse else 1,
        diversity=config.diversity if is_diverse else 0.0,
    )


def make_constraints(config: "DecodingConfig", vocabulary: Vocabulary) -> Constraints:
    """Make the constraints that the settings name; banned words outside the vocabulary are ignored."""
    numbers = vocabulary.word_to_idx
    usual = usual_constraints(config.max_length, allow_unknown=config.allow_unknown)
    return replace(
        usual,
        banned=(*usual.banned, *(numbers[word] for word in config.banned_words if word in numbers)),
        min_length=config.min_length,
        banned_last=tuple(numbers[word] for word in config.banned_last_words if word in numbers),
        repeat_trigrams=config.repeat_trigrams,
    )
