"""One seed of the params becomes one for each purpose and moment, so that no draw depends on another."""

import hashlib

import torch


def derive_seed(seed: int, purpose: str, moment: int = 0) -> int:
    """A seed below 2^63 for a purpose ("initialisation", "order", "dropout") at an epoch or step.

    What is random at a step is a function of params and the step alone, so a resumed run needs no state
    of a generator.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{moment}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def seed_generator(device: torch.device, seed: int) -> None:
    """Seed torch's default generator of a device, and no other: torch.manual_seed takes 0.4 ms for all."""
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
