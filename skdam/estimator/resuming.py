"""Which fit a checkpoint belongs to, by its parameters and data, and its file."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import textwrap
import warnings
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from skdam._device import resolve_device
from skdam._stamp import package_versions
from skdam._targets import folds_of
from skdam.data.examples import labels_of, sample_weights_of
from skdam.data.memory import InMemoryDataset, unwrapped
from skdam.estimator.inputs import InputSpec
from skdam.training.checkpoint import Checkpoint, read
from skdam.training.net import CompositionalAUCNet

# not compared: the model does not depend on them, and Checkpoint checks max_epochs
_FREE = ("checkpoint", "max_epochs", "n_jobs", "verbose")
_DIGITS = 16
_WIDTH = 80


def checkpoint_of(
    parameters: dict[str, Any], data: dict[str, str], previous: CompositionalAUCNet | None
) -> Checkpoint:
    """Return the checkpoint of a fit, with what its file holds if there is one.

    Parameters
    ----------
    parameters : dict
        All parameters of the estimator by name. ``checkpoint`` is the path of a file or of a
        folder.
    data : dict
        From :func:`facts_of_data`.
    previous : CompositionalAUCNet or None
        From which the fit continues.

    Returns
    -------
    Checkpoint
        In its ``identity``, "seed" is that of the fit if ``random_state`` is None.

    Raises
    ------
    ValueError
        If the folder of the file does not exist, or if the file is damaged or of other
        parameters or data.
    """
    compared = {k: described(v) for k, v in parameters.items() if k not in _FREE}
    compared["device"] = resolve_device(parameters["device"])
    if previous is not None:
        compared["the model that warm_start continues"] = described(
            [len(previous.history), previous.module_]
        )
    identity = {
        "parameters": compared,
        "data": data,
        "versions": package_versions(),
        "seed": int(np.random.RandomState().randint(np.iinfo(np.int32).max)),
    }
    n_epochs = parameters["max_epochs"]
    path = _file(parameters["checkpoint"], _digest(repr((compared, data, n_epochs)).encode()))
    saved = read(path)
    if saved is not None:
        _check(saved["identity"], identity, path)
        identity = saved["identity"]
    return Checkpoint(path, identity, saved)


def facts_of_data(
    spec: InputSpec, classes: np.ndarray, train: Any, valid: Any = None
) -> dict[str, str]:
    """Return by name what the data of a fit is: its size, and a checksum of what is in memory.

    Of a Dataset the examples are not read, so only their number and their shape are known.

    Parameters
    ----------
    spec : InputSpec
    classes : ndarray of shape (2,)
    train, valid : dataset
        As they are trained on and scored; ``valid`` may be None.
    """
    facts = _facts(spec, classes, train)
    if valid is not None:
        facts |= {f"{name}_val": fact for name, fact in _facts(spec, classes, valid).items()}
    return facts


def described(value: Any) -> str:
    """Return a text that is the same for values that mean the same, in any process.

    Functions and classes are known by their names, arrays by their shape, dtype and checksum,
    modules by their class, layers and weights, callbacks by their class and parameters, other
    objects by their class and attributes. Of objects in these, only the class is known.
    """
    return _described(value, opens=True)


def _described(value: Any, *, opens: bool) -> str:
    def inner(item: Any) -> str:
        return _described(item, opens=opens)

    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return _described_array(value.shape, str(value.dtype), np.ascontiguousarray(value))
    if isinstance(value, np.ndarray):
        return inner(value.tolist())
    if isinstance(value, Tensor):
        return _described_tensor(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{inner(k)}: {inner(v)}' for k, v in value.items()))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inner, value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(inner, value)))}}}"
    if isinstance(value, np.random.RandomState):
        return f"RandomState {_digest(inner(value.get_state(legacy=False)).encode())}"
    if isinstance(value, functools.partial):
        return f"partial{inner([value.func, value.args, value.keywords])}"
    if isinstance(value, nn.Module):
        weights = _digest(inner(value.state_dict()).encode())
        return f"{_name(type(value))} with weights {weights}: {value!r}"
    if isinstance(value, type) or inspect.isroutine(value):
        return _name(value)
    if not opens:
        return _name(type(value))
    parts = _parameters_of(value) if isinstance(value, Callback) else getattr(value, "__dict__", {})
    return f"{_name(type(value))}{_described(parts, opens=False)}"


def _described_tensor(tensor: Tensor) -> str:
    if is_lazy(tensor):
        return "lazy tensor"
    block = tensor.detach().as_subclass(Tensor).cpu().contiguous().flatten().view(torch.uint8)
    return _described_array(tuple(tensor.shape), str(tensor.dtype), block.numpy())


def _described_array(shape: tuple[int, ...], dtype: str, block: np.ndarray) -> str:
    return f"{dtype} of shape {shape} with checksum {_digest(block)}"


def _parameters_of(callback: Callback) -> dict[str, Any]:
    """Return what a callback was made with, without what it has learnt in an earlier fit."""
    names = inspect.signature(type(callback)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in names.values()):
        return callback.get_params(deep=False)
    return {name: getattr(callback, name, None) for name in names}


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _digest(block: Any) -> str:
    return hashlib.sha256(block).hexdigest()[:_DIGITS]


def _facts(spec: InputSpec, classes: np.ndarray, dataset: Any) -> dict[str, str]:
    whole, rows = unwrapped(dataset)
    if isinstance(whole, InMemoryDataset):
        X = described(whole.X if rows is None else [whole.X, rows])
    else:
        X = f"Dataset of {len(whole)} examples, rows {described(rows)}"
    folds = folds_of(getattr(whole, "y", None))
    return {
        "X": f"{X}, columns {_digest(described(astuple(spec)).encode())}",
        "y": described([labels_of(dataset), classes]),
        "sample_weight": described(sample_weights_of(dataset)),
        "groups": described(folds),
    }


def _file(checkpoint: str | os.PathLike[str], fingerprint: str) -> Path:
    text = os.fspath(checkpoint)
    path = Path(text)
    if path.is_dir() or text.endswith(("/", os.sep)):
        path.mkdir(parents=True, exist_ok=True)
        return path / f"{fingerprint}.ckpt"
    if not path.parent.is_dir():
        raise ValueError(f"checkpoint={text!r} is in a folder that does not exist; make it first.")
    return path


def _check(found: dict[str, Any], identity: dict[str, Any], path: Path) -> None:
    """Raise ValueError if a file is of another fit, and warn if it is of other versions."""
    differences = []
    for kind in ("parameters", "data"):
        before, now = found[kind], identity[kind]
        differences += [
            f"{name}: {_short(before.get(name))} in the file, {_short(now.get(name))} now"
            for name in {**before, **now}
            if before.get(name) != now.get(name)
        ]
    if differences:
        lines = "\n  ".join(differences)
        raise ValueError(
            f"the checkpoint {path} is of a fit with other parameters or data:\n  {lines}\n"
            "Call fit as before to go on, or delete the file, or name another one. Of a folder, "
            "each fit takes a file of its own."
        )
    versions = [
        f"{name} {before} (now {identity['versions'].get(name)})"
        for name, before in found["versions"].items()
        if before != identity["versions"].get(name)
    ]
    if versions:
        warnings.warn(
            f"the checkpoint {path} was written with {', '.join(versions)}. The model may differ "
            "from that of a fit that was never stopped.",
            UserWarning,
            stacklevel=2,
        )


def _short(text: str | None) -> str:
    return "nothing" if text is None else textwrap.shorten(text, _WIDTH, placeholder="...")
