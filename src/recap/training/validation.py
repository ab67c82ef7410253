"""Scores the captions of validation images between two epochs; the loss of a word says little of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.core.raw_data import load_raw
from recap.decoders.decoder import Decoder
from recap.decoding.caption import usual_constraints
from recap.decoding.generate import generate
from recap.metrics.cider_d import CiderD, InverseFrequency
from recap.metrics.tokenization.by_name import tokenize_groups, tokenizer
from recap.metrics.truth import check_caption, is_true
from recap.text.coco_files import read_references
from recap.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class ValidationScores:
    """Images, I of them, whose greedy captions are scored.

    Attributes:
        features: (I, D) float32.
        scorers: CIDEr-D for each image.
        graphs: scene graphs for each image, or None.
        vocabulary: of the decoder.
        longest: words of a caption at most.
    """

    features: NDArray[np.float32]
    scorers: Sequence[CiderD]
    graphs: Sequence[Mapping[str, Any]] | None
    vocabulary: Vocabulary
    longest: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the scores."""
        return ("validation_cider_d",) if self.graphs is None else ("validation_cider_d", "validation_truth")

    def score(self, decoder: Decoder) -> list[float]:
        """Return mean CIDEr-D and, of scenes, the share of true captions; ``columns`` names them."""
        decoder.eval()
        constraints = usual_constraints(self.longest)
        found = generate(decoder, self.features, self.vocabulary, constraints, len(self.features))
        captions = [caption.text for caption in found]
        tokenized = tokenizer("ptb")(captions)
        pairs = zip(self.scorers, tokenized, strict=True)
        scores = [float(np.mean([scorer(caption.split()) for scorer, caption in pairs]))]
        if self.graphs is not None:
            claims = map(check_caption, captions, self.graphs)
            scores.append(float(np.mean([is_true(own) for own in claims])))
        return scores


def read_validation(
    raw: Path,
    captions: Path,
    features: NDArray[np.float32],
    vocabulary: Vocabulary,
    longest: int,
    images: int,
) -> ValidationScores | None:
    """Read what scores captions of that many validation images, spread over all; None for no images.

    Args:
        raw: folder that `fetch` wrote.
        captions: folder that `tokenize` wrote.
        features: (I, D) of all validation images.
        vocabulary: of the captions.
        longest: words of a caption at most.
        images: how many at most.

    Raises:
        InputError: a folder does not hold what its stage writes.
    """
    if not images:
        return None
    references = read_references(captions / "references_validation.json").captions
    rows = range(0, len(references), -(-len(references) // images))
    own = [
        [caption.split() for caption in group]
        for group in tokenize_groups(tokenizer("ptb"), [references[row] for row in rows])
    ]
    idf = InverseFrequency(own)
    source = load_raw(raw)
    graphs = source.scenes("validation") if source.source.scenes else None
    return ValidationScores(
        np.asarray(features[list(rows)]),
        [CiderD(group, idf) for group in own],
        None if graphs is None else [graphs[row] for row in rows],
        vocabulary,
        longest,
    )
