"""First-order update rules, for arrays and for tensors.

Each takes a parameter, its gradient and a dict of settings that it fills in and that holds its memory, and
returns the next parameter and the dict. The parameter itself stays as it is.
"""

from typing import Any

Config = dict[str, Any]


def _complete(config: Config | None, **defaults: float) -> Config:
    config = {} if config is None else config
    for name, value in defaults.items():
        config.setdefault(name, value)
    return config


def sgd(w: Any, dw: Any, config: Config | None = None) -> tuple[Any, Config]:
    """Step along the gradient: w - learning_rate dw; learning_rate is 0.01 unless given."""
    config = _complete(config, learning_rate=1e-2)
    return w - config["learning_rate"] * dw, config


def sgd_momentum(w: Any, dw: Any, config: Config | None = None) -> tuple[Any, Config]:
    """Step with momentum (Polyak 1964): the step keeps ``momentum`` times the one before.

    learning_rate is 0.01, momentum 0.9 unless given; ``velocity`` is the step.
    """
    config = _complete(config, learning_rate=1e-2, momentum=0.9)
    config["velocity"] = config["momentum"] * config.get("velocity", 0 * w) - config["learning_rate"] * dw
    return w + config["velocity"], config


def rmsprop(w: Any, dw: Any, config: Config | None = None) -> tuple[Any, Config]:
    """Step by RMSProp (Tieleman and Hinton 2012): each entry is divided by its gradient's running norm.

    learning_rate is 0.01, decay_rate 0.99, epsilon 1e-8 unless given; ``cache`` is the running mean of dw^2.
    """
    config = _complete(config, learning_rate=1e-2, decay_rate=0.99, epsilon=1e-8)
    decay = config["decay_rate"]
    config["cache"] = decay * config.get("cache", 0 * w) + (1 - decay) * dw**2
    return w - config["learning_rate"] * dw / (config["cache"] ** 0.5 + config["epsilon"]), config


def adam(w: Any, dw: Any, config: Config | None = None) -> tuple[Any, Config]:
    """Step by Adam (Kingma and Ba 2015), with both corrections of the bias.

    learning_rate is 0.001, beta1 0.9, beta2 0.999, epsilon 1e-8 unless given; ``m`` and ``v`` are the running
    means of dw and dw^2, ``t`` counts the steps.
    """
    config = _complete(config, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8)
    beta1, beta2 = config["beta1"], config["beta2"]
    config["t"] = config.get("t", 0) + 1
    config["m"] = beta1 * config.get("m", 0 * w) + (1 - beta1) * dw
    config["v"] = beta2 * config.get("v", 0 * w) + (1 - beta2) * dw**2
    mean = config["m"] / (1 - beta1 ** config["t"])
    square = config["v"] / (1 - beta2 ** config["t"])
    return w - config["learning_rate"] * mean / (square**0.5 + config["epsilon"]), config


RULES = {"sgd": sgd, "sgd_momentum": sgd_momentum, "rmsprop": rmsprop, "adam": adam}
