r"""Real tables of numbers, categories, text and gaps.

From the repository root::

    python -m benchmarks.real tables --out tables.md
    python -m benchmarks.real run --models rivals --sets all --max-rows 20000 --out real.csv
    python -m benchmarks.real report real.csv --out real.md

``run`` resumes a killed run of the same file.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.harness.commands import (
    Command,
    comma_list,
    command_line,
    report_command,
    run_command,
)
from benchmarks.harness.packages import can_run
from benchmarks.harness.runner import run_product
from benchmarks.harness.store import read_rows
from benchmarks.models import catalogue, frames
from benchmarks.real import listing, report, tables
from benchmarks.real.evaluation import SCHEMA, evaluate


def _add_sets_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sets",
        type=comma_list,
        default=["all"],
        help="comma list of tables, and of tuning, judged and all (default: all)",
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    catalogue.add_models_option(parser, frames.GROUPS)
    _add_sets_option(parser)
    parser.add_argument("--max-rows", type=float, default=float("inf"), help="of a table")


def _run(arguments: argparse.Namespace) -> int:
    rows = {name: len(tables.load(name).y) for name in _installed(arguments.sets)}
    costs = {name: cost for name, cost in rows.items() if cost <= arguments.max_rows}
    names = catalogue.available(arguments.models, frames.GROUPS)
    return run_product(arguments, names, costs, evaluate, SCHEMA)


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", type=comma_list, help="models (default: all of the file)")


def _report(arguments: argparse.Namespace) -> int:
    results = pd.DataFrame(read_rows(arguments.results, SCHEMA), columns=list(SCHEMA.columns))
    if arguments.models is not None:
        names = catalogue.expand(arguments.models, frames.GROUPS)
        results = results[results["model"].isin(names)]
    arguments.out.write_text(report.summary(results))
    return 0


def _add_listing_options(parser: argparse.ArgumentParser) -> None:
    _add_sets_option(parser)
    parser.add_argument("--out", type=Path, required=True, help="Markdown file")


def _list(arguments: argparse.Namespace) -> int:
    arguments.out.write_text(listing.describe(_installed(arguments.sets)))
    return 0


def _installed(selection: list[str]) -> list[str]:
    return [name for name in tables.select(selection) if can_run(name, tables.source(name).package)]


COMMANDS = (
    run_command(_add_run_options, _run),
    report_command(_report, _add_report_options, to_directory=False),
    Command("tables", "list the tables", _add_listing_options, _list),
)
main = partial(command_line, "real", __doc__, COMMANDS)

if __name__ == "__main__":
    sys.exit(main())
