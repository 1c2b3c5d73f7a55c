"""The random generators that torch draws from: a fit's own, or the global ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

RngState = list[Tensor]

# each thread of Python has a value of its own
_own: ContextVar[torch.Generator | None] = ContextVar("own_generator", default=None)
# whoever swaps the states of the global generators has them alone
_swap = threading.RLock()


@contextmanager
def own_generator(seed: int) -> Iterator[None]:
    """Let this thread draw from a generator of its own, and leave the global ones alone.

    Two kinds of code do: layers that ask :func:`generator_in_use`, and what runs in
    :func:`redirected_draws`. The numbers are those that the global generator of the CPU would give
    for the seed.

    Parameters
    ----------
    seed : int
    """
    token = _own.set(torch.Generator().manual_seed(seed))
    try:
        yield
    finally:
        _own.reset(token)


def generator_in_use() -> torch.Generator | None:
    """Return the generator to draw from on the CPU; None stands for torch's global one."""
    # a compiler cannot follow, and nothing is compiled in an own_generator
    return None if torch.compiler.is_compiling() else _own.get()


def redirected_draws() -> Any:
    """Return a context in which all of torch draws from the thread's own generator, if any.

    Every operation takes longer in it. It is for code that names no generator, such as the
    constructors of layers.
    """
    generator = _own.get()
    return nullcontext() if generator is None else _Redirected(generator)


def get_rng_state(device: str) -> RngState:
    """Return the states of the generators that this thread draws from on a device."""
    return [generator.get_state() for generator in _generators(device)]


def set_rng_state(device: str, state: RngState) -> None:
    """Return to the states of :func:`get_rng_state`."""
    for generator, start in zip(_generators(device), state, strict=True):
        generator.set_state(start)


@contextmanager
def forked_rng(
    device: str, *, seed: int | None = None, state: RngState | None = None
) -> Iterator[None]:
    """Restore the states of the generators that this thread draws from, at the end of the context.

    If they are the global ones, other threads wait until then to enter this context.

    Parameters
    ----------
    device : str
        Device whose generators are restored, in addition to those of the CPU.
    seed : int or None, default=None
        Seed to begin with.
    state : list of Tensor or None, default=None
        State to begin with, from :func:`get_rng_state`.
    """
    with nullcontext() if _own.get() else _swap:
        before = get_rng_state(device)
        try:
            if state is not None:
                set_rng_state(device, state)
            if seed is not None:
                for generator in _generators(device):
                    generator.manual_seed(seed)
            yield
        finally:
            set_rng_state(device, before)


def _generators(device: str) -> list[torch.Generator]:
    own = _own.get()
    return _global_generators(device) if own is None else [own]


def _global_generators(device: str) -> list[torch.Generator]:
    parsed = torch.device(device)
    if parsed.type != "cuda":
        return [torch.default_generator]
    torch.cuda.init()
    index = torch.cuda.current_device() if parsed.index is None else parsed.index
    return [torch.default_generator, torch.cuda.default_generators[index]]


class _Redirected(TorchDispatchMode):
    """Hands a generator to all operations of this thread that draw on the CPU.

    Draws on other devices, and by the few operations that take no generator, leave the global
    generators as they were.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        draws = torch.Tag.nondeterministic_seeded in func.tags
        if not draws or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        device = kwargs.get("device") or next(
            (value.device for value in args if isinstance(value, Tensor)), "cpu"
        )
        taking = _overload_with_generator(func)
        if taking is not None and torch.device(device).type == "cpu":
            return taking(*args, **kwargs, generator=self._generator)
        token = _own.set(None)
        try:
            with forked_rng(str(device)):
                return func(*args, **kwargs)
        finally:
            _own.reset(token)


def _overload_with_generator(func: Any) -> Any:
    """Return the variant of an operation that takes a generator, or None."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    name = func._overloadname
    return getattr(
        func.overloadpacket, "generator" if name == "default" else f"{name}_generator", None
    )
