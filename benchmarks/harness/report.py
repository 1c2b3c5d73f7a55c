"""Compare models over many data sets: a report in Markdown, a CSV table, a diagram."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.harness import comparison
from benchmarks.harness.diagram import save_diagram
from benchmarks.harness.markdown import markdown_table

_EXPLANATION = f"""\
A pair of a set and a seed counts if every model has results of it. The AUC of a set is the mean
over its seeds and folds; ranks are of these means, with ties averaged. For each rival: the sets
that the reference won, tied (means less than {comparison.TIE:g} apart) and lost; the mean over
sets of the AUC of the reference less that of the rival, with a 95 % interval
({comparison.N_RESAMPLES} bootstrap samples of the sets); p of the two-sided Wilcoxon signed-rank
test over sets, with Holm's correction over the rows. Seconds are of one CPU thread; a fit is that
of one fold.
"""


def write(results: pd.DataFrame, names: list[str] | None, reference: str, directory: Path) -> None:
    """Write ``report.md``, ``per_set.csv`` and ``critical_difference.png``.

    Parameters
    ----------
    results : DataFrame
        A row for each set, seed, fold and model.
    names : list of str or None
        The models to compare. None takes all.
    reference : str
        The model with which the others are compared.
    directory : Path

    Raises
    ------
    ValueError
        If no data set has results of the reference and of all other models.
    """
    wanted = sorted(results["model"].unique()) if names is None else names
    absent = [name for name in wanted if name not in set(results["model"])]
    results = results[results["model"].isin(wanted)]
    rows = comparison.common_rows(results)
    if reference not in set(rows["model"]):
        raise ValueError(f"there is no set that {reference!r} and all other models have.")
    means = comparison.mean_auc(rows)
    ranks = comparison.mean_ranks(means)
    groups = comparison.similar_groups(means)

    directory.mkdir(parents=True, exist_ok=True)
    means[ranks.index].to_csv(directory / "per_set.csv", float_format="%.6f")
    save_diagram(ranks, groups, directory / "critical_difference.png")
    n_left_out = _n_pairs(results) - _n_pairs(rows)
    seeds = ", ".join(map(str, sorted(rows["seed"].unique())))
    text = f"# {reference} and its rivals\n\n{len(means)} sets, seeds {seeds}.\n\n"
    if n_left_out:
        text += (
            f"{n_left_out} pairs of a set and a seed are left out: not every model has them.\n\n"
        )
    if absent:
        text += f"There are no results of {', '.join(absent)}.\n\n"
    text += _summary(rows, means, ranks, reference)
    text += f"\n{_EXPLANATION}\n![Critical differences](critical_difference.png)\n\n"
    text += (
        "Bars join models that do not differ significantly: no two of them have p < 0.05 in the\n"
        "signed-rank test, with Holm's correction over all pairs. The AUC of each set is in\n"
        "`per_set.csv`.\n"
    )
    (directory / "report.md").write_text(text)


def _n_pairs(rows: pd.DataFrame) -> int:
    return len(rows[["dataset", "seed"]].drop_duplicates())


def _summary(rows: pd.DataFrame, means: pd.DataFrame, ranks: pd.Series, reference: str) -> str:
    differences = means.drop(columns=reference).rsub(means[reference], axis=0)
    corrected = dict(
        zip(
            differences,
            comparison.holm([comparison.wilcoxon_p(differences[name]) for name in differences]),
            strict=True,
        )
    )
    seconds = rows.groupby("model")["fit_seconds"]
    medians, totals = seconds.median(), seconds.sum()
    lines = []
    for name in ranks.index:
        against = ["", "", "", ""]
        if name != reference:
            low, high = comparison.bootstrap_interval(differences[name])
            against = [
                "/".join(map(str, comparison.score(differences[name]))),
                f"{differences[name].mean():+.4f}",
                f"{low:+.4f} to {high:+.4f}",
                f"{corrected[name]:.2g}",
            ]
        lines.append(
            [
                name,
                f"{means[name].mean():.4f}",
                f"{means[name].median():.4f}",
                f"{ranks[name]:.2f}",
                *against,
                f"{medians[name]:.3f}",
                f"{totals[name]:.0f}",
            ]
        )
    header = [
        "model",
        "mean AUC",
        "median AUC",
        "mean rank",
        f"{reference} won/tied/lost",
        "mean difference",
        "95 % interval",
        "p (Holm)",
        "median fit s",
        "total fit s",
    ]
    return markdown_table(header, lines)
