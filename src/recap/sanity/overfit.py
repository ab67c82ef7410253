"""The overfit protocol: a correct model learns a few captions by heart, a wrong one does not.

The settings and the limits are the course's.

Shapes: M captions, L steps of a caption, D feature.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recap.reference.coco_utils import decode_captions
from recap.reference.rnn import CaptioningRNN
from recap.reference.solver import CaptioningSolver, CaptioningSolverTransformer
from recap.reference.transformer import CaptioningTransformer

HIDDEN_DIM, WORDVEC_DIM, BATCH_SIZE = 512, 256, 25
HEADS, LAYERS, LEARNING_RATE, EPOCHS = 2, 2, 1e-3, 100  # of the Transformer
RECURRENT_EPOCHS = 50
CAPTIONS = 50
"""How many the epochs are for: two steps each. Where an epoch is one step, there are twice as many."""
RECURRENT = {"rnn": (5e-3, 0.95), "lstm": (1e-2, 0.999)}
"""Learning rate and its decay after every epoch."""

BARS = {"rnn": 0.1, "lstm": 0.5, "transformer": 0.03}
"""What the last loss is to be below: of a caption for the first two, of a step for the Transformer."""


def small_data(
    captions: NDArray[np.int32],
    image_idxs: NDArray[np.int32],
    features: NDArray[np.float32],
    idx_to_word: Sequence[str],
    count: int,
    seed: int,
) -> tuple[dict[str, Any], NDArray[np.int32]]:
    """Choose captions to overfit, each of another image: a model cannot learn two captions of one image.

    Args:
        captions: (M, L), of a split.
        image_idxs: (M,), the row of the image of each.
        features: (images, D).
        idx_to_word: words by number.
        count: how many captions; all images when there are fewer.
        seed: chooses them.

    Returns:
        What the solvers take, a row of train_features a caption, and the images' rows in ``features``.
    """
    order = np.random.default_rng(seed).permutation(len(captions))
    _, first = np.unique(image_idxs[order], return_index=True)  # the first caption of each image
    chosen = order[np.sort(first)[:count]]
    images = image_idxs[chosen]
    data = {
        "train_captions": captions[chosen],
        "train_image_idxs": np.arange(len(chosen)),
        "train_features": np.asarray(features[images]),
        "idx_to_word": list(idx_to_word),
        "word_to_idx": {word: number for number, word in enumerate(idx_to_word)},
    }
    return data, images


def overfit(decoder: str, data: Mapping[str, Any], seed: int) -> tuple[list[float], list[str]]:
    """Fit a reference model of "rnn", "lstm" or "transformer" to a few captions with the course's settings.

    Fewer captions than the course's get as many steps, over which the learning rate decays as slowly.
    Seeds NumPy's and torch's global generators, from which the reference draws.

    Returns:
        The loss of every step, and the final caption of each image.
    """
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    feature_dim, (count, steps) = data["train_features"].shape[1], data["train_captions"].shape
    times = max(CAPTIONS // BATCH_SIZE // max(count // BATCH_SIZE, 1), 1)
    model: Any
    solver: CaptioningSolver | CaptioningSolverTransformer
    if decoder == "transformer":
        model = CaptioningTransformer(
            data["word_to_idx"], feature_dim, WORDVEC_DIM, HEADS, LAYERS, max_length=steps
        )
        solver = CaptioningSolverTransformer(
            model,
            data,
            data["idx_to_word"],
            learning_rate=LEARNING_RATE,
            num_epochs=times * EPOCHS,
            batch_size=BATCH_SIZE,
            verbose=False,
        )
    else:
        learning_rate, decay = RECURRENT[decoder]
        model = CaptioningRNN(data["word_to_idx"], feature_dim, WORDVEC_DIM, HIDDEN_DIM, decoder)
        solver = CaptioningSolver(
            model,
            data,
            optim_config={"learning_rate": learning_rate},
            lr_decay=decay ** (1 / times),
            num_epochs=times * RECURRENT_EPOCHS,
            batch_size=BATCH_SIZE,
            verbose=False,
        )
    solver.train()
    sampled = model.sample(data["train_features"][data["train_image_idxs"]], max_length=steps - 1)
    return solver.loss_history, decode_captions(sampled, data["idx_to_word"])


def true_captions(data: Mapping[str, Any]) -> list[str]:
    """Return the captions to learn, as text in the form of those that ``overfit`` returns."""
    texts: list[str] = decode_captions(data["train_captions"][:, 1:], data["idx_to_word"])  # (M, L - 1)
    return texts
