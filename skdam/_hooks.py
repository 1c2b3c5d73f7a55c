"""Hooks that autograd calls, and gradients that add up."""

from __future__ import annotations

from torch import Tensor


def has_hooks(parameter: Tensor) -> bool:
    """Return whether hooks wait for the gradient of the parameter."""
    return bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)


def add_gradient(parameter: Tensor, gradient: Tensor) -> None:
    """Add to the gradient that the parameter has, if any, as a backward pass does."""
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
