r"""Larger tables: ROC AUC, seconds and memory.

From the repository root::

    python -m benchmarks.large run --models skdam,lightgbm,extra-trees \
        --sets synthetic-1e4,synthetic-1e5 --seeds 0 1 --out large.csv
    python -m benchmarks.large report large.csv --out large.md

``run`` resumes a killed run of the same file.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import pandas as pd

from benchmarks.harness.commands import comma_list, command_line, report_command, run_command
from benchmarks.harness.runner import run_product
from benchmarks.harness.store import read_rows
from benchmarks.large import data
from benchmarks.large.evaluation import SCHEMA, evaluate
from benchmarks.large.report import summary
from benchmarks.models import catalogue


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    catalogue.add_models_option(parser)
    parser.add_argument(
        "--sets",
        type=comma_list,
        default=list(data.NAMES),
        help=f"comma list of {', '.join(data.NAMES)}, or synthetic-<rows>",
    )


def _run(arguments: argparse.Namespace) -> int:
    # the workers make the tables: a process starts with the peak memory of its parent
    costs = {name: data.n_rows(name) for name in arguments.sets}
    names = catalogue.available(arguments.models)
    return run_product(arguments, names, costs, evaluate, SCHEMA, fresh=True)


def _report(arguments: argparse.Namespace) -> int:
    results = pd.DataFrame(read_rows(arguments.results, SCHEMA), columns=list(SCHEMA.columns))
    arguments.out.write_text(summary(results))
    return 0


COMMANDS = (run_command(_add_run_options, _run), report_command(_report, to_directory=False))
main = partial(command_line, "large", __doc__, COMMANDS)

if __name__ == "__main__":
    sys.exit(main())
