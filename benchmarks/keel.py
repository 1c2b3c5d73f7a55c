r"""A hundred imbalanced KEEL sets, by cross-validated ROC AUC.

From the repository root::

    python -m benchmarks.keel run --models skdam,rivals --sets held-out --seeds 0 1 2 \
        --jobs 2 --out keel.csv
    python -m benchmarks.keel report keel.csv --out-dir keel

``run`` goes on where a killed run of the same file stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import pandas as pd
from sklearn.model_selection import StratifiedKFold

from benchmarks import keel_data, models, report
from benchmarks.measure import fit_and_score
from benchmarks.runner import comma_list, command_line, report_to_directory, run_command
from benchmarks.store import Job, Row, Schema, read_rows

N_FOLDS = 5
SCHEMA = Schema(
    {
        "dataset": str,
        "seed": int,
        "fold": int,
        "model": str,
        "auc": float,
        "fit_seconds": float,
        "score_seconds": float,
    },
    rows_per_job=N_FOLDS,
)


def evaluate(job: Job) -> list[Row]:
    """Cross-validate a model; the folds depend on the set and the seed alone."""
    X, y = keel_data.load(job.dataset)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=job.seed).split(X, y)
    return [
        job._asdict() | {"fold": fold} | fit_and_score(job, X[train], y[train], X[test], y[test])
        for fold, (train, test) in enumerate(folds)
    ]


def _run(arguments: argparse.Namespace) -> int:
    costs = {name: len(keel_data.load(name)[1]) for name in keel_data.select(arguments.sets)}
    return run_command(arguments, models.available(arguments.models), costs, evaluate, SCHEMA)


def _report(arguments: argparse.Namespace) -> int:
    rows = read_rows(arguments.results, SCHEMA)
    results = pd.DataFrame(rows, columns=list(SCHEMA.columns))
    results = results[results["dataset"].isin(keel_data.select(arguments.sets))]
    report.write(results, arguments.models, arguments.reference, arguments.out_dir)
    return 0


_SETS = "comma list of sets, and of tuning, held-out and all"


def _add_run(parser: argparse.ArgumentParser) -> None:
    models.add_argument(parser)
    parser.add_argument("--sets", type=comma_list, required=True, help=_SETS)
    parser.set_defaults(command=_run)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", type=comma_list, default=["held-out"], help=_SETS)
    parser.add_argument("--models", type=comma_list, help="models (default: all of the file)")
    parser.add_argument("--reference", default="skdam", help="model to compare with the others")
    report_to_directory(_report)(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    return command_line(__doc__, argv, run=_add_run, report=_add_report)


if __name__ == "__main__":
    sys.exit(main())
