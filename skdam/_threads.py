"""How many threads torch computes with on the CPU."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parameter import is_lazy

# about 30 ms of a step on one thread
_WORK_OF_A_THREAD = 2**28
_SHARE_OF_SITES = 8

_lock = threading.Lock()
# for each context that is open, in any thread of Python: torch's number before the first opened
_before: list[int] = []
_known = threading.local()


def settle_torch_threads() -> None:
    """Give this thread of Python its number of torch's threads, before it uses torch.

    Each thread of Python has a number of its own. It starts as the number set last in any thread.
    If that was set by :func:`threads` for another thread, the number before is restored here.
    """
    with _lock:
        if not hasattr(_known, "here"):
            _known.here = True
            if _before:
                torch.set_num_threads(_before[0])


def n_torch_threads() -> int:
    """Return with how many threads torch computes in this thread of Python."""
    settle_torch_threads()
    return torch.get_num_threads()


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let torch compute with n threads in this thread of Python, and put the number back.

    Parameters
    ----------
    n : int
    """
    before = n_torch_threads()
    if n == before:
        yield
        return
    with _lock:
        _before.append(_before[0] if _before else before)
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        with _lock:
            _before.pop()


def n_threads(n_jobs: int | None, work: int) -> int:
    """Return the number of threads for some work.

    Parameters
    ----------
    n_jobs : int or None
        A number >= 1, -1 for as many as torch has, or None for one thread and one more for each
        further 2**28 of work.
    work : int
        See :func:`work_of`.

    Returns
    -------
    int
        At least 1 and at most :func:`n_torch_threads`.
    """
    most = n_torch_threads()
    wanted = work // _WORK_OF_A_THREAD if n_jobs is None else n_jobs
    return most if n_jobs == -1 else min(max(int(wanted), 1), most)


def work_of(module: nn.Module, batch_size: int, example_shape: tuple[int, ...]) -> int:
    """Return about how many products the forward pass of a batch takes.

    They are the rows of the batch times the parameters of the module. Examples of several axes,
    such as images, use a parameter at many sites: in ResNet20 at about an eighth of the pixels.
    """
    n_parameters = sum(p.numel() for p in module.parameters() if not is_lazy(p))
    n_sites = max(math.prod(example_shape[1:]) // _SHARE_OF_SITES, 1)
    return batch_size * n_parameters * n_sites
