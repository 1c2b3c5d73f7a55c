"""Gradients of a batch, or a whole step of training, as one compiled function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from skdam._device import forked_rng
from skdam._hooks import add_gradient, has_hooks
from skdam.losses.compositional import CompositionalAUCLoss, plain
from skdam.optim.packing import Form, Part, Vector
from skdam.optim.pdsca import PDSCA, Options, ascend, descend, inner_lr_of, move_to_inner_point

_CAN_TRACE_GRADIENTS = hasattr(torch._dynamo.config, "trace_autograd_ops")


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
        def function(phase: str) -> _Compiled:
            def gradients(X: Tensor, y: Any, parameters: list[Tensor]) -> Any:
                with context():
                    logits = module(X)
                loss = criterion(logits, y, phase=phase)
                slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
                return slopes, loss.detach(), logits.detach()

            return _Compiled(gradients, options)

        try:
            self._functions = {phase: function(phase) for phase in ("inner", "outer")}
        except (RuntimeError, TypeError) as error:
            given = ", ".join(f"compile__{name}={value!r}" for name, value in options.items())
            raise ValueError(f"torch.compile does not take {given}: {error}") from error

    def __call__(
        self, X: Tensor, y: Any, phase: str, parameters: list[Tensor]
    ) -> tuple[Tensor, Tensor] | None:
        """Give parameters their gradients, and return loss and logits, or None if it fails."""
        try:
            if not _CAN_TRACE_GRADIENTS:
                raise RuntimeError(f"torch {torch.__version__} is too old to compile gradients.")
            if any(map(has_hooks, parameters)):
                raise RuntimeError("parameters have hooks, which a compiled step does not call.")
            slopes, loss, logits = self._functions[phase](X, y, parameters)
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


class CompiledStep:
    """Forward and backward pass and the step of the optimizer as one compiled function.

    It changes the parameters in the vector that the optimizer has made of them; they have no
    ``grad``.

    Parameters
    ----------
    module, criterion, context, options
        As in :class:`CompiledGradients`.
    optimizer : PDSCA

    Attributes
    ----------
    is_of_use : bool
        False when it has turned out that steps have to be taken otherwise.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: CompositionalAUCLoss,
        context: Callable[[], Any],
        options: Mapping[str, Any],
        optimizer: PDSCA,
    ) -> None:
        self._module = module
        self._criterion = criterion
        self._context = context
        self._options = options
        self._optimizer = optimizer
        self._functions: dict[Any, _Compiled] = {}
        self._bound: dict[str, _Bound] = {}
        self.is_of_use = _CAN_TRACE_GRADIENTS

    def forget(self) -> None:
        """Let go of the optimizer's vectors; until then neither they nor options may change."""
        self._bound.clear()

    def __call__(self, X: Tensor, y: Any) -> tuple[Tensor, Tensor] | None:
        """Take a step and return loss and logits, or None if it is still to be taken."""
        optimizer = self._optimizer
        phase = optimizer.phase
        if phase == "inner":
            y = plain(y)  # all that it needs
        try:
            if phase not in self._bound:
                step = optimizer.next_vector()
                if step is None:
                    # in the first round of phases states do not exist yet
                    self.is_of_use = optimizer.n_steps < 2 * max(optimizer.inner_steps, 1)
                    return None
                self._bound[phase] = _Bound(self._function(X, *step), *step)
            bound = self._bound[phase]
            loss, logits = bound.function(X, y, *bound.arguments)
        # whether it can be compiled at all, is for the gradients to say
        except Exception:
            self.is_of_use = False
            return None
        optimizer.count_step(bound.options, bound.vector)
        return loss, logits

    def _function(self, X: Tensor, options: Options, vector: Vector) -> _Compiled:
        """Return the step of the phase, for vectors and options of this form."""
        phase, pretraining = self._optimizer.phase, self._optimizer.pretraining
        if any(map(has_hooks, vector.parameters)) or not self._criterion.is_private:
            raise RuntimeError("a compiled step calls no hooks and no code but the module's.")
        names = {id(p): name for name, p in self._module.named_parameters()}
        own = {id(self._criterion.a): "a", id(self._criterion.b): "b"}
        of_module = tuple(names[id(p)] for p in vector.parameters if id(p) in names)
        of_criterion = tuple(own[id(p)] for p in vector.parameters if id(p) in own)
        decays = bool(options["epoch_decay"])
        kind = (phase, pretraining, decays, of_module, of_criterion)
        if kind not in self._functions:
            self._check_replaceable(X, vector.parameters)
            update = _descend if phase == "outer" or pretraining else _move_to_inner_point
            step = self._step(phase, update, decays, (of_module, of_criterion), vector.form)
            self._functions[kind] = _Compiled(step, self._options)
        return self._functions[kind]

    def _check_replaceable(self, X: Tensor, parameters: list[Tensor]) -> None:
        """Raise if the module knows its parameters otherwise than by their names in it."""
        tensors = [*self._module.named_parameters(), *self._module.named_buffers()]
        copies = {
            name: tensor.detach().clone().requires_grad_(tensor.requires_grad)
            for name, tensor in tensors
        }
        with forked_rng(str(X.device)), self._context():
            logits = functional_call(self._module, copies, (X,))
        slopes = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
        if any(slope is not None for slope in slopes):
            raise RuntimeError("the module has references to parameters beside its own.")

    def _step(
        self,
        phase: str,
        update: Callable[[Part, Options], None],
        decays: bool,
        names: tuple[tuple[str, ...], tuple[str, ...]],
        form: Form,
    ) -> Callable[..., tuple[Tensor, Tensor]]:
        module, criterion, context = self._module, self._criterion, self._context
        of_module, of_criterion = names
        n_of_module = len(of_module)

        def step(
            X: Tensor, y: Any, value: Tensor, states: dict[str, Tensor], numbers: Tensor
        ) -> tuple[Tensor, Tensor]:
            parameters = form.parts(value)
            with context():
                own = dict(zip(of_module, parameters[:n_of_module], strict=True))
                logits = functional_call(module, own, (X,))
            own = dict(zip(of_criterion, parameters[n_of_module:], strict=True))
            loss = functional_call(criterion, own, (logits, y), {"phase": phase})
            slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
            if any(slope is None for slope in slopes):
                raise RuntimeError("what has no gradient must stay as it is.")
            gradient = form.joined(slopes)
            options = _traced_options(numbers, decays)
            with torch.no_grad():
                update(_Traced(value, dict(states), gradient), options)
                if phase == "outer":
                    dual = dict(zip(of_criterion, form.parts(value)[n_of_module:], strict=True))
                    a, b = dual.get("a", criterion.a), dual.get("b", criterion.b)
                    ascend(criterion.alpha, a, b, criterion.margin, options["lr"])
            return loss.detach(), logits.detach()

        return step


def _move_to_inner_point(part: Part, options: Options) -> None:
    move_to_inner_point(part, options, adaptive=False)


def _descend(part: Part, options: Options) -> None:
    descend(part, options, "alternating", adaptive=False)


class _Traced(Part):
    """What a compiled step moves."""

    def __init__(self, value: Tensor, state: dict[str, Any], gradient: Tensor) -> None:
        super().__init__(value, state)
        self._gradient = gradient

    def gradient(self, bound: float) -> Tensor:
        return self._gradient.clamp(-bound, bound)


class _Bound:
    """A compiled step, and what it takes and changes beside the batch.

    The ``grad`` of the parameters, of an earlier step, is cleared.

    Parameters
    ----------
    function : callable
    options : dict
    vector : Vector

    Attributes
    ----------
    arguments : tuple
        Values, states, and options in a tensor: numbers would be constants of the function.
    """

    def __init__(self, function: _Compiled, options: Options, vector: Vector) -> None:
        for parameter in vector.parameters:
            parameter.grad = None
        states = {k: v for k, v in vector.state.items() if isinstance(v, Tensor)}
        if options["epoch_decay"]:
            states["reference"] = vector.reference()
        if "stage_steps" in vector.state:
            states["stage_steps"] = vector.value.new_tensor(vector.state["stage_steps"])
        value = vector.value.detach().requires_grad_()
        self.function = function
        self.options = options
        self.vector = vector
        self.arguments = (value, states, value.new_tensor(_numbers_of(options)))


def _numbers_of(options: Options) -> tuple[float, ...]:
    names = ("lr", "weight_decay", "epoch_decay", "clip_value")
    return (*(options[name] for name in names), inner_lr_of(options), *options["betas"])


def _traced_options(numbers: Tensor, decays: bool) -> Options:
    lr, weight_decay, epoch_decay, clip_value, inner_lr, *betas = numbers.unbind()
    return {
        "lr": lr,
        "inner_lr": inner_lr,
        "betas": betas,
        "weight_decay": weight_decay,
        "epoch_decay": epoch_decay if decays else 0.0,
        "clip_value": clip_value,
    }


class _Compiled:
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

    def __call__(self, X: Tensor, y: Any, *arguments: Any) -> Any:
        key = (X.shape, X.dtype, type(y), len(arguments[0]))
        known = key in self._traced
        try:
            result = self._run(known, X, y, *arguments)
        except torch._dynamo.exc.Unsupported:
            if not known:
                raise
            # something else has changed, the rate of dropout say
            result = self._run(False, X, y, *arguments)
        self._traced.add(key)
        return result

    def _run(self, known: bool, *arguments: Any) -> Any:
        if known:
            return self._function(*arguments)
        # what lets torch compile gradients takes time to switch on
        with torch._dynamo.config.patch(trace_autograd_ops=True), _own_warnings_ignored():
            return self._function(*arguments)


@contextmanager
def _own_warnings_ignored() -> Iterator[None]:
    # where warnings are errors, those that torch has for itself would end the compilation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
