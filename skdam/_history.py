"""What a history of training shows to users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what users see of the row of an epoch: all but batches, and skorch's own marks."""
    return {
        name: value
        for name, value in row.items()
        if np.isscalar(value) and not name.endswith(("_best", "_batch_count"))
    }


def by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return for each name an array with a value for each epoch, NaN where an epoch has none."""
    epochs = [shown(row) for row in rows]
    names = dict.fromkeys(name for epoch in epochs for name in epoch)
    return {name: np.array([epoch.get(name, np.nan) for epoch in epochs]) for name in names}
