r"""A hundred imbalanced KEEL sets, by cross-validated ROC AUC.

From the repository root::

    python -m benchmarks.keel run --models skdam,rivals --sets held-out --seeds 0 1 2 \
        --jobs 2 --out keel.csv
    python -m benchmarks.keel report keel.csv --out-dir keel

``run`` resumes a killed run of the same file.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import pandas as pd

from benchmarks.harness import report
from benchmarks.harness.commands import comma_list, command_line, report_command, run_command
from benchmarks.harness.runner import run_product
from benchmarks.harness.store import read_rows
from benchmarks.keel import data
from benchmarks.keel.evaluation import SCHEMA, evaluate
from benchmarks.models import catalogue

_SETS = "comma list of sets, and of tuning, held-out and all"


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    catalogue.add_models_option(parser)
    parser.add_argument("--sets", type=comma_list, required=True, help=_SETS)


def _run(arguments: argparse.Namespace) -> int:
    costs = {name: len(data.load(name)[1]) for name in data.select(arguments.sets)}
    return run_product(arguments, catalogue.available(arguments.models), costs, evaluate, SCHEMA)


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", type=comma_list, default=["held-out"], help=_SETS)
    parser.add_argument("--models", type=comma_list, help="models (default: all of the file)")
    parser.add_argument("--reference", default="skdam", help="model to compare with the others")


def _report(arguments: argparse.Namespace) -> int:
    results = pd.DataFrame(read_rows(arguments.results, SCHEMA), columns=list(SCHEMA.columns))
    results = results[results["dataset"].isin(data.select(arguments.sets))]
    names = None if arguments.models is None else catalogue.expand(arguments.models)
    report.write(results, names, arguments.reference, arguments.out_dir)
    return 0


COMMANDS = (run_command(_add_run_options, _run), report_command(_report, _add_report_options))
main = partial(command_line, "keel", __doc__, COMMANDS)

if __name__ == "__main__":
    sys.exit(main())
