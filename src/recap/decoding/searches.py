"""From settings to a search and its constraints."""

from functools import partial

from recap.decoding.beam import beam
from recap.decoding.caption import Constraints
from recap.decoding.config import DecodingConfig
from recap.decoding.greedy import greedy
from recap.decoding.minimum_bayes_risk import Consensus
from recap.decoding.neighbours import Neighbours, captions_of_images
from recap.decoding.sampling import sample
from recap.decoding.search import Search
from recap.errors import InputError
from recap.metrics.cider_d import InverseFrequency
from recap.text.batches import CaptionedFeatures
from recap.text.vocabulary import NULL, START, UNK, Vocabulary


def make_search(config: DecodingConfig, training: CaptionedFeatures | None = None) -> Search:
    """The search that the settings name.

    Args:
        config: the settings.
        training: for a consensus, which weighs n-grams by its captions and asks its images; without it all
            n-grams weigh the same.

    Raises:
        InputError: neighbours are to be asked, and there are no training images.
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
            voters=config.voters,
            voter_temperature=config.voter_temperature,
            seed=config.seed,
            neighbours=neighbours,
        )
    if config.search == "sample":
        return partial(
            sample,
            seed=config.seed,
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
        )
    if config.search == "greedy":
        return greedy
    apart = config.search == "diverse_beam"
    return partial(
        beam,
        width=config.beam_width,
        length_normalisation=config.length_normalisation,
        groups=config.groups if apart else 1,
        diversity=config.diversity if apart else 0.0,
    )


def make_constraints(config: DecodingConfig, vocabulary: Vocabulary) -> Constraints:
    """The constraints that the settings name; a banned word that is not in the vocabulary is never said."""
    numbers = vocabulary.word_to_idx
    banned = [numbers[word] for word in config.banned_words if word in numbers]
    special = (NULL, START) if config.allow_unknown else (NULL, START, UNK)
    return Constraints(
        max_length=config.max_length,
        banned=(*special, *banned),
        min_length=config.min_length,
        banned_last=tuple(numbers[word] for word in config.banned_last_words if word in numbers),
        repeat_trigrams=config.repeat_trigrams,
    )
