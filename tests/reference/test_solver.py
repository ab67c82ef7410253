"""Solvers: each update rule against torch's, epochs, learning rates, what is printed, and that they learn."""

from typing import Any

import numpy as np
import pytest
import torch

from recap.errors import InputError
from recap.reference import optim
from recap.reference.rnn import CaptioningRNN
from recap.reference.solver import CaptioningSolver, CaptioningSolverPytorch, CaptioningSolverTransformer
from recap.reference.torch_rnn import CaptioningRNN as TorchCaptioningRNN
from recap.reference.transformer import CaptioningTransformer

IDX_TO_WORD = ["<NULL>", "<START>", "<END>", "<UNK>", "cat", "dog"]
WORDS = {word: number for number, word in enumerate(IDX_TO_WORD)}


def small_data(captions: int = 10) -> dict[str, Any]:
    """Captions of two words that the image tells."""
    generator = np.random.default_rng(0)
    words = generator.integers(3, 6, size=(captions, 2))
    encoded = np.concatenate((np.full((captions, 1), 1), words, np.tile([2, 0], (captions, 1))), axis=1)
    return {
        "train_captions": encoded.astype(np.int32),
        "train_image_idxs": np.arange(captions)[::-1],
        "train_features": generator.standard_normal((captions, 8)).astype(np.float32),
    }


@pytest.mark.parametrize(
    ("rule", "config", "make"),
    [
        ("sgd", {}, lambda p: torch.optim.SGD(p, 1e-2)),
        ("sgd_momentum", {"momentum": 0.8}, lambda p: torch.optim.SGD(p, 1e-2, momentum=0.8)),
        ("rmsprop", {"decay_rate": 0.9}, lambda p: torch.optim.RMSprop(p, 1e-2, alpha=0.9)),
        ("adam", {"learning_rate": 0.1}, lambda p: torch.optim.Adam(p, 0.1)),
    ],
)
def test_update_rules_are_torchs(rule: str, config: dict[str, float], make: Any) -> None:
    generator = np.random.default_rng(0)
    w = generator.standard_normal((3, 4))
    expected = torch.tensor(w, requires_grad=True)
    optimizer, config = make([expected]), dict(config)
    start = w
    for _ in range(5):
        dw = generator.standard_normal((3, 4))
        expected.grad = torch.tensor(dw)
        optimizer.step()
        before = w.copy()
        after, config = getattr(optim, rule)(w, dw, config)
        np.testing.assert_array_equal(w, before)
        w = after
    np.testing.assert_allclose(w, expected.detach(), rtol=1e-10)
    assert np.abs(w - start).max() > 0.01
    assert optim.sgd(np.ones(1), np.ones(1))[1] == {"learning_rate": 1e-2}


def test_numpy_and_torch_solvers_take_the_same_steps() -> None:
    in_numpy = CaptioningRNN(WORDS, 8, 5, 6, "lstm", np.float64)
    in_torch = TorchCaptioningRNN(WORDS, 8, 5, 6, "lstm", torch.float64)
    for name, value in in_numpy.params.items():
        in_torch.params[name] = torch.tensor(value)
    histories = []
    for solver_class, model in ((CaptioningSolver, in_numpy), (CaptioningSolverPytorch, in_torch)):
        np.random.seed(0)  # noqa: NPY002
        solver = solver_class(
            model,
            small_data(),
            update_rule="adam",
            optim_config={"learning_rate": 1e-2},
            lr_decay=0.9,
            num_epochs=4,
            batch_size=3,
            verbose=False,
        )
        solver.train()
        histories.append(solver.loss_history)
        assert solver.epoch == 4
        assert solver.optim_configs["Wx"]["learning_rate"] == pytest.approx(1e-2 * 0.9**4)

    assert len(histories[0]) == 12
    np.testing.assert_allclose(*histories, rtol=1e-9)
    for name, value in in_numpy.params.items():
        np.testing.assert_allclose(value, in_torch.params[name].detach(), atol=1e-9)


def test_learning_rate_is_a_keyword_of_the_torch_solver() -> None:
    model = TorchCaptioningRNN(WORDS, 8, 5, 6)
    solver = CaptioningSolverPytorch(model, small_data(), learning_rate=0.02, num_epochs=1, verbose=False)
    solver.train()
    assert solver.optim_configs["b"]["learning_rate"] == 0.02
    assert solver.optim_configs["b"]["t"] == len(solver.loss_history) == 1
    assert all(value.requires_grad and value.is_leaf for value in model.params.values())


def test_an_epoch_shows_each_caption_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    data = small_data()

    class Model:
        params = {"w": np.zeros(1)}  # noqa: RUF012

        def loss(self, features: np.ndarray, captions: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
            for feature, caption in zip(features, captions, strict=True):
                (row,) = np.flatnonzero((data["train_features"] == feature).all(axis=1))
                assert (data["train_captions"][9 - row] == caption).all()  # image 0 has the last caption
                shown.append(int(row))
            return 0.0, {"w": np.zeros(1)}

    CaptioningSolver(Model(), data, update_rule="sgd", num_epochs=2, batch_size=5, verbose=False).train()
    assert sorted(shown[:10]) == sorted(shown[10:]) == list(range(10))
    assert shown[:10] != shown[10:]


def test_quiet_unless_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    def train(verbose: bool) -> str:
        model = CaptioningRNN(WORDS, 8, 5, 6)
        CaptioningSolver(
            model, small_data(), num_epochs=3, batch_size=5, print_every=4, verbose=verbose
        ).train()
        return capsys.readouterr().out

    assert train(False) == ""
    lines = train(True).splitlines()
    assert [line.split(" loss: ")[0] for line in lines] == ["(Iteration 1 / 6)", "(Iteration 5 / 6)"]


def test_transformer_solver_learns_and_uses_the_mean_over_all_steps() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    model = CaptioningTransformer(WORDS, 8, 16, num_heads=2, max_length=10)
    solver = CaptioningSolverTransformer(
        model, small_data(), idx_to_word=IDX_TO_WORD, num_epochs=20, batch_size=10, learning_rate=0.01,
        verbose=False,
    )  # fmt: skip
    solver.train()
    # 3 of 4 targets are words, each as likely as any of 6 at first
    assert solver.loss_history[0] == pytest.approx(0.75 * np.log(6), rel=0.3)
    assert solver.loss_history[-1] < 0.6 * solver.loss_history[0]
    x, y = torch.zeros(2, 3, 6), torch.zeros(2, 3, dtype=torch.int64)
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    loss = solver.transformer_temporal_softmax_loss(x, y, mask)
    assert loss.item() == pytest.approx(np.log(6) * 2 / 6)


def test_unknown_rules_and_keywords_are_refused() -> None:
    model = CaptioningRNN(WORDS, 8, 5, 6)
    with pytest.raises(InputError, match=r"^update_rule: expected one of sgd, sgd_momentum, rmsprop, adam"):
        CaptioningSolver(model, small_data(), update_rule="adagrad")
    with pytest.raises(TypeError, match="learning_speed"):
        CaptioningSolver(model, small_data(), learning_speed=1)
