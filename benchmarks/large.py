r"""Larger tables: ROC AUC, seconds and memory.

From the repository root::

    python -m benchmarks.large run --models skdam,lightgbm,extra-trees \
        --sets synthetic-1e4,synthetic-1e5 --seeds 0 1 --out large.csv
    python -m benchmarks.large report large.csv --out large.md

``run`` goes on where a killed run of the same file stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks import large_data, models
from benchmarks.measure import fit_and_score, peak_rss_mib
from benchmarks.report import markdown_table
from benchmarks.runner import comma_list, command_line, run_command
from benchmarks.store import Job, Row, Schema, read_rows

MAX_TEST_ROWS = 100_000
SCHEMA = Schema(
    {
        "dataset": str,
        "seed": int,
        "model": str,
        "auc": float,
        "fit_seconds": float,
        "score_seconds": float,
        "peak_rss_mib": int,
    },
    rows_per_job=1,
)


def evaluate(job: Job) -> list[Row]:
    """Train on a half, score on the other or part of it; the worker is the job's own."""
    X, y = large_data.load(job.dataset)
    X_train, X_test, y_train, y_test = train_test_split(
        X,
        y,
        train_size=len(y) - len(y) // 2,
        test_size=min(len(y) // 2, MAX_TEST_ROWS),
        stratify=y,
        random_state=job.seed,
    )
    scores = fit_and_score(job, X_train, y_train, X_test, y_test)
    return [job._asdict() | scores | {"peak_rss_mib": int(peak_rss_mib())}]


def _run(arguments: argparse.Namespace) -> int:
    # the tables are made in the workers: a process counts the memory of the one that began it
    costs = {name: large_data.n_rows(name) for name in arguments.sets}
    return run_command(
        arguments, models.available(arguments.models), costs, evaluate, SCHEMA, fresh=True
    )


def _report(arguments: argparse.Namespace) -> int:
    rows = read_rows(arguments.results, SCHEMA)
    arguments.out.write_text(summary(pd.DataFrame(rows, columns=list(SCHEMA.columns))))
    return 0


def summary(results: pd.DataFrame) -> str:
    """Return Markdown: a table for each data set, the models by mean AUC over seeds."""
    text = "# Larger tables\n\nMeans over seeds, of one CPU thread; memory is the largest peak of\n"
    text += "a process, Python, its libraries and the data included.\n"
    for dataset in sorted(results["dataset"].unique(), key=large_data.n_rows):
        groups = results[results["dataset"] == dataset].groupby("model")
        table = groups[["auc", "fit_seconds", "score_seconds"]].mean()
        table["peak"] = groups["peak_rss_mib"].max()
        table["seeds"] = groups["seed"].nunique()
        lines = [
            [
                str(name),
                f"{row['auc']:.4f}",
                f"{row['fit_seconds']:.2f}",
                f"{row['score_seconds']:.2f}",
                f"{row['peak']:.0f}",
                f"{row['seeds']:.0f}",
            ]
            for name, row in table.sort_values("auc", ascending=False, kind="stable").iterrows()
        ]
        header = ["model", "AUC", "fit s", "score s", "peak MiB", "seeds"]
        text += f"\n## {dataset}, {large_data.n_rows(dataset)} rows\n\n"
        text += markdown_table(header, lines)
    return text


def _add_run(parser: argparse.ArgumentParser) -> None:
    models.add_argument(parser)
    parser.add_argument(
        "--sets",
        type=comma_list,
        default=list(large_data.NAMES),
        help=f"comma list of {', '.join(large_data.NAMES)}, or synthetic-<rows>",
    )
    parser.set_defaults(command=_run)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="Markdown file")
    parser.set_defaults(command=_report)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    return command_line(__doc__, argv, run=_add_run, report=_add_report)


if __name__ == "__main__":
    sys.exit(main())
