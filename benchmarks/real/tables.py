"""Tables as frames and labels; which of them are for tuning and which for judging."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.real.frames import with_dtypes
from benchmarks.real.sources import SOURCES, Source

# of the flights, samples of at most so many rows are for tuning, larger ones for judging
MAX_TUNING_FLIGHTS = 50_000
_SAMPLE = re.compile(r"flights-(\d+)")
NAMES = (*SOURCES, f"flights-{MAX_TUNING_FLIGHTS}")


class Table(NamedTuple):
    """A table.

    Parameters
    ----------
    name : str
    X : DataFrame
    y : Series
        Labels of two values.
    positive : object
        The label of the rarer class.
    note : str
        What to know when the results are read.
    """

    name: str
    X: pd.DataFrame
    y: pd.Series
    positive: Any
    note: str

    @property
    def target(self) -> np.ndarray:
        """The labels as 1, positive, and 0."""
        return (self.y == self.positive).to_numpy(int)


def select(selection: Iterable[str]) -> list[str]:
    """Return the tables of these names and of the groups "tuning", "judged" and "all".

    Besides ``NAMES``, there is ``flights-<rows>`` for every number of rows.

    Raises
    ------
    ValueError
        If a name is neither a table nor a group.
    """
    groups = {
        "tuning": [name for name in NAMES if is_for_tuning(name)],
        "judged": [name for name in NAMES if not is_for_tuning(name)],
        "all": NAMES,
    }
    wanted: dict[str, None] = {}
    for name in selection:
        if name not in groups:
            source(name)
        wanted |= dict.fromkeys(groups.get(name, [name]))
    return list(wanted)


def is_for_tuning(name: str) -> bool:
    """Whether defaults may be chosen by the results on a table."""
    n_rows = _sample_rows(name)
    return source(name).tuning if n_rows is None else n_rows <= MAX_TUNING_FLIGHTS


def source(name: str) -> Source:
    """Return where a table comes from.

    Raises
    ------
    ValueError
        If there is no such table.
    """
    if _sample_rows(name) is not None:
        return SOURCES["flights"]
    if name not in SOURCES:
        raise ValueError(
            f"{name!r} is none of {', '.join(NAMES)}, flights-<rows>, tuning, judged and all."
        )
    return SOURCES[name]


def load(name: str) -> Table:
    """Return a table, always the same for a name."""
    origin = source(name)
    raw = origin.read()
    y = origin.labels(raw[origin.column]).rename(origin.column).dropna()
    X = raw.loc[y.index].drop(columns=[origin.column, *origin.dropped])
    n_rows = _sample_rows(name)
    if n_rows is not None:
        X, _, y, _ = train_test_split(X, y, train_size=n_rows, stratify=y, random_state=0)
    X = X.assign(**{column: function(X[column]) for column, function in origin.replaced.items()})
    return Table(name, with_dtypes(X), y, origin.positive, origin.note)


def _sample_rows(name: str) -> int | None:
    match = _SAMPLE.fullmatch(name)
    return int(match[1]) if match else None
