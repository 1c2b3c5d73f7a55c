"""The state of a training: taking it over, saving it, and going on."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from skorch.history import History
from torch import Tensor

_ARRAY = "an array of NumPy"
_PLAIN = (Tensor, str, bytes, bool, int, float, complex, type(None), torch.dtype, torch.device)


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
        Whether the schedule of stages starts anew and the optimizer's state is dropped. This also
        happens if the strategy, the variant, ``inner_steps`` or the state of the loss differs
        between the nets.

    Raises
    ------
    ValueError
        If the networks differ.
    SkorchTrainingImpossibleError
        If the other net is trimmed for prediction.
    """
    other.check_training_readiness()
    net.history_ = history_of(other.history)
    state = training_state(other)
    try:
        net.module_.load_state_dict(state["module"])
    except RuntimeError as error:
        # other names or shapes of parameters or buffers
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


def rows_of(history: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of epochs without those of their batches, which are not saved."""
    return [{k: v for k, v in row.items() if k != "batches"} for row in history]


def history_of(rows: Iterable[dict[str, Any]]) -> History:
    """Return a history of epochs that have ended, without their batches.

    A training that goes on does not need them; a copy of all of them for each call of
    ``partial_fit`` would take longer and longer.
    """
    return History([{**row, "batches": []} for row in rows])


def _schedule_of(net: Any) -> tuple[Any, ...]:
    optimizer = net.optimizer_
    return net.strategy, optimizer.variant, optimizer.inner_steps, _keys_of_loss(net)


def _keys_of_loss(net: Any) -> list[str]:
    return list(net.criterion_.state_dict())


def pack(net: Any) -> dict[str, Any]:
    """Reduce the history and the state of an initialized net to rows and one block of bytes."""
    block = io.BytesIO()
    torch.save(as_plain(training_state(net)), block)
    return {"history": rows_of(net.history), "training_state": block.getvalue()}


def unpack(net: Any, packed: dict[str, Any]) -> None:
    """Give an initialized net what :func:`pack` made, by torch's restricted unpickler."""
    net.history_ = history_of(packed["history"])
    block = io.BytesIO(packed["training_state"])
    state = torch.load(block, map_location=net.device, weights_only=True)
    load_training_state(net, as_it_was(state))


def as_plain(value: Any, name: str = "state") -> Any:
    """Return a state as types that torch's restricted unpickler reads."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {_ARRAY: torch.from_numpy(value)}
    if isinstance(value, dict):
        return {key: as_plain(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple | set) and not hasattr(value, "_fields"):
        return type(value)(as_plain(item, f"{name}[...]") for item in value)
    if not isinstance(value, _PLAIN):
        raise TypeError(
            f"a saved training cannot hold {name}, which is a {type(value).__name__}. It holds "
            "numbers, strings, tensors, arrays of numbers, and dicts and lists of them."
        )
    return value


def as_it_was(value: Any) -> Any:
    """Return a state with its arrays, which are tensors in the file."""
    if isinstance(value, dict):
        if _ARRAY in value:
            return value[_ARRAY].numpy()
        return {key: as_it_was(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(as_it_was(item) for item in value)
    return value
