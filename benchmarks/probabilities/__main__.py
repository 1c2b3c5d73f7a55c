r"""Probabilities, and out-of-bag scores against those on new data.

From the repository root::

    python -m benchmarks.probabilities run --models skdam,skdam-calibrated-cv,catboost \
        --out probabilities.csv
    python -m benchmarks.probabilities report probabilities.csv --out probabilities.md

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
from benchmarks.models import catalogue, frames
from benchmarks.probabilities.evaluation import SCHEMA, costs_of, evaluate
from benchmarks.probabilities.report import summary


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    catalogue.add_models_option(parser, frames.GROUPS)
    parser.add_argument(
        "--sets",
        type=comma_list,
        default=["real", "keel"],
        help="comma list of tables, and of real and keel (default: both)",
    )


def _run(arguments: argparse.Namespace) -> int:
    names = catalogue.available(arguments.models, frames.GROUPS)
    return run_product(arguments, names, costs_of(arguments.sets), evaluate, SCHEMA)


def _report(arguments: argparse.Namespace) -> int:
    results = pd.DataFrame(read_rows(arguments.results, SCHEMA), columns=list(SCHEMA.columns))
    arguments.out.write_text(summary(results))
    return 0


COMMANDS = (run_command(_add_run_options, _run), report_command(_report, to_directory=False))
main = partial(command_line, "probabilities", __doc__, COMMANDS)

if __name__ == "__main__":
    sys.exit(main())
