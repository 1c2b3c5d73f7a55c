"""What autograd does beside computing: hooks, gradients that add up, modes that are on."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def has_hooks(parameter: Tensor) -> bool:
    """Return whether somebody is to be told of the parameter's gradient."""
    return bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)


def is_called_as_it_is(module: nn.Module) -> bool:
    """Return whether a call of the module does what its class says, with no hooks."""
    return not (
        "forward" in vars(module)
        or module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def add_gradient(parameter: Tensor, gradient: Tensor) -> None:
    """Add to the gradient that the parameter has, if any, as a backward pass does."""
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def is_autocast_on(device: torch.device) -> bool:
    """Return whether :class:`torch.autocast` is in force."""
    kind = device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
