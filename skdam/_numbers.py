"""Checks of parameters that are numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from numbers import Integral
from typing import Any

import numpy as np

_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def as_number(name: str, value: Any) -> float:
    """Return a number of any type as Python's own, which every file format takes.

    Parameters
    ----------
    name : str
        Of the parameter, for the message.
    value : object

    Returns
    -------
    float
        0, NaN, infinite, or of a size that single precision holds: what trains is float32, which
        would turn a smaller number into 0, and a larger one into infinity.

    Raises
    ------
    ValueError
        If the value is a boolean, a string or another object that is no real number, or if it is
        too small or too large.
    """
    try:
        if isinstance(value, bool | np.bool_ | str | bytes | complex | np.complexfloating):
            raise TypeError
        number = float(value)
    except OverflowError:
        number = None
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be a number, got {value!r}.") from None
    if number is None or (
        number and math.isfinite(number) and not _SMALLEST <= abs(number) <= _LARGEST
    ):
        raise ValueError(
            f"{name} must be a number that single precision holds, 0 or from "
            f"{_SMALLEST:.0e} to {_LARGEST:.0e} in size, got {value!r}."
        )
    return number


def check_ints(least: int, **values: object) -> None:
    """Raise a ValueError that names the first value that is not an int >= ``least``."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be an int >= {least}, got {value!r}.")


def in_order(name: str, values: Any) -> tuple[Any, ...]:
    """Return the items of a sequence; raise a ValueError if it is none, as a string or a set."""
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a sequence of numbers, got {values!r}.")
    return tuple(values)
