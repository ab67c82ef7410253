"""Memory for models that were made on the device "meta", where nobody draws weights that are replaced."""

import torch
from torch import nn


def allocate(model: nn.Module) -> None:
    """Give parameters and buffers memory of the CPU, which holds nothing yet.

    ``nn.Module.to_empty`` does the same, and imports a compiler and sympy for it, which takes a second.
    """
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape, dtype=parameter.dtype)))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
