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
    """The number of sets on which a model is better, within ``TIE``, and worse."""

    wins: int
    ties: int
    losses: int


def common_rows(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the pairs of set and seed for which every model has results."""
    keys = ["dataset", "seed"]
    n_models = results.groupby(keys)["model"].transform("nunique")
    return results[n_models == results["model"].nunique()]


def mean_auc(results: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUC over seeds and folds for each set (row) and model (column)."""
    means = results.groupby(["dataset", "model"])["auc"].mean().unstack()
    # a tie must not depend on the order of summation
    return means.round(12)


def mean_ranks(means: pd.DataFrame) -> pd.Series:
    """Return the mean rank of each model, best first; rank 1 is the best, ties are averaged."""
    return means.rank(axis=1, ascending=False).mean().sort_values(kind="stable")


def score(differences: pd.Series) -> Score:
    """Count wins, ties and losses over the sets."""
    wins, losses = int((differences >= TIE).sum()), int((differences <= -TIE).sum())
    return Score(wins, len(differences) - wins - losses, losses)


def bootstrap_interval(differences: ArrayLike) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean over bootstrap samples of the sets."""
    values = np.asarray(differences)
    draws = np.random.default_rng(0).integers(len(values), size=(N_RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def wilcoxon_p(differences: ArrayLike) -> float:
    """Return the two-sided p-value of the signed-rank test; 1 if all differences are 0.

    Differences of 0 are left out.
    """
    values = np.asarray(differences)
    values = values[values != 0]
    return float(wilcoxon(values).pvalue) if len(values) else 1.0


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return p-values corrected for multiple tests by Holm's step-down method."""
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    corrected = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    result = np.empty_like(values)
    result[order] = np.minimum(corrected, 1)
    return result


def similar_groups(means: pd.DataFrame, level: float = 0.05) -> list[list[str]]:
    """Return the largest groups of models, adjacent in rank, without a significant difference.

    Pairs are compared by the signed-rank test with Holm's correction over all pairs.
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
