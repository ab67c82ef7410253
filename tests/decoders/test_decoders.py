"""The fast decoders: the course's numbers, a step as the whole sequence, padding that counts nothing."""

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import from_reference
from torch import Tensor, nn

from recap.decoders.build import NAMES, build_decoder, load_decoder, save_decoder
from recap.decoders.decoder import Decoder
from recap.decoders.dropout import Dropout
from recap.decoders.transformer import LONGEST, sinusoidal_positions
from recap.errors import InputError
from recap.runtime.setup import has_bfloat16
from recap.text.vocabulary import NULL

FEATURE_DIM, VOCABULARY_SIZE = 7, 11


def describe(name: str, dropout: float = 0.0, **sizes: Any) -> dict[str, Any]:
    model: dict[str, Any] = {
        "name": name,
        "feature_dim": FEATURE_DIM,
        "vocabulary_size": VOCABULARY_SIZE,
        "wordvec_dim": 8,
        "dropout": dropout,
    }
    if name == "transformer":
        model |= {"heads": 2, "layers": 2, "feedforward_dim": 16, "memory_tokens": 3}
    else:
        model["hidden_dim"] = 12
    if name == "attention_lstm":
        model |= {
            "attention_dim": 5,
            "doubly_stochastic": 0.0,
            "feature_dim": FEATURE_DIM - 6,
            "grid": [3, 2],
        }
    return model | sizes


def build(name: str, dropout: float = 0.0, **sizes: int) -> Decoder:
    generator = torch.Generator().manual_seed(4)
    return build_decoder(describe(name, dropout, **sizes), generator).double()


def draw_captions(lengths: list[int], width: int, seed: int = 0) -> Tensor:
    """Random captions (N, width), <NULL> after ``lengths`` words."""
    generator = torch.Generator().manual_seed(seed)
    captions = torch.randint(1, VOCABULARY_SIZE, (len(lengths), width), generator=generator)
    for caption, length in zip(captions, lengths, strict=True):
        caption[length:] = NULL
    return captions


def draw_features(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, FEATURE_DIM, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 4), length=st.integers(1, 9), data=st.data())
def test_a_step_at_a_time_gives_the_scores_of_the_whole_sequence(
    name: str, count: int, length: int, data: st.DataObject
) -> None:
    sizes = {"memory_tokens": data.draw(st.integers(1, 3))} if name == "transformer" else {}
    decoder = build(name, **sizes).eval()
    captions = draw_captions([length] * count, length, seed=count)
    features = draw_features(count)
    whole = decoder(features, captions)
    assert whole.shape == (count, length, VOCABULARY_SIZE)
    state = decoder.start(features)
    for moment in range(length):
        scores, state = decoder.step(captions[:, moment], state)
        torch.testing.assert_close(scores, whole[:, moment], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_a_state_can_be_chosen_and_the_old_state_stays(name: str) -> None:
    decoder = build(name).eval()
    features, captions = draw_features(3), draw_captions([4, 4, 4], 4)
    _, state = decoder.step(captions[:, 0], decoder.start(features))
    expected, _ = decoder.step(captions[:, 1], state)
    rows = torch.tensor([2, 0, 2])
    chosen = tuple(part.index_select(0, rows) for part in state)
    scores, _ = decoder.step(captions[rows, 1], chosen)
    torch.testing.assert_close(scores, expected[rows], rtol=0, atol=1e-12)
    again, _ = decoder.step(captions[:, 1], state)
    assert torch.equal(again, expected)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(2, 7), min_size=1, max_size=4), extra=st.integers(1, 3))
def test_padding_changes_neither_loss_nor_gradient(name: str, lengths: list[int], extra: int) -> None:
    features, captions = draw_features(len(lengths)), draw_captions(lengths, max(lengths))
    padded = nn.functional.pad(captions, (0, extra), value=NULL)
    results = []
    for batch in (captions, padded):
        decoder = build(name)
        loss = decoder.loss(features, batch)
        loss.backward()
        results.append((loss, {key: value.grad for key, value in decoder.named_parameters()}))
    (loss, gradients), (padded_loss, padded_gradients) = results
    torch.testing.assert_close(padded_loss, loss, rtol=0, atol=1e-12)
    for key, gradient in gradients.items():
        torch.testing.assert_close(padded_gradients[key], gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_the_mean_over_real_targets(name: str) -> None:
    decoder = build(name)
    features, captions = draw_features(3), draw_captions([5, 2, 3], 5)
    log_probabilities = decoder(features, captions[:, :-1]).log_softmax(2)
    targets = captions[:, 1:]
    chosen = log_probabilities.gather(2, targets[:, :, None])[:, :, 0][targets != NULL]
    assert len(chosen) == 4 + 1 + 2
    torch.testing.assert_close(decoder.loss(features, captions), -chosen.mean(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_loss_of_nothing_but_padding_is_zero(name: str) -> None:
    captions = torch.full((2, 4), NULL)
    assert build(name).loss(draw_features(2), captions).item() == 0.0


def _course_params(gates: int) -> dict[str, np.ndarray]:
    """Every parameter of the course's test model is linspace(-1.4, 1.3) in its own shape."""
    feature_dim, wordvec_dim, hidden_dim, words = 20, 30, 40, 3
    shapes = {
        "W_embed": (words, wordvec_dim),
        "W_proj": (feature_dim, hidden_dim),
        "b_proj": (hidden_dim,),
        "Wx": (wordvec_dim, gates * hidden_dim),
        "Wh": (hidden_dim, gates * hidden_dim),
        "b": (gates * hidden_dim,),
        "W_vocab": (hidden_dim, words),
        "b_vocab": (words,),
    }
    return {
        name: np.linspace(-1.4, 1.3, num=int(np.prod(shape))).reshape(shape) for name, shape in shapes.items()
    }


def test_rnn_gives_the_loss_that_the_course_prints() -> None:
    count, steps = 10, 13
    decoder = from_reference.recurrent(_course_params(gates=1), "rnn")
    features = torch.linspace(-1.5, 0.3, count * 20, dtype=torch.float64).reshape(count, 20)
    captions = (torch.arange(count * steps) % 3).reshape(count, steps)
    real = int((captions[:, 1:] != NULL).sum())
    summed_over_time = decoder.loss(features, captions).item() * real / count
    assert summed_over_time == pytest.approx(9.83235591003, abs=1e-10)


def test_lstm_gates_are_mapped_from_the_order_of_the_course() -> None:
    generator = np.random.default_rng(3)
    params = {name: generator.normal(size=value.shape) for name, value in _course_params(gates=4).items()}
    decoder = from_reference.recurrent(params, "lstm")
    features = generator.normal(size=(2, 20))
    hidden = features @ params["W_proj"] + params["b_proj"]
    cell = np.zeros_like(hidden)
    state = decoder.start(torch.from_numpy(features))
    for token in (1, 2, 1):
        activation = params["W_embed"][[token] * 2] @ params["Wx"] + hidden @ params["Wh"] + params["b"]
        input_gate, forget_gate, output_gate = (
            1 / (1 + np.exp(-gate)) for gate in np.split(activation, 4, axis=1)[:3]
        )
        cell = forget_gate * cell + input_gate * np.tanh(np.split(activation, 4, axis=1)[3])
        hidden = output_gate * np.tanh(cell)
        scores, state = decoder.step(torch.tensor([token, token]), state)
        expected = hidden @ params["W_vocab"] + params["b_vocab"]
        np.testing.assert_allclose(scores.detach().numpy(), expected, rtol=0, atol=1e-10)


def test_attention_sees_no_later_word() -> None:
    decoder = build("transformer").eval()
    features, captions = draw_features(1), draw_captions([6], 6)
    changed = captions.clone()
    changed[0, 4] = captions[0, 4] % (VOCABULARY_SIZE - 1) + 1
    before, after = decoder(features, captions), decoder(features, changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_positions_are_the_sines_of_the_paper() -> None:
    table = sinusoidal_positions(6, torch.float64, torch.device("cpu"))
    assert table.shape == (LONGEST, 6)
    assert table[5, 2].item() == pytest.approx(np.sin(5 / 10000 ** (2 / 6)), abs=1e-15)
    assert table[5, 3].item() == pytest.approx(np.cos(5 / 10000 ** (2 / 6)), abs=1e-15)


def test_a_caption_longer_than_the_positions_is_refused() -> None:
    decoder = build("transformer").eval()
    with pytest.raises(InputError, match="at most 1024 words, received 1025"):
        decoder(draw_features(1), torch.ones(1, LONGEST + 1, dtype=torch.int64))


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_a_function_of_the_generator(name: str) -> None:
    digests = [
        hashlib.sha256(b"".join(value.numpy().tobytes() for value in build(name).state_dict().values()))
        for _ in range(2)
    ]
    assert digests[0].digest() == digests[1].digest()
    torch.manual_seed(1)  # the default generator has no part in it
    other = build_decoder(describe(name), torch.Generator().manual_seed(5)).double()
    assert not torch.equal(other.scores.weight, build(name).scores.weight)
    assert all(value.isfinite().all() for value in build(name).state_dict().values())


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_decoder_comes_back(name: str, tmp_path: Any) -> None:
    model = describe(name, 0.5)
    decoder = build_decoder(model, torch.Generator().manual_seed(1))
    save_decoder(tmp_path, decoder, model)
    loaded = load_decoder(tmp_path)
    assert not loaded.training
    features, captions = draw_features(2).float(), draw_captions([4, 4], 4)
    assert torch.equal(loaded(features, captions), decoder.eval()(features, captions))


def test_faults_of_a_saved_decoder_are_named(tmp_path: Any) -> None:
    with pytest.raises(InputError, match=r"model\.json: expected a readable file"):
        load_decoder(tmp_path)
    (tmp_path / "model.json").write_text("[1]")
    with pytest.raises(InputError, match=r"model\.json: expected the description"):
        load_decoder(tmp_path)
    model = describe("lstm")
    save_decoder(tmp_path, build_decoder(model, torch.Generator().manual_seed(1)), model)
    (tmp_path / "weights.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match=r"weights\.safetensors: expected the weights of lstm"):
        load_decoder(tmp_path)
    save_decoder(tmp_path, build_decoder(model, torch.Generator().manual_seed(1)), describe("rnn"))
    with pytest.raises(InputError, match=r"weights\.safetensors: expected the weights of rnn"):
        load_decoder(tmp_path)
    with pytest.raises(
        InputError, match="expected one of rnn, lstm, transformer, attention_lstm, received 'gru'"
    ):
        build_decoder({"name": "gru"})
    with pytest.raises(InputError, match="decoder lstm: expected its sizes"):
        build_decoder({"name": "lstm", "hidden_dim": 3})


@settings(max_examples=20, deadline=None)
@given(share=st.sampled_from([0.05, 0.1, 0.5, 0.9]), rows=st.integers(1, 5))
def test_dropout_keeps_the_expectation(share: float, rows: int) -> None:
    torch.manual_seed(7)
    x = torch.ones(rows, 20_001)
    dropped = Dropout(share)(x)
    assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.02)
    assert dropped.max().item() == pytest.approx(1 / (1 - share), rel=1e-3)
    assert torch.equal(Dropout(share).eval()(x), x)
    torch.manual_seed(7)
    assert torch.equal(Dropout(share)(x), dropped)


def test_the_share_dropped_is_no_multiple_of_a_level() -> None:
    """0.3 % lies between 0 and 1 of 256 levels: most masks drop nothing, the others 1 / 256."""
    torch.manual_seed(8)
    dropout = Dropout(0.003)
    shares = torch.stack([(dropout(torch.ones(4000)) == 0).float().mean() for _ in range(1000)])
    assert shares.mean().item() == pytest.approx(0.003, abs=0.0002)
    assert (shares == 0).float().mean().item() == pytest.approx(1 - 0.003 * 256, abs=0.05)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_dropout_of_a_relu_is_both_in_turn(share: float) -> None:
    x = torch.randn(7, 33, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    factors = torch.randn(7, 33, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    dropout = Dropout(share)
    results = []
    for work in (dropout.relu, lambda x: dropout(x.relu())):
        torch.manual_seed(1)
        result = work(x)
        results.append((result, *torch.autograd.grad((result * factors).sum(), x)))
    for fused, separate in zip(*results, strict=True):
        torch.testing.assert_close(fused, separate, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_in_bfloat16_is_near_that_in_float32(name: str) -> None:
    if name == "lstm" and not has_bfloat16():
        pytest.skip("needs a processor with AVX-512")
    sizes: dict[str, Any] = {"feature_dim": 6, "vocabulary_size": 9, "wordvec_dim": 8, "dropout": 0.3}
    if name == "transformer":
        sizes |= {"heads": 2, "layers": 2, "feedforward_dim": 16, "memory_tokens": 3}
    else:
        sizes["hidden_dim"] = 8
    if name == "attention_lstm":
        sizes |= {"attention_dim": 5, "doubly_stochastic": 0.5, "feature_dim": 2, "grid": [2, 2]}
    decoder = build_decoder({"name": name, **sizes}, torch.Generator().manual_seed(0)).train()
    features = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    captions = torch.tensor([[1, 4, 5, 2, 0], [1, 6, 2, 0, 0], [1, 7, 8, 4, 2], [1, 5, 5, 5, 2]])
    steps = []
    for half in (False, True):
        torch.manual_seed(2)
        decoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = decoder.loss(features, captions)
        loss.backward()
        gradients = [value.grad.flatten() for value in decoder.parameters() if value.grad is not None]
        steps.append(torch.cat([loss.detach().reshape(1).float(), *gradients]))
    assert not torch.equal(*steps)
    assert torch.linalg.vector_norm(steps[1] - steps[0]) < 0.05 * torch.linalg.vector_norm(steps[0])


@pytest.mark.parametrize("heads", [1, 3])
def test_dropped_attention_is_attention_whose_weights_are_masked(heads: int) -> None:
    from recap.decoders.dropped_attention import attend

    def draw(*shape: int, seed: int) -> torch.Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    projected = draw(4, 5, 3, heads, 2, seed=0).requires_grad_()
    mask, factors = draw(heads, 4, 5, 5, seed=3), draw(4, 5, heads, 2, seed=4)
    queries, keys, values = projected.permute(2, 0, 3, 1, 4)  # each (N, A, T, W / A)
    scores = queries @ keys.mT / 2**0.5
    weights = scores.masked_fill(torch.ones(5, 5, dtype=torch.bool).triu(1), float("-inf")).softmax(3)
    slow = ((weights * mask.transpose(0, 1)) @ values).transpose(1, 2)
    for ours, theirs in zip(
        *((x, *torch.autograd.grad((x * factors).sum(), projected)) for x in (attend(projected, mask), slow)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_training_drops_attention_weights_as_often_as_it_should() -> None:
    """With values of 1, the mean over draws is what comes out without dropout, and half are of no word."""
    from recap.decoders.transformer import Attention

    torch.manual_seed(0)
    attention = Attention(4, 2, 0.5)
    torch.nn.init.eye_(attention.output.weight)
    torch.nn.init.zeros_(attention.output.bias)
    torch.nn.init.zeros_(attention.value.weight)
    torch.nn.init.ones_(attention.value.bias)
    x = torch.randn(2000, 3, 4)
    dropped = attention.dropped(x)  # (N, T, W)
    assert (dropped[:, 0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)
    kept = attention.eval()(x, *attention.keys_and_values(x), causal=True)
    torch.testing.assert_close(kept, torch.ones_like(dropped))


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_attention_to_one_is_attention(share: float) -> None:
    """Without dropout the fused kernel's result; with it, its masks applied to each head's value."""
    from recap.decoders.transformer import Attention

    torch.manual_seed(0)
    attention = Attention(12, 3, share).double()
    x, memory = torch.randn(4, 5, 12, dtype=torch.float64), torch.randn(4, 1, 12, dtype=torch.float64)
    keys, values = attention.keys_and_values(memory)
    torch.manual_seed(1)
    result = attention(x, keys, values)
    torch.manual_seed(1)
    kept = torch.ones(4, 5, 3, dtype=torch.float64)
    if share:
        kept = attention.dropout.mask(kept)
    heads = kept[..., None] * values[:, None, :, 0]  # (N, T, A, W / A)
    expected = attention.output(heads.flatten(2))
    torch.testing.assert_close(result.expand_as(expected), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_dropout_acts_in_training_only(name: str) -> None:
    decoder = build(name, dropout=0.5)
    features, captions = draw_features(2), draw_captions([5, 5], 5)
    assert not torch.equal(decoder(features, captions), decoder(features, captions))
    decoder.eval()
    assert torch.equal(decoder(features, captions), decoder(features, captions))
