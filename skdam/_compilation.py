"""Loss and gradients of a batch as one compiled function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from skdam._hooks import add_gradient, has_hooks


class CompiledGradients:
    """Forward and backward pass by :func:`torch.compile`, for each phase of a batch's losses.

    What makes a small network slow is the calls, not the arithmetic: compiled, there is one
    call for both passes. Where that does not work, a warning says so, once.

    Parameters
    ----------
    module : nn.Module
        Takes X, returns the logits.
    criterion : nn.Module
        Takes logits, targets and ``phase``, returns the loss.
    context : callable
        Returns the context manager of a forward pass.
    options : mapping
        Arguments for :func:`torch.compile`.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        context: Callable[[], Any],
        options: Mapping[str, Any],
    ) -> None:
        def function(phase: str) -> Callable[..., Any]:
            def gradients(X: Tensor, y: Any, parameters: list[Tensor]) -> Any:
                with context():
                    logits = module(X)
                loss = criterion(logits, y, phase=phase)
                slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
                return slopes, loss.detach(), logits.detach()

            # torch counts what it compiles for each code object, and gives up after a few
            gradients.__code__ = gradients.__code__.replace()
            # fullgraph, as a graph in pieces has no gradients
            return torch.compile(gradients, fullgraph=True, **options)

        try:
            self._functions = {phase: function(phase) for phase in ("inner", "outer")}
        except (RuntimeError, TypeError) as error:
            given = ", ".join(f"compile__{name}={value!r}" for name, value in options.items())
            raise ValueError(f"torch.compile does not take {given}: {error}") from error
        self._traced: set[Any] = set()

    def __call__(
        self, X: Tensor, y: Any, phase: str, parameters: list[Tensor]
    ) -> tuple[Tensor, Tensor] | None:
        """Give parameters their gradients, and return loss and logits, or None if it fails."""
        function = self._functions[phase]
        key = (phase, X.shape, X.dtype, type(y), len(parameters))
        try:
            if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
                raise RuntimeError(f"torch {torch.__version__} is too old to compile gradients.")
            if any(map(has_hooks, parameters)):
                raise RuntimeError("parameters have hooks, which a compiled step does not call.")
            try:
                known = key in self._traced
                slopes, loss, logits = self._call(function, (X, y, parameters), known)
            except torch._dynamo.exc.Unsupported:
                if not known:
                    raise
                # something else has changed, the rate of dropout say
                slopes, loss, logits = self._call(function, (X, y, parameters), False)
            self._traced.add(key)
        # a compiler may fail in many ways; what is wrong with module or data is seen without it
        except Exception as error:
            reason = " ".join(str(error).split("\n")[:2]).strip() or type(error).__name__
            warnings.warn(
                f"compile=True has no effect, the training goes on without it: {reason}",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        for parameter, slope in zip(parameters, slopes, strict=True):
            add_gradient(parameter, slope)
        # a CUDA graph writes its next loss to the same place
        return loss.clone() if loss.is_cuda else loss, logits

    @staticmethod
    def _call(function: Callable[..., Any], arguments: Any, known: bool) -> Any:
        if known:
            return function(*arguments)
        # what lets torch compile gradients takes time to switch on
        with torch._dynamo.config.patch(trace_autograd_ops=True), _own_warnings_ignored():
            return function(*arguments)


@contextmanager
def _own_warnings_ignored() -> Iterator[None]:
    # where warnings are errors, those that torch has for itself would end the compilation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
