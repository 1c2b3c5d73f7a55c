"""The phases of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from skdam._generators import RngState, forked_rng, get_rng_state
from skdam.optim.pdsca import PDSCA


class Step:
    """Takes the step or, where both phases see a batch, the two steps of a batch.

    Parameters
    ----------
    module : nn.Module
    optimizer : PDSCA
    gradients : callable
        Takes a batch, adds the gradients of the optimizer's phase to those there are, and returns
        a dict with ``loss`` and the output of the module, ``y_pred``.
    inner_loss : callable or None, default=None
        Takes a batch, returns the inner loss with its graph; needed for the exact hypergradient.
    device : str, default="cpu"
        That of the module.

    Examples
    --------
    >>> import torch
    >>> from skdam import PDSCA, CompositionalAUCLoss
    >>> from skdam.training.step import Step
    >>> module, criterion = torch.nn.Linear(3, 1), CompositionalAUCLoss()
    >>> optimizer = PDSCA(module.parameters(), criterion, variant="lookahead")
    >>> def gradients(batch):
    ...     X, y = batch
    ...     logits = module(X)
    ...     loss = criterion(logits, y, phase=optimizer.phase)
    ...     loss.backward()
    ...     return {"loss": loss, "y_pred": logits}
    >>> step = Step(module, optimizer, gradients)
    >>> sorted(step((torch.randn(4, 3), torch.tensor([0, 1, 0, 1])))["losses"])
    ['inner_loss', 'outer_loss']
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: PDSCA,
        gradients: Callable[..., dict[str, Any]],
        inner_loss: Callable[..., Tensor] | None = None,
        device: str = "cpu",
    ) -> None:
        self._module = module
        self._optimizer = optimizer
        self._gradients = gradients
        self._inner_loss = inner_loss
        self._device = device
        self._inner_rng_state: RngState | None = None

    def __call__(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take the steps of a batch.

        Returns
        -------
        dict
            What ``gradients`` returned last, and the ``losses`` of all phases by name.
        """
        losses = {}
        for _ in range(self._optimizer.phases_per_batch):
            name = f"{self._optimizer.phase}_loss"
            step = self._take_phase(batch, **fit_params)
            losses[name] = step["loss"].detach()
        return {**step, "losses": losses}

    def _take_phase(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        optimizer = self._optimizer
        phase = optimizer.phase
        exact = optimizer.hypergradient == "exact"
        if exact and phase == "inner":
            self._inner_rng_state = get_rng_state(self._device)
        optimizer.zero_grad()
        # lookahead predicts at u: what the batch does to running statistics at w is undone
        passes_w = optimizer.phases_per_batch == 2 and phase == "inner"
        with buffers_kept(self._module) if passes_w else nullcontext():
            step = self._gradients(batch, **fit_params)
        if exact and phase == "outer":
            with buffers_kept(self._module):
                optimizer.step(inner_loss=lambda: self._inner_loss_again(batch, **fit_params))
        else:
            optimizer.step()
        return step

    def _inner_loss_again(self, batch: Any, **fit_params: Any) -> Tensor:
        assert self._inner_loss is not None
        # the Hessian must be that of the very function whose gradient led to u
        with forked_rng(self._device, state=self._inner_rng_state):
            return self._inner_loss(batch, **fit_params)


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Undo what happens to the buffers of a module, also where it replaces one."""
    owned = [
        (layer._buffers, name, buffer)
        for layer in module.modules()
        for name, buffer in layer._buffers.items()
        if buffer is not None and not is_lazy(buffer)
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
