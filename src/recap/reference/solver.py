"""Solvers that fit a captioning model on minibatches; ``loss_history`` has the loss of every step.

The order of the captions comes from NumPy's global generator, which notebooks seed. An epoch shows a caption
once at most, where ``sample_coco_minibatch`` draws with replacement: so 50 captions are learnt in 50 epochs.

Shapes: M training captions, N batch, T time, D feature, V vocabulary, L steps of a caption.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recap.errors import InputError
from recap.reference.optim import RULES

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]


class _Solver(ABC):
    """Goes ``num_epochs`` times through the captions in M // batch_size minibatches, or in one."""

    def __init__(
        self,
        model: Any,
        data: Mapping[str, Any],
        *,
        num_epochs: int = 10,
        batch_size: int = 100,
        print_every: int = 10,
        verbose: bool = True,
    ) -> None:
        self.model = model
        self.data = data
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.print_every = print_every
        self.verbose = verbose
        self.epoch = 0
        self.loss_history: list[float] = []

    @abstractmethod
    def _step(self, features: Array, captions: Array) -> float:
        """Update the model on features (N, D) and captions (N, L); returns the loss before."""

    def _end_epoch(self) -> None:
        self.epoch += 1

    def train(self) -> None:
        """Fit the model; prints the loss at every ``print_every``-th step when ``verbose``."""
        captions, rows = self.data["train_captions"], self.data["train_image_idxs"]
        features = self.data["train_features"]
        steps = max(len(captions) // self.batch_size, 1)
        done, total = 0, self.num_epochs * steps
        for _ in range(self.num_epochs):
            order = np.random.permutation(len(captions))  # noqa: NPY002
            for step in range(steps):
                chosen = order[step * self.batch_size :][: self.batch_size]  # (N,)
                self.loss_history.append(self._step(features[rows[chosen]], captions[chosen]))
                done += 1
                if self.verbose and (done - 1) % self.print_every == 0:
                    print(f"(Iteration {done} / {total}) loss: {self.loss_history[-1]:f}")
            self._end_epoch()


class CaptioningSolver(_Solver):
    """Fits the NumPy model, or any with ``params`` and ``loss(features, captions) -> loss, grads``.

    Args:
        model: its ``params`` are replaced step by step.
        data: from ``load_coco_data``.
        update_rule: "sgd", "sgd_momentum", "rmsprop" or "adam", from ``recap.reference.optim``.
        optim_config: settings of the rule, above all learning_rate; every parameter has a copy.
        lr_decay: the learning rate is multiplied by it after every epoch.
        settings: num_epochs, batch_size, print_every and verbose.

    Raises:
        InputError: no such update rule.
    """

    def __init__(
        self,
        model: Any,
        data: Mapping[str, Any],
        *,
        update_rule: str = "adam",
        optim_config: Mapping[str, Any] | None = None,
        lr_decay: float = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(model, data, **settings)
        if update_rule not in RULES:
            raise InputError(f"update_rule: expected one of {', '.join(RULES)}, received {update_rule!r}")
        self.update_rule = RULES[update_rule]
        self.lr_decay = lr_decay
        self.optim_configs = {name: dict(optim_config or {}) for name in model.params}

    def _gradients(self, features: Array, captions: Array) -> tuple[float, Mapping[str, Any]]:
        loss, grads = self.model.loss(features, captions)
        return loss, grads

    def _step(self, features: Array, captions: Array) -> float:
        loss, grads = self._gradients(features, captions)
        params = self.model.params
        for name in params:
            params[name], _ = self.update_rule(params[name], grads[name], self.optim_configs[name])
        return loss

    def _end_epoch(self) -> None:
        super()._end_epoch()
        for config in self.optim_configs.values():
            config["learning_rate"] *= self.lr_decay


class CaptioningSolverPytorch(CaptioningSolver):
    """Fits the torch model, ``loss(features, captions) -> loss``: the same rules, autograd's gradients.

    ``learning_rate`` is that of the update rule, unless ``optim_config`` has one.
    """

    def __init__(
        self,
        model: Any,
        data: Mapping[str, Any],
        *,
        learning_rate: float = 0.001,
        optim_config: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        config = {"learning_rate": learning_rate, **(optim_config or {})}
        super().__init__(model, data, optim_config=config, **settings)

    def _gradients(self, features: Array, captions: Array) -> tuple[float, Mapping[str, Any]]:
        import torch

        params = self.model.params
        for name in params:
            params[name] = params[name].detach().requires_grad_()
        loss = self.model.loss(features, captions)
        grads = torch.autograd.grad(loss, list(params.values()))
        return loss.item(), dict(zip(params, grads, strict=True))

    def _step(self, features: Array, captions: Array) -> float:
        import torch

        with torch.enable_grad():
            loss, grads = self._gradients(features, captions)
        params = self.model.params
        with torch.no_grad():
            for name in params:
                after, _ = self.update_rule(params[name], grads[name], self.optim_configs[name])
                params[name] = after.requires_grad_()
        return loss


class CaptioningSolverTransformer(_Solver):
    """Fits a ``CaptioningTransformer`` with Adam; its mode, training or not, stays as it is."""

    def __init__(
        self,
        model: Any,
        data: Mapping[str, Any],
        idx_to_word: Sequence[str],
        *,
        learning_rate: float = 0.001,
        **settings: Any,
    ) -> None:
        import torch

        super().__init__(model, data, **settings)
        self.idx_to_word = idx_to_word
        self.learning_rate = learning_rate
        self.optim = torch.optim.Adam(model.parameters(), learning_rate)

    def _step(self, features: Array, captions: Array) -> float:
        import torch

        read = torch.as_tensor(captions[:, :-1], dtype=torch.int64)  # (N, T), T = L - 1
        predicted = torch.as_tensor(captions[:, 1:], dtype=torch.int64)  # (N, T)
        # features of the parameters' dtype: notebooks set those to float64
        weight = next(self.model.parameters())
        scores = self.model(torch.as_tensor(features, dtype=weight.dtype), read)  # (N, T, V)
        loss = self.transformer_temporal_softmax_loss(scores, predicted, predicted != self.model._null)
        self.optim.zero_grad()
        loss.backward()
        self.optim.step()
        return loss.item()

    def transformer_temporal_softmax_loss(self, x: "Tensor", y: "Tensor", mask: "Tensor") -> "Tensor":
        """Return ``temporal_softmax_loss`` divided by T: the mean over all N T steps, masked ones too."""
        from recap.reference.torch_layers import temporal_softmax_loss

        return temporal_softmax_loss(x, y, mask) / x.shape[1]
