"""Perplexity is that of all words of all captions, whatever the batches."""

import math

import numpy as np
import pytest
import torch

from recap.decoders.build import build_decoder
from recap.evaluation.perplexity import perplexity
from recap.text.batches import CaptionedFeatures
from recap.text.vocabulary import END, NULL, START

MODEL = {
    "name": "lstm",
    "feature_dim": 3,
    "vocabulary_size": 7,
    "wordvec_dim": 4,
    "hidden_dim": 5,
    "dropout": 0.0,
}
CAPTIONS = np.array(
    [
        [START, 4, 5, END, NULL, NULL],
        [START, 6, END, NULL, NULL, NULL],
        [START, 4, 4, 5, 6, END],
        [START, END, NULL, NULL, NULL, NULL],
    ],
    dtype=np.int32,
)
IMAGE_ROWS = np.array([1, 0, 1, 2], dtype=np.int32)


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_perplexity_is_exp_of_the_mean_over_words(batch_size):
    decoder = build_decoder(MODEL, torch.Generator().manual_seed(0)).eval()
    features = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    total, words = 0.0, 0
    with torch.no_grad():
        for caption, row in zip(torch.from_numpy(CAPTIONS.astype(np.int64)), IMAGE_ROWS, strict=True):
            scores = decoder(torch.from_numpy(features[row : row + 1]), caption[None, :-1])[0]
            for step, target in enumerate(caption[1:].tolist()):
                if target != NULL:
                    total -= float(scores[step].log_softmax(0)[target])
                    words += 1
    received = perplexity(decoder, CaptionedFeatures(CAPTIONS, IMAGE_ROWS, features), batch_size)
    assert received == pytest.approx(math.exp(total / words), rel=1e-5)
