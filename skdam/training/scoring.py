"""From the output of a module to scores and features, batch by batch."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from skorch.dataset import get_len
from torch import Tensor, nn

from skdam.networks.members import mean_probability_logit

_MIN_ROWS = 16
_BLOCK = 4


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of both classes, of shape (n, 2), for logits of shape (n,)."""
    both = np.empty((len(logits), 2))
    expit(logits, out=both[:, 1])
    expit(-logits, out=both[:, 0])
    return both


def n_members_of(module: nn.Module) -> int:
    """Return how many members a module says that it has."""
    return getattr(module, "n_members", None) or 1


@torch.no_grad()
def vote(module: nn.Module, logits: Tensor) -> Tensor:
    """Return one logit for each example, of shape (n,), from those of the members."""
    logits = logits.detach()
    if n_members_of(module) == 1:
        return logits.reshape(-1)
    return getattr(module, "vote", mean_probability_logit)(logits)


def decision_of(
    module: nn.Module,
    infer: Callable[[Any], Tensor],
    as_input: Callable[[Any], Any] = lambda batch: batch,
) -> Callable[[Any], Tensor]:
    """Return the function that gives one logit for each row of a batch.

    It is the method ``decision_function`` of the module, if any, which gets what ``as_input`` makes
    of a batch, or else the vote of what ``infer`` returns.
    """
    decide = getattr(module, "decision_function", None)
    if inspect.ismethod(decide):
        return lambda batch: decide(as_input(batch))
    return lambda batch: vote(module, infer(batch))


def padded(X: Any) -> Any:
    """Return a tensor with its first row repeated, to a multiple of 4 rows, 16 at least.

    Matrix products round differently for a handful of rows, and in what is left of blocks of 4.
    Padded, the score of an example does not depend on the batch that it came in: on x86 CPUs, for
    the residual networks and for perceptrons, one or many, with hidden layers of 25 units or more.
    For smaller layers products take yet other paths, which depend on the number of rows, and the
    last bits may differ, as they may on a GPU.
    """
    if not isinstance(X, Tensor):
        return X
    n = len(X)
    missing = max(_MIN_ROWS - n, -n % _BLOCK)
    if not missing:
        return X
    return torch.cat([X, X[:1].expand(missing, *X.shape[1:])])


@torch.no_grad()
def evaluate(
    batches: Iterable[tuple[Any, Any]], function: Callable[[Any], Tensor], n_examples: int
) -> Tensor:
    """Return what a function makes of all examples, on the CPU.

    Parameters
    ----------
    batches : iterable of pairs (X, y)
    function : callable
        Takes X of a batch, returns a tensor with a row for each example.
    n_examples : int
        How many there are at most.

    Raises
    ------
    ValueError
        If there are no batches.
    """
    outputs: Tensor | None = None
    start = 0
    for batch, _ in batches:
        end = start + get_len(batch)
        output = function(padded(batch))
        if outputs is None:
            # at once: parts, joined at the end, would leave gaps in memory
            outputs = output.new_empty((n_examples, *output.shape[1:]), device="cpu")
        outputs[start:end] = output[: end - start]
        start = end
    if outputs is None:
        raise ValueError("there is nothing to score: the iterator has no batches.")
    # a loader may have been told to drop what is left of the last batch
    return outputs[:start]


def embedding_of(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the function that gives the features of a module: its method ``embed``, if any.

    Otherwise they are the input of the :class:`torch.nn.Linear` that runs last, in evaluation mode.
    """
    embed = getattr(module, "embed", None)
    # it may be the first layer
    return embed if inspect.ismethod(embed) else _input_of_last_linear(module)


def _input_of_last_linear(module: nn.Module) -> Callable[[Tensor], Tensor]:
    # hooks on the module itself would see what other threads run
    module = _copied(module).eval()
    seen: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        seen[:] = [next(iter((*inputs, *named.values()))).flatten(1)]

    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_pre_hook(keep, with_kwargs=True)

    def embed(X: Tensor) -> Tensor:
        seen.clear()
        module(X)
        if not seen:
            raise ValueError(
                f"module {type(module).__name__} runs no nn.Linear, the input of which would be "
                "its features; give it a method embed(X) that returns them."
            )
        return seen.pop()

    return embed


def _copied(module: nn.Module) -> nn.Module:
    """Return a copy of the layers that shares their tensors."""
    others = (value for layer in module.modules() for value in vars(layer).values())
    tensors = [value for value in others if isinstance(value, Tensor)]
    tensors += [*module.parameters(), *module.buffers()]
    try:
        return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    except Exception as error:
        raise ValueError(
            f"module {type(module).__name__} cannot be copied, to watch the input of its last "
            f"nn.Linear: {error}. Give it a method embed(X) that returns its features."
        ) from error
