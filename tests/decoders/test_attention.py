"""Soft attention is that of the reference in NumPy, and of the paper."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recap.decoders.attention import AttentionDecoder
from recap.decoders.build import build_decoder
from recap.decoding.caption import Constraints
from recap.decoding.greedy import greedy
from recap.errors import InputError
from recap.reference.attention import AttentionLSTM
from recap.text.vocabulary import END, NULL, START

D, P, M, A, W, H, V = 5, 6, 3, 4, 6, 7, 9
MODEL: dict[str, Any] = {
    "name": "attention_lstm",
    "feature_dim": D,
    "vocabulary_size": V,
    "wordvec_dim": W,
    "hidden_dim": H,
    "attention_dim": A,
    "doubly_stochastic": 0.7,
    "dropout": 0.0,
    "grid": [P, M],
}
LENGTHS = [6, 2, 4, 7]


def reference(seed: int = 0) -> AttentionLSTM:
    """A reference model, all of its weights random."""
    generator = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "W_embed": (V, W),
        "W_proj": (D, H),
        "b_proj": (H,),
        "W_key": (M, A),
        "b_key": (A,),
        "W_query": (H, A),
        "w_energy": (A,),
        "w_gate": (H,),
        "b_gate": (),
        "Wx": (W + M, 4 * H),
        "Wh": (H, 4 * H),
        "b": (4 * H,),
        "W_vocab": (H + M, V),
        "b_vocab": (V,),
    }
    params = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    return AttentionLSTM(params, NULL, START)


def fast(params: dict[str, Any]) -> AttentionDecoder:
    """The fast decoder with the weights of a reference model, in training, without dropout."""
    weights = {name: torch.as_tensor(value) for name, value in params.items()}

    def gated(weight: Tensor) -> Tensor:
        """From the course's order of gates to torch's; (..., 4 H) to (4 H, ...)."""
        enter, forget, leave, block = weight.split(H, dim=-1)
        return torch.cat((enter, forget, block, leave), dim=-1).T

    of_words, of_places = gated(weights["Wx"]).split((W, M), dim=1)
    nothing = torch.zeros(4 * H)
    decoder = build_decoder(MODEL).double()
    decoder.load_state_dict(
        {
            "scores.weight": weights["W_vocab"].T,
            "scores.bias": weights["b_vocab"],
            "projection.weight": weights["W_proj"].T,
            "projection.bias": weights["b_proj"],
            "words.weight": weights["W_embed"],
            "key.weight": weights["W_key"].T,
            "key.bias": weights["b_key"],
            "query.weight": weights["W_query"].T,
            "query.bias": torch.zeros(A),
            "energy.weight": weights["w_energy"][None],
            "energy.bias": torch.zeros(1),
            "gate.weight": weights["w_gate"][None],
            "gate.bias": weights["b_gate"][None],
            "context.weight": of_places,
            "context.bias": nothing,
            "recurrence.weight_ih_l0": of_words,
            "recurrence.weight_hh_l0": gated(weights["Wh"]),
            "recurrence.bias_ih_l0": gated(weights["b"][None]).flatten(),
            "recurrence.bias_hh_l0": nothing,
        }
    )
    assert isinstance(decoder, AttentionDecoder)
    return decoder


def draw() -> tuple[Any, Any, Any]:
    """Features, places and captions."""
    generator = np.random.default_rng(1)
    captions = np.full((len(LENGTHS), 9), NULL)
    for row, length in zip(captions, LENGTHS, strict=True):
        row[: length + 2] = [START, *generator.integers(3, V, length), END]
    features, places = generator.standard_normal((4, D)), generator.standard_normal((4, P, M))
    return features, places, captions


def rows_of(features: Any, places: Any) -> Tensor:
    return torch.tensor(np.concatenate([features, places.reshape(len(places), -1)], axis=1))


def test_loss_is_the_references_with_the_doubly_stochastic_term_in_training_alone() -> None:
    model, (features, places, captions) = reference(), draw()
    decoder, words = fast(dict(model.params)), (captions[:, 1:] != NULL).sum() / len(captions)
    given = rows_of(features, places), torch.tensor(captions)
    for training, weight in ((True, 0.7), (False, 0.0)):
        loss = decoder.train(training).loss(*given).item() * words
        assert loss == pytest.approx(model.loss(features, places, captions, weight), abs=1e-10)


@pytest.mark.parametrize(
    "name", ["W_embed", "W_proj", "W_key", "b_key", "W_query", "w_energy", "w_gate", "Wx", "b"]
)
def test_gradients_are_differences_of_the_references_loss(name: str) -> None:
    model, (features, places, captions) = reference(), draw()
    direction = np.random.default_rng(2).standard_normal(model.params[name].shape)
    step, losses = 1e-5, []
    for sign in (1, -1):
        moved = {**model.params, name: model.params[name] + sign * step * direction}
        losses.append(AttentionLSTM(moved, NULL, START).loss(features, places, captions, 0.7))
    weights = {key: torch.tensor(value) for key, value in model.params.items()}
    forward = fast({**weights, name: weights[name] + step * torch.tensor(direction)}).state_dict()
    backward = fast({**weights, name: weights[name] - step * torch.tensor(direction)}).state_dict()
    decoder, words = fast(weights), (captions[:, 1:] != NULL).sum() / len(captions)
    decoder.loss(rows_of(features, places), torch.tensor(captions)).backward()
    along = sum(
        (parameter.grad * (forward[key] - backward[key]) / (2 * step)).sum().item()
        for key, parameter in decoder.named_parameters()
        if parameter.grad is not None
    )
    assert along * words == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("moved", ["features", "places"])
def test_gradients_of_what_is_seen_are_differences_of_the_references_loss(moved: str) -> None:
    model, (features, places, captions) = reference(), draw()
    given = {"features": features, "places": places}
    direction = np.random.default_rng(2).standard_normal(given[moved].shape)
    away = {name: direction if name == moved else np.zeros_like(own) for name, own in given.items()}
    step, losses = 1e-5, []
    for signed in (step, -step):
        near = {name: own + signed * away[name] for name, own in given.items()}
        losses.append(model.loss(near["features"], near["places"], captions, 0.7))
    decoder, words = fast(dict(model.params)), (captions[:, 1:] != NULL).sum() / len(captions)
    rows = rows_of(features, places).requires_grad_()
    for parameters in (True, False):  # word maps ask for the gradients of rows alone
        loss = decoder.requires_grad_(parameters).loss(rows, torch.tensor(captions))
        (gradient,) = torch.autograd.grad(loss, rows)
        along = (gradient * rows_of(away["features"], away["places"])).sum().item()
        assert along * words == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_greedy_captions_are_the_references(seed: int) -> None:
    model, (features, places, _) = reference(seed), draw()
    sampled = model.sample(features, places, 12).tolist()
    expected = [row[: row.index(END) + 1] if END in row else row for row in sampled]
    with torch.inference_mode():
        found = greedy(fast(dict(model.params)).eval(), rows_of(features, places), Constraints(12, banned=()))
    assert [words.tokens for (words,) in found] == expected


def test_attention_weights_sum_to_one_for_each_word() -> None:
    model, (features, places, captions) = reference(), draw()
    decoder = fast(dict(model.params)).eval()
    weights = decoder.attention_weights(rows_of(features, places), torch.tensor(captions[:, :-1]))
    assert weights.shape == (4, 8, P)
    torch.testing.assert_close(weights.sum(2), torch.ones(4, 8, dtype=torch.float64))
    h = features @ model.params["W_proj"] + model.params["b_proj"]
    np.testing.assert_allclose(weights[:, 0].detach().numpy(), model.look(places, h)[1], atol=1e-12)


def test_without_a_grid_the_setting_is_named() -> None:
    with pytest.raises(InputError, match=r"features\.grid: expected true for attention_lstm, received false"):
        build_decoder({key: value for key, value in MODEL.items() if key != "grid"})
