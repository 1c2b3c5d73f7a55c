"""The state of a training: taking it over, saving it, and going on."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from skorch.history import History
from torch import nn
from torch.nn.parameter import is_lazy


def training_state(net: Any) -> dict[str, Any]:
    """Return the states of module, criterion and optimizer; the tensors are the live ones.

    A net that is trimmed for prediction has no optimizer.
    """
    parts = {"module": net.module_, "criterion": net.criterion_, "optimizer": net.optimizer_}
    states = {name: part.state_dict() for name, part in parts.items() if part is not None}
    return states | {"first_epoch": net.first_epoch_}


def load_training_state(net: Any, state: dict[str, Any]) -> None:
    """Return to a :func:`training_state`."""
    net.module_.load_state_dict(state["module"])
    net.criterion_.load_state_dict(state["criterion"])
    net.first_epoch_ = state["first_epoch"]
    if "optimizer" in state:
        net.optimizer_.load_state_dict(state["optimizer"])
    else:
        net.trim_for_prediction()


def continue_from(net: Any, other: Any, *, restart: bool) -> None:
    """Take over weights and history of another net, which is left as it is.

    Parameters
    ----------
    net, other : CompositionalAUCNet
        Both initialized.
    restart : bool
        Whether the schedule of stages starts anew, without the optimizer's state. It does as
        well where the strategy, the variant or what the loss learns is another one.

    Raises
    ------
    ValueError
        If the networks differ.
    SkorchTrainingImpossibleError
        If the other net is trimmed for prediction.
    """
    other.check_training_readiness()
    _check_same_module(net.module_, other.module_)
    net.history_ = History(map(without_batches, other.history))
    state = training_state(other)
    try:
        net.module_.load_state_dict(state["module"])
    except RuntimeError as error:
        # buffers may differ where parameters do not
        raise ValueError(
            f"training cannot go on, the network is another one than in the last fit: {error}"
        ) from None
    if restart or _schedule_of(net) != _schedule_of(other):
        if _keys_of_loss(net) == _keys_of_loss(other):
            net.criterion_.load_state_dict(state["criterion"])
        net.first_epoch_ = len(net.history)
        return
    own_rates = net.optimizer_.state_dict()["param_groups"]
    state["optimizer"] = state["optimizer"] | {"param_groups": own_rates}
    load_training_state(net, state)


def without_batches(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an epoch that has ended, without those of its batches.

    A training that goes on does not need them; a copy of all of them for each call of
    ``partial_fit`` would take longer and longer.
    """
    return {**row, "batches": []} if row["batches"] else row


def _schedule_of(net: Any) -> tuple[Any, ...]:
    optimizer = net.optimizer_
    return net.strategy, optimizer.variant, optimizer.inner_steps, _keys_of_loss(net)


def _keys_of_loss(net: Any) -> list[str]:
    return list(net.criterion_.state_dict())


def _check_same_module(module: nn.Module, other: nn.Module) -> None:
    # a lazy parameter takes the shape of what is loaded into it
    lazy = {name for name, tensor in module.named_parameters() if is_lazy(tensor)}
    shapes, others = (
        {
            name: tuple(tensor.shape)
            for name, tensor in network.named_parameters()
            if name not in lazy
        }
        for network in (module, other)
    )
    if shapes != others:
        raise ValueError(
            "training cannot go on, the network is another one than in the last fit: its "
            f"parameters were {others} and are {shapes}."
        )


def pack(net: Any) -> dict[str, Any]:
    """Reduce the history and the state of an initialized net to rows and one block of bytes."""
    rows = [{k: v for k, v in row.items() if k != "batches"} for row in net.history]
    block = io.BytesIO()
    torch.save(_to_builtin(training_state(net)), block)
    return {"history": rows, "training_state": block.getvalue()}


def unpack(net: Any, packed: dict[str, Any]) -> None:
    """Give an initialized net what :func:`pack` made, by torch's restricted unpickler."""
    for row in packed["history"]:
        net.history.append({**row, "batches": []})
    block = io.BytesIO(packed["training_state"])
    load_training_state(net, torch.load(block, map_location=net.device, weights_only=True))


def _to_builtin(state: Any) -> Any:
    """Turn NumPy's numbers, which callbacks may set, into Python's."""
    if isinstance(state, dict):
        return {key: _to_builtin(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_to_builtin(value) for value in state)
    return state.item() if isinstance(state, np.generic) else state
