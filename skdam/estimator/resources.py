"""What torch computes with in a fit and in prediction: threads, and random generators."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from skdam._generators import forked_rng, own_generator
from skdam._threads import n_threads, threads, work_of
from skdam.data.memory import is_in_memory
from skdam.estimator.parameters import runs_our_code_only
from skdam.training.net import CompositionalAUCNet


def generators_for(
    net: CompositionalAUCNet, datasets: Iterable[Any], parameters: dict[str, Any], seed: int
) -> AbstractContextManager[None]:
    """Return a context in which training draws from generators with a seed.

    They are the global ones if code of the user's may draw from them in training: other threads
    with such a fit wait.

    Parameters
    ----------
    net : CompositionalAUCNet
        Need not be initialized.
    datasets : iterable of dataset or None
        What the fit reads.
    parameters : dict
        The parameters of the estimator.
    seed : int
    """
    is_ours = (
        torch.device(net.device).type == "cpu"
        and runs_our_code_only(parameters, net.module)
        and all(is_in_memory(data) for data in datasets if data is not None)
    )
    return own_generator(seed) if is_ours else forked_rng(net.device, seed=seed)


def threads_for(
    net: CompositionalAUCNet, example_shape: tuple[int, ...], n_jobs: int | None
) -> AbstractContextManager[None]:
    """Return a context in which torch computes with as many threads as ``n_jobs`` says.

    Without a number the work of a training batch decides, in prediction too, so that validation
    scores of training are those of prediction.

    Parameters
    ----------
    net : CompositionalAUCNet
        Initialized.
    example_shape : tuple of int
    n_jobs : int or None
        As in :class:`~skdam.CompositionalAUCClassifier`.
    """
    if torch.device(net.device).type != "cpu":
        return nullcontext()
    work = work_of(net.module_, net.batch_size, example_shape)
    return threads(n_threads(n_jobs, work))
