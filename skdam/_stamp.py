"""What a saved model says of its origin: versions, and checksums of what it holds."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import sklearn
import skorch
import torch
from sklearn.exceptions import InconsistentVersionWarning as SklearnWarning

from skdam._version import __version__

# raised when files of earlier versions can no longer be read
FORMAT = 2

_KEY = "_saved_by"


class InconsistentVersionWarning(SklearnWarning):
    """A model was saved by another version of skdam than the one that loads it.

    Its base is :class:`sklearn.exceptions.InconsistentVersionWarning`, so a filter for
    scikit-learn's warning is a filter for this one.

    Parameters
    ----------
    estimator_name : str
        Class of the object that is loaded.
    saved_by, loaded_by : dict of str
        Versions by package: "skdam", "numpy", "scikit-learn", "skorch" and "torch".
    """

    def __init__(
        self, *, estimator_name: str, saved_by: dict[str, str], loaded_by: dict[str, str]
    ) -> None:
        super().__init__(
            estimator_name=estimator_name,
            current_sklearn_version=loaded_by["scikit-learn"],
            original_sklearn_version=saved_by["scikit-learn"],
        )
        self.saved_by = saved_by
        self.loaded_by = loaded_by

    def __str__(self) -> str:
        # without the name of the class: Python then shows it once for a classifier and its net
        return (
            f"{_difference(self.saved_by, self.loaded_by)} Predictions may differ. Compare some "
            "with those of the version that saved the model, or fit it again."
        )


def stamped(getstate: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """Let a ``__getstate__`` add versions, and a checksum of each item of the state."""

    @wraps(getstate)
    def with_stamp(self: Any) -> dict[str, Any]:
        state = getstate(self)
        stamp = {
            "format": FORMAT,
            "versions": package_versions(),
            "checksums": {name: _checksum(name, value) for name, value in state.items()},
        }
        return state | {_KEY: stamp}

    return with_stamp


def checked(
    setstate: Callable[[Any, dict[str, Any]], None],
) -> Callable[[Any, dict[str, Any]], None]:
    """Let a ``__setstate__`` check what :func:`stamped` added.

    Items may be missing or added: a subclass may have a ``__getstate__`` that does so. If
    ``__setstate__`` fails, and versions differ, the error has a note that says which.

    Raises
    ------
    ValueError
        If the state is of a format that this version does not read, or if an item has changed.
    """

    @wraps(setstate)
    def with_check(self: Any, state: dict[str, Any]) -> None:
        state = dict(state)
        stamp = state.pop(_KEY, None)
        _check_format(stamp)
        saved_by, loaded_by = stamp["versions"], package_versions()
        checksums = stamp["checksums"]
        for name in state.keys() & checksums.keys():
            if _checksum(name, state[name]) != checksums[name]:
                raise ValueError(
                    f"the saved model is damaged: {name!r} of {type(self).__name__} is not what "
                    "was saved. Take another copy of the file, or fit the model again."
                )
        if saved_by["skdam"] != loaded_by["skdam"]:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__, saved_by=saved_by, loaded_by=loaded_by
                ),
                stacklevel=2,
            )
        try:
            setstate(self, state)
        except Exception as error:
            if saved_by != loaded_by:
                error.add_note(_difference(saved_by, loaded_by))
            raise

    return with_check


def _check_format(stamp: dict[str, Any] | None) -> None:
    if stamp is not None and stamp["format"] == FORMAT:
        return
    if stamp is None:
        origin, remedy = "a development version of skdam before 0.1.0", "fit it again"
    else:
        version = stamp["versions"]["skdam"]
        origin = f"skdam {version}, in format {stamp['format']}"
        remedy = f"load it with that version (pip install skdam=={version}), or fit it again"
    raise ValueError(
        f"this model was saved by {origin}. skdam {__version__} reads format {FORMAT} only: "
        f"{remedy}."
    )


def package_versions() -> dict[str, str]:
    """Return the versions of the package and of those that its models depend on, by name."""
    return {
        "skdam": __version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "skorch": skorch.__version__,
        # a plain str, and not torch's own type
        "torch": str(torch.__version__),
    }


def _difference(saved_by: dict[str, str], loaded_by: dict[str, str]) -> str:
    names = [name for name in loaded_by if saved_by.get(name) != loaded_by[name]]
    saved, loaded = (
        ", ".join(f"{name} {versions.get(name)}" for name in names)
        for versions in (saved_by, loaded_by)
    )
    return f"This model was saved with {saved} and is loaded with {loaded}."


def _checksum(name: str, value: Any) -> int:
    return _crc(value, zlib.crc32(name.encode()))


def _crc(value: Any, crc: int) -> int:
    """Update a checksum by a value, such that equal values have equal ones after any transport.

    Numbers, text, bytes, arrays and containers of these count. Other objects do not: nothing is
    known of how they are saved.
    """
    if isinstance(value, np.ndarray | np.generic):
        crc = zlib.crc32(f"{value.dtype.str}{value.shape}".encode(), crc)
        value = value.tolist() if value.dtype.hasobject else value.tobytes()
    if isinstance(value, bytes):
        return zlib.crc32(value, crc)
    if isinstance(value, dict):
        value = [item for pair in value.items() for item in pair]
    if isinstance(value, list | tuple):
        crc = zlib.crc32(f"[{len(value)}]".encode(), crc)
        for item in value:
            crc = _crc(item, crc)
        return crc
    # by repr, as not all formats keep the sign of NaN
    is_plain = type(value) in (type(None), bool, int, float, complex, str)
    return zlib.crc32(repr(value).encode(), crc) if is_plain else crc
