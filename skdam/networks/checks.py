"""Checks of the parameters of networks."""

from __future__ import annotations

from numbers import Integral


def check_ints(least: int, **values: object) -> None:
    """Raise a ValueError that names the first value that is not an int >= ``least``."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be an int >= {least}, got {value!r}.")
