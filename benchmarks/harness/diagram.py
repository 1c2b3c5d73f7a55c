"""The critical-difference diagram."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

_STEP = 0.28  # inches from one name to the next


def save_diagram(ranks: pd.Series, groups: list[list[str]], path: Path) -> None:
    """Draw mean ranks on an axis, and a bar for each group of models that do not differ.

    Parameters
    ----------
    ranks : Series
        Mean rank of each model, best first.
    groups : list of list of str
    path : Path
        The PNG file.
    """
    n_left = (len(ranks) + 1) // 2
    first_name = len(groups) * 0.5 + 1
    height = first_name + n_left + 0.5
    figure = Figure(figsize=(9, _STEP * height + 0.6), layout="constrained")
    axes = figure.subplots()
    low, high = 1.0, max(float(len(ranks)), 2.0)
    margin = 0.35 * (high - low)
    axes.set(xlim=(low - margin, high + margin), ylim=(height, 0))
    axes.xaxis.tick_top()
    axes.set_xticks(range(1, len(ranks) + 1))
    axes.set_xlabel("mean rank of the ROC AUC (1 is best)")
    axes.xaxis.set_label_position("top")
    axes.yaxis.set_visible(False)
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    axes.spines["top"].set_bounds(low, high)

    for index, (model, rank) in enumerate(ranks.items()):
        on_left = index < n_left
        row = first_name + (index if on_left else len(ranks) - 1 - index)
        edge = low if on_left else high
        axes.plot([rank, rank, edge], [0, row, row], color="0.4", linewidth=0.8)
        axes.annotate(
            f"{model} ({rank:.2f})",
            (edge, row),
            xytext=(-4 if on_left else 4, 0),
            textcoords="offset points",
            ha="right" if on_left else "left",
            va="center",
            fontsize=9,
        )
    for index, group in enumerate(groups):
        row = 0.5 + 0.5 * index
        ends = [ranks[group[0]], ranks[group[-1]]]
        axes.plot(ends, [row, row], color="black", linewidth=3.5, solid_capstyle="butt")
    figure.savefig(path, dpi=150)
