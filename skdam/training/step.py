"""The phases of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from skdam._device import forked_rng, get_rng_state
from skdam.optim.pdsca import PDSCA


class Step:
    """Takes the step or, where both phases see a batch, the two steps of a batch.

    Parameters
    ----------
    module : nn.Module
    optimizer : PDSCA
    gradients : callable
        Takes X, y and the phase, adds to the gradients, and returns the loss and the output of
        the module; for example an :class:`~skdam.training.gradients.Autograd`.
    inner_loss : callable or None, default=None
        Takes X and y, returns the inner loss with its graph; needed for the exact hypergradient.
    device : str, default="cpu"
        That of the module.

    Examples
    --------
    >>> import torch
    >>> from skdam import PDSCA, CompositionalAUCLoss
    >>> from skdam.training.gradients import Autograd
    >>> from skdam.training.step import Step
    >>> module, criterion = torch.nn.Linear(3, 1), CompositionalAUCLoss()
    >>> optimizer = PDSCA(module.parameters(), criterion, variant="lookahead")
    >>> gradients = Autograd(module, lambda logits, y, X, phase: criterion(logits, y, phase))
    >>> step = Step(module, optimizer, gradients)
    >>> losses, logits = step(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))
    >>> sorted(losses)
    ['inner_loss', 'outer_loss']
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: PDSCA,
        gradients: Callable[..., tuple[Tensor, Any]],
        inner_loss: Callable[..., Tensor] | None = None,
        device: str = "cpu",
    ) -> None:
        self._module = module
        self._optimizer = optimizer
        self._gradients = gradients
        self._inner_loss = inner_loss
        self._device = device

    def __call__(self, X: Any, y: Any, **fit_params: Any) -> tuple[dict[str, Tensor], Any]:
        """Return the losses by name, in the order of the phases, and the last output."""
        losses = {}
        for _ in range(self._optimizer.phases_per_batch):
            name = f"{self._optimizer.phase}_loss"
            losses[name], output = self._take_phase(X, y, **fit_params)
        return losses, output

    def _take_phase(self, X: Any, y: Any, **fit_params: Any) -> tuple[Tensor, Any]:
        optimizer = self._optimizer
        phase = optimizer.phase
        exact = optimizer.hypergradient == "exact"
        if exact and phase == "inner":
            self._inner_rng_state = get_rng_state(self._device)
        optimizer.zero_grad()
        # lookahead predicts at u: what the batch does to running statistics at w is undone
        passes_w = optimizer.phases_per_batch == 2 and phase == "inner"
        with buffers_kept(self._module) if passes_w else nullcontext():
            loss, output = self._gradients(X, y, phase, **fit_params)
        if exact and phase == "outer":
            with buffers_kept(self._module):
                optimizer.step(inner_loss=lambda: self._inner_loss_again(X, y, **fit_params))
        else:
            optimizer.step()
        return loss, output

    def _inner_loss_again(self, X: Any, y: Any, **fit_params: Any) -> Tensor:
        assert self._inner_loss is not None
        # the Hessian must be that of the very function whose gradient led to u
        with forked_rng(self._device, state=self._inner_rng_state):
            return self._inner_loss(X, y, **fit_params)


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Undo what happens to the buffers of a module, also where it replaces one."""
    owned = [
        (layer._buffers, name, buffer)
        for layer in module.modules()
        for name, buffer in layer._buffers.items()
        if buffer is not None
    ]
    buffers = [buffer for _, _, buffer in owned]
    copies = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        if buffers:
            torch._foreach_copy_(buffers, copies)
        for buffers_of_layer, name, buffer in owned:
            buffers_of_layer[name] = buffer
