"""The loop that fits a decoder: batches, steps, validation, early stopping."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from recap.decoders.config import DecoderConfig
from recap.decoders.decoder import Decoder
from recap.errors import InputError
from recap.progress import track
from recap.runtime.workers import ALONE, Worker
from recap.text.batches import CaptionedFeatures, shuffled_batches, sorted_batches
from recap.training.averaging import averaged, update_average
from recap.training.config import TrainConfig
from recap.training.gradients import Backpropagation, move
from recap.training.optimizer import learning_rate_at, set_learning_rate
from recap.training.seeds import derive_seed, seed_generator
from recap.training.state import TrainingState
from recap.training.validation import ValidationScores

STEPS_A_READING = 20  # reading a loss waits for the device, so it is done for many steps at once
Waiting = tuple[int, int, Tensor, float, Tensor, int]
"""A step whose numbers are on the device: step, epoch, loss, learning rate, norm of the gradient, words."""

Keep = Callable[[TrainingState], None]
"""Called between two steps with a state that may be kept and resumed; may end the process."""

Report = Callable[[dict[str, float], int], None]
"""Receives live metrics and the step or epoch that they belong to."""


@dataclass(frozen=True)
class Task:
    """Data and settings of a training."""

    name: str  # the decoder's, for messages
    training: CaptionedFeatures  # captions to learn
    validation: CaptionedFeatures  # captions that choose the epoch to keep
    config: TrainConfig  # the group `train`
    decoder: DecoderConfig  # the decoder's own settings, of which learning rate and epochs matter here
    worker: Worker = ALONE  # one of the processes that share every batch
    scores: ValidationScores | None = None  # of captions, after each epoch; the first worker has them
    rate_setting: str = ""  # what sets the learning rate, for messages; "": the decoder's own setting

    @property
    def score_columns(self) -> tuple[str, ...]:
        """The names of the scores of captions."""
        return self.scores.columns if self.scores else ()


def fit(
    task: Task,
    state: TrainingState,
    report: Report,
    keep: Keep = lambda state: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> None:
    """Train until the last epoch, or until the validation loss has not improved for ``patience`` epochs.

    With ``keep`` "last" all epochs are done, and the last weights are kept. Where weights are averaged, the
    average is validated and kept. A resumed state goes on to the same bits as one that never stopped.

    Args:
        task: data and settings.
        state: new or resumed; ``state.best`` holds the weights to keep at the end.
        report: receives live metrics.
        keep: called now and then, and as soon as ``interrupted``.
        interrupted: returns whether the end is asked for.

    Raises:
        InputError: a training loss is not finite.
    """
    config, epochs = task.config, task.decoder.epochs
    # of several workers, the gradients are added up before
    update = partial(_clip_and_step, config, state) if task.worker.ranks == 1 else None
    backpropagate = Backpropagation(state.decoder, task.training, config, update)

    def end_when_asked() -> None:
        if interrupted():
            keep(state)

    patience = config.patience if config.keep == "best" else epochs
    while len(state.epochs) < epochs and len(state.epochs) - state.best_epoch() < patience:
        epoch = len(state.epochs) + 1
        start, steps_before = time.monotonic(), len(state.steps)
        _train_epoch(task, state, backpropagate, epoch, report, keep, interrupted)
        seconds, steps = time.monotonic() - start, len(state.steps) - steps_before
        _, _, losses, rates, norms, words = np.array([row for row in state.steps if row[1] == epoch]).T
        training_loss = float((losses * words).sum() / words.sum())
        with averaged(state.average, state.decoder):
            validation_loss = mean_loss(
                state.decoder, task.validation, config.batch_size, task.worker, end_when_asked
            )
            scores = task.scores.score(state.decoder) if task.scores else []
            state.epochs.append(
                [epoch, training_loss, validation_loss, float(rates[-1]), float(norms.mean()), *scores]
            )
            if config.keep == "last" or state.best_epoch() == epoch:
                state.best = {name: value.clone() for name, value in state.decoder.state_dict().items()}
        keep(state)
        names = ["training_loss", "validation_loss", *task.score_columns]
        report(dict(zip(names, [training_loss, validation_loss, *scores], strict=True)), epoch)
        if task.worker.rank:
            continue
        print(
            f"{task.name}: epoch {epoch} of {epochs}: training loss {training_loss:.4f}, "
            f"validation loss {validation_loss:.4f}, {steps * config.batch_size / seconds:,.0f} captions/s",
            file=sys.stderr,
            flush=True,
        )


def mean_loss(
    decoder: Decoder,
    data: CaptionedFeatures,
    batch_size: int,
    worker: Worker = ALONE,
    between_batches: Callable[[], object] = lambda: None,
) -> float:
    """Return the cross-entropy in nats without dropout, mean over all words, <END> included."""
    weight = next(decoder.parameters())
    lengths = data.lengths()
    decoder.eval()
    total = torch.zeros((), dtype=torch.float64, device=weight.device)
    with torch.inference_mode():
        for batch in sorted_batches(lengths, batch_size)[worker.rank :: worker.ranks]:
            between_batches()
            features, captions = data.batch(batch)
            loss = decoder.loss(move(features, weight), move(captions, weight))
            total += loss.double() * int((lengths[batch] - 1).sum())
    worker.add(total)
    return total.item() / int((lengths - 1).sum())


def _train_epoch(
    task: Task,
    state: TrainingState,
    backpropagate: Backpropagation,
    epoch: int,
    report: Report,
    keep: Keep,
    interrupted: Callable[[], bool],
) -> None:
    """Do the remaining steps of an epoch."""
    config, epochs = task.config, task.decoder.epochs
    lengths = task.training.lengths()
    generator = np.random.default_rng(derive_seed(config.seed, "order", epoch))
    batches = shuffled_batches(lengths, config.batch_size, generator)
    done = len(state.steps) - len(batches) * (epoch - 1)
    state.decoder.train()
    waiting: list[Waiting] = []
    todo: Iterable[NDArray[np.int64]] = batches[done:]
    if task.worker.rank == 0:
        todo = track(todo, f"{task.name}: epoch {epoch} of {epochs}")
    for batch in todo:
        step = len(state.steps) + len(waiting)
        total = len(batches) * epochs
        rate = learning_rate_at(step, task.decoder.learning_rate, config.warmup_steps, total, config.schedule)
        loss, norm = _train_step(task, state, backpropagate, batch, step, rate)
        waiting.append((step + 1, epoch, loss, rate, norm, int((lengths[batch] - 1).sum())))
        if len(waiting) == STEPS_A_READING or interrupted():
            _read(task, state, waiting, report)
            keep(state)
    _read(task, state, waiting, report)


def _train_step(
    task: Task,
    state: TrainingState,
    backpropagate: Backpropagation,
    batch: NDArray[np.int64],
    step: int,
    rate: float,
) -> tuple[Tensor, Tensor]:
    """Update the weights once; return the loss and the gradient's norm, on the device."""
    config, worker, weight = task.config, task.worker, next(state.decoder.parameters())
    mine = batch[worker.rank :: worker.ranks]  # batches hold similar lengths, so workers need the same time
    # dropout alone draws from it
    seed_generator(weight.device, derive_seed(config.seed, "dropout", step, worker.rank))
    with one_update(config, state, step, rate):
        if worker.ranks == 1:
            loss, norm = backpropagate(mine)
            return loss, norm
        if len(mine):
            (loss,) = backpropagate(mine, task.training.words(mine) / task.training.words(batch))
        else:
            state.optimizer.zero_grad()
            loss = torch.zeros((), dtype=weight.dtype, device=weight.device)
        return apply_gradients(config, state, loss, worker)


@contextmanager
def one_update(config: TrainConfig, state: TrainingState, step: int, rate: float) -> Iterator[None]:
    """Around the update of a step: sets its learning rate before, moves the average of the weights after."""
    set_learning_rate(state.optimizer, rate)
    yield
    if config.average_decay:
        update_average(state.average, state.decoder, config.average_decay, step)


def apply_gradients(
    config: TrainConfig, state: TrainingState, loss: Tensor, worker: Worker
) -> tuple[Tensor, Tensor]:
    """Clip the gradients of all workers and step the optimizer.

    Returns:
        The sum of the workers' losses, and the gradient's norm, on the device.
    """
    if worker.ranks > 1:
        loss = _add_up(worker, state.decoder, loss)
    return loss, _clip_and_step(config, state)


def _clip_and_step(config: TrainConfig, state: TrainingState) -> Tensor:
    """Return the gradient's norm before it is clipped, on the device."""
    norm = clip_grad_norm_(state.decoder.parameters(), config.gradient_clip)
    state.optimizer.step()
    return norm


def _add_up(worker: Worker, decoder: Decoder, loss: Tensor) -> Tensor:
    """Replace the gradients by their sums over the workers, in one message; return the sum of the losses."""
    parameters = list(decoder.parameters())
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    message = torch.cat([loss.reshape(1), *(gradient.reshape(-1) for gradient in gradients)])  # (1 + P,)
    worker.add(message)
    sums = message[1:].split([gradient.numel() for gradient in gradients])
    for gradient, total in zip(gradients, sums, strict=True):
        gradient.copy_(total.view_as(gradient))
    return message[0]


def _read(task: Task, state: TrainingState, waiting: list[Waiting], report: Report) -> None:
    """Move waiting steps into the history and report them; ``waiting`` is empty afterwards."""
    if not waiting:
        return
    losses = torch.stack([row[2] for row in waiting]).tolist()
    norms = torch.stack([row[4] for row in waiting]).tolist()
    for (step, epoch, _, rate, _, words), loss, norm in zip(waiting, losses, norms, strict=True):
        if not math.isfinite(loss):
            setting = task.rate_setting or f"decoders.{task.name}.learning_rate"
            raise InputError(f"{setting}: expected a finite training loss, received {loss} at step {step}")
        state.steps.append([step, epoch, loss, rate, norm, words])
        report({"loss": loss, "learning_rate": rate, "gradient_norm": norm}, step)
    waiting.clear()
