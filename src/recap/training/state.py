"""The state of a training between two steps: all that a resumed run needs."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recap.decoders.decoder import Decoder
from recap.runtime.checkpoints import pack_moments, unpack_moments

STEP_COLUMNS = ("step", "epoch", "loss", "learning_rate", "gradient_norm", "words")
# of an epoch; scores of captions may follow
EPOCH_COLUMNS = ("epoch", "training_loss", "validation_loss", "learning_rate", "gradient_norm")
REWARD_COLUMNS = ("step", "epoch", "reward", "learning_rate", "gradient_norm")


@dataclass
class TrainingState:
    """Weights, optimizer and history; step and epoch follow from the history."""

    decoder: Decoder
    optimizer: torch.optim.Optimizer
    steps: list[list[float]] = field(default_factory=list)  # a row of STEP_COLUMNS each
    epochs: list[list[float]] = field(default_factory=list)  # likewise, once validated
    rewards: list[list[float]] = field(default_factory=list)  # a row a self-critical step
    average: dict[str, Tensor] = field(default_factory=dict)  # the moving average of the weights
    best: dict[str, Tensor] = field(default_factory=dict)  # the weights that are kept

    def best_epoch(self) -> int:
        """Return the epoch (from 1) with the lowest validation loss, the first of equals; 0 before any."""
        losses = [row[EPOCH_COLUMNS.index("validation_loss")] for row in self.epochs]
        return losses.index(min(losses)) + 1 if losses else 0

    def steps_done(self) -> int:
        """Return how many steps are done."""
        return len(self.steps) + len(self.rewards)

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything as named tensors and JSON values."""
        tensors = {f"decoder/{name}": value for name, value in self.decoder.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        tensors |= {f"average/{name}": value for name, value in self.average.items()}
        tensors |= pack_moments(self.optimizer)
        return tensors, {"steps": self.steps, "epochs": self.epochs, "rewards": self.rewards}

    def unpack(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Continue from what ``pack`` returned."""
        groups: dict[str, dict[str, Tensor]] = {"decoder": {}, "best": {}, "average": {}, "optimizer": {}}
        for path, value in tensors.items():
            group, _, name = path.partition("/")
            groups[group][name] = value
        self.decoder.load_state_dict(groups["decoder"])
        self.best, self.average = groups["best"], groups["average"]
        unpack_moments(self.optimizer, tensors)
        self.steps, self.epochs, self.rewards = values["steps"], values["epochs"], values["rewards"]
