"""Who listens to modules and parameters, and what autograd does with a gradient."""

from __future__ import annotations

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
