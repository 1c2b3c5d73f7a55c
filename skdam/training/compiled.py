"""Gradients of a batch as one compiled function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from skdam._targets import are_plain, folds_of
from skdam.data.batches import scaled
from skdam.losses.compositional import Phase
from skdam.optim.pdsca import PDSCA
from skdam.training.observers import own_methods

# methods of a net whose changes a compiled function does not see
_METHODS = ("infer", "get_loss", "forward_in_training")

_HOOKS = "parameters have hooks, which a compiled step does not call"


def why_not(net: Any) -> str | None:
    """Return why the gradients of a net cannot be compiled, or None if they can.

    Parameters
    ----------
    net : CompositionalAUCNet
        Initialized.
    """
    if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        return f"torch {torch.__version__} is too old to compile gradients"
    if any(map(_has_hooks, net.optimizer_.trained_parameters)):
        return _HOOKS
    if changed := own_methods(net, _METHODS):
        return f"the net has its own {', '.join(changed)}, which a compiled step does not call"
    return None


class Compiled:
    """Forward and backward pass by :func:`torch.compile`, one function for each phase.

    What makes a small network slow is the calls, not the arithmetic: compiled, there is one
    call for both passes. Where that does not work, a warning says so, once, and the gradients
    are computed by autograd from then on.

    Parameters
    ----------
    module : nn.Module
        Takes X, returns the logits.
    criterion : nn.Module
        Takes logits, targets and ``phase``, returns the loss.
    optimizer : PDSCA
        Knows which parameters are trained.
    context : callable
        Returns the context manager of a forward pass.
    fallback : callable
        Computes the gradients of batches that cannot be compiled, as
        :class:`~skdam.training.gradients.Autograd` does.
    options : mapping
        Arguments for :func:`torch.compile`.

    Attributes
    ----------
    reason : str or None
        Why nothing is compiled any more.

    Raises
    ------
    ValueError
        If :func:`torch.compile` does not take the options.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        optimizer: PDSCA,
        context: Callable[[], Any],
        fallback: Callable[..., tuple[Tensor, Any]],
        options: Mapping[str, Any],
    ) -> None:
        self.reason: str | None = None
        self._fallback = fallback
        self._optimizer = optimizer

        def function(phase: str) -> _CompiledFunction:
            def gradients(X: Tensor, y: Tensor, parameters: list[Tensor]) -> Any:
                with context():
                    logits = module(X)
                if logits.dtype in (torch.bfloat16, torch.float16):
                    logits = logits.float()
                loss = criterion(logits, y, phase=phase)
                of_parameters = torch.autograd.grad(loss, parameters, allow_unused=True)
                return of_parameters, loss.detach(), logits.detach()

            return _CompiledFunction(gradients, options)

        try:
            self._functions = {phase: function(phase) for phase in ("inner", "outer")}
        except (RuntimeError, TypeError) as error:
            given = ", ".join(f"compile__{name}={value!r}" for name, value in options.items())
            raise ValueError(f"torch.compile does not take {given}: {error}") from error

    @property
    def name(self) -> str:
        """How the next gradients are computed: "autograd" or "compiled"."""
        return "compiled" if self.reason is None else "autograd"

    def stop(self, reason: str) -> None:
        """Compile nothing any more, and warn why."""
        if self.reason is None:
            self.reason = reason
            warnings.warn(
                f"compile=True has no effect, the training goes on without it: {reason}.",
                RuntimeWarning,
                stacklevel=2,
            )

    def __call__(self, X: Any, y: Any, phase: Phase, **fit_params: Any) -> tuple[Tensor, Any]:
        """Return the loss of the phase, detached, and the output of the module."""
        if self.reason is not None:
            return self._fallback(X, y, phase, **fit_params)
        parameters = self._optimizer.trained_parameters
        reason = None
        if fit_params:
            reason = f"fit has the arguments {', '.join(fit_params)} for the module"
        elif folds_of(y) is not None:
            reason = "the members of the ensemble are cross-fitted, use cross_fit=False"
        elif not are_plain(y):
            reason = "examples have weights, which a compiled step does not take"
        elif not isinstance(X, Tensor):
            reason = f"a batch is a {type(X).__name__}, not a Tensor"
        elif any(map(_has_hooks, parameters)):
            reason = _HOOKS
        else:
            device = parameters[0].device
            targets = torch.as_tensor(y, device=device).as_subclass(Tensor)
            try:
                gradients, loss, logits = self._functions[phase](
                    scaled(X.to(device)), targets, parameters
                )
            # a compiler may fail in many ways; what is wrong with module or data is seen without it
            except Exception as error:
                reason = " ".join(str(error).split("\n")[:2]).strip() or type(error).__name__
        if reason is not None:
            result = self._fallback(X, y, phase, **fit_params)
            self.stop(reason)
            return result
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                _add_gradient(parameter, gradient)
        # a CUDA graph writes its next results to the same memory
        return (loss.clone(), logits.clone()) if loss.is_cuda else (loss, logits)


class _CompiledFunction:
    """A function that :func:`torch.compile` compiles for each kind of arguments.

    Parameters
    ----------
    function : callable
    options : mapping
        Arguments for :func:`torch.compile`.
    """

    def __init__(self, function: Any, options: Mapping[str, Any]) -> None:
        # torch counts what it compiles for each code object, and gives up after a few
        function.__code__ = function.__code__.replace()
        # fullgraph, as a graph in pieces has no gradients
        self._function = torch.compile(function, fullgraph=True, **options)
        self._traced: set[Any] = set()

    def __call__(self, X: Tensor, y: Tensor, parameters: list[Tensor]) -> Any:
        key = (X.shape, X.dtype, y.dtype, len(parameters))
        known = key in self._traced
        try:
            result = self._run(known, X, y, parameters)
        except torch._dynamo.exc.Unsupported:
            if not known:
                raise
            # something else has changed, for example the rate of dropout
            result = self._run(False, X, y, parameters)
        self._traced.add(key)
        return result

    def _run(self, known: bool, *arguments: Any) -> Any:
        if known:
            return self._function(*arguments)
        # what lets torch compile gradients takes time to switch on
        options = {"trace_autograd_ops": True, "skip_nnmodule_hook_guards": False}
        with torch._dynamo.config.patch(options), _own_warnings_ignored():
            return self._function(*arguments)


@contextmanager
def _own_warnings_ignored() -> Iterator[None]:
    # where warnings are errors, those that torch has for itself would end the compilation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _has_hooks(parameter: Tensor) -> bool:
    """Return whether hooks wait for the gradient of the parameter."""
    return bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)


def _add_gradient(parameter: Tensor, gradient: Tensor) -> None:
    """Add to the gradient that the parameter has, if any, as a backward pass does."""
    if parameter.grad is not None:
        parameter.grad = parameter.grad + gradient
    # an expanded view could not be changed in place
    elif gradient.is_contiguous() or 0 not in gradient.stride():
        parameter.grad = gradient
    else:
        parameter.grad = gradient.clone()
