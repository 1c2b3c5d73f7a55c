"""Comparing models over many data sets, after Demsar (JMLR 7, 2006)."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import wilcoxon

TIE = 1e-4
N_RESAMPLES = 10_000


class Score(NamedTuple):
    """On how many sets a model is better, the same within ``TIE``, and worse."""

    wins: int
    ties: int
    losses: int


def common_rows(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the sets and seeds that every model has."""
    keys = ["dataset", "seed"]
    n_models = results.groupby(keys)["model"].transform("nunique")
    return results[n_models == results["model"].nunique()]


def mean_auc(results: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUC over seeds and folds, of each set (row) and model (column)."""
    means = results.groupby(["dataset", "model"])["auc"].mean().unstack()
    # the order of a sum must not break a tie
    return means.round(12)


def mean_ranks(means: pd.DataFrame) -> pd.Series:
    """Return the mean rank of each model, best first: 1 for the best on a set, ties averaged."""
    return means.rank(axis=1, ascending=False).mean().sort_values(kind="stable")


def score(differences: pd.Series) -> Score:
    """Count the sets by the sign of a difference."""
    wins, losses = int((differences >= TIE).sum()), int((differences <= -TIE).sum())
    return Score(wins, len(differences) - wins - losses, losses)


def bootstrap_interval(differences: ArrayLike) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean, the sets drawn anew."""
    values = np.asarray(differences)
    draws = np.random.default_rng(0).integers(len(values), size=(N_RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def wilcoxon_p(differences: ArrayLike) -> float:
    """Return the two-sided p of the signed-rank test; 1 if there is no difference at all.

    Differences of 0 are left out.
    """
    values = np.asarray(differences)
    values = values[values != 0]
    return float(wilcoxon(values).pvalue) if len(values) else 1.0


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return p-values corrected for their number by Holm's step-down method."""
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    corrected = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    result = np.empty_like(values)
    result[order] = np.minimum(corrected, 1)
    return result


def similar_groups(means: pd.DataFrame, level: float = 0.05) -> list[list[str]]:
    """Return the largest runs of models, by rank, without a significant difference in them.

    Pairs are compared by the signed-rank test, Holm's correction over all pairs.
    """
    ranked = list(mean_ranks(means).index)
    pairs = list(combinations(ranked, 2))
    corrected = holm([wilcoxon_p(means[a] - means[b]) for a, b in pairs])
    differ = {pair for pair, p in zip(pairs, corrected, strict=True) if p < level}
    groups: list[list[str]] = []
    end = 0
    for start in range(len(ranked)):
        stop = start + 1
        while stop < len(ranked) and differ.isdisjoint(
            (model, ranked[stop]) for model in ranked[start:stop]
        ):
            stop += 1
        if stop > max(end, start + 1):
            groups.append(ranked[start:stop])
        end = max(end, stop)
    return groups
