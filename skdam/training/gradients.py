"""How the gradients of a batch are computed: by autograd or by a compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from skdam.losses.compositional import Phase


class Gradients(Protocol):
    """Computes the gradients of a batch, and adds them to ``grad`` of the parameters."""

    @property
    def name(self) -> str:
        """How the next gradients are computed: "autograd" or "compiled"."""

    def __call__(self, X: Any, y: Any, phase: Phase, **fit_params: Any) -> tuple[Tensor, Any]:
        """Return the loss of the phase, detached, and the output of the module."""


class Autograd:
    """Forward pass, loss and backward pass, operation by operation.

    Parameters
    ----------
    forward : callable
        Takes X and the parameters of the fit, returns the output of the module.
    loss : callable
        Takes that output, y, X and the phase, returns the loss.

    Examples
    --------
    >>> import torch
    >>> from skdam import CompositionalAUCLoss
    >>> from skdam.training.gradients import Autograd
    >>> module, criterion = torch.nn.Linear(3, 1), CompositionalAUCLoss()
    >>> gradients = Autograd(module, lambda logits, y, X, phase: criterion(logits, y, phase))
    >>> loss, logits = gradients(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]), "inner")
    >>> module.weight.grad.shape
    torch.Size([1, 3])
    """

    name = "autograd"

    def __init__(
        self, forward: Callable[..., Any], loss: Callable[[Any, Any, Any, Phase], Tensor]
    ) -> None:
        self._forward = forward
        self._loss = loss

    def __call__(self, X: Any, y: Any, phase: Phase, **fit_params: Any) -> tuple[Tensor, Any]:
        """Return the loss of the phase, detached, and the output of the module."""
        output = self._forward(X, **fit_params)
        loss = self._loss(output, y, X, phase)
        if loss.requires_grad:  # a callback may have frozen all there is
            loss.backward()
        return loss.detach(), output


def choose(net: Any, current: Gradients | None) -> Gradients:
    """Return what computes the gradients of a net in the next epoch.

    Parameters
    ----------
    net : CompositionalAUCNet
        Initialized.
    current : Gradients or None
        What computed them so far; functions that are compiled are kept.
    """

    def loss(output: Any, y: Any, X: Any, phase: Phase) -> Tensor:
        # the net takes the phase from the optimizer
        return net.get_loss(output, y, X=X, training=True)

    autograd = Autograd(net.forward_in_training, loss)
    if not net.compile:
        return autograd
    # here, as the compiler takes a second to import
    from skdam.training.compiled import Compiled, why_not

    if not isinstance(current, Compiled):
        parts = (net.module_, net.criterion_, net.optimizer_, net.autocast)
        current = Compiled(*parts, autograd, net.get_params_for("compile"))
    if reason := why_not(net):
        current.stop(reason)
    return current
