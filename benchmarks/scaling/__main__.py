r"""How time and memory of a fit grow with rows, features, members and batches.

From the repository root, on an otherwise idle machine::

    python -m benchmarks.scaling run --out scaling.csv
    python -m benchmarks.scaling report scaling.csv --out-dir scaling

Each point is one epoch in a process of its own with one thread, after a small untimed fit.
``run`` resumes a killed run of the same file.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import numpy as np

from benchmarks.harness.commands import comma_list, command_line, report_command, run_command
from benchmarks.harness.runner import run_product
from benchmarks.scaling.evaluation import AXES, SCHEMA, evaluate
from benchmarks.scaling.report import plot, read_results, summary


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--axes", type=comma_list, default=list(AXES), help=f"comma list of {', '.join(AXES)}"
    )
    parser.add_argument("--most", type=float, default=np.inf, help="largest value on any axis")


def _run(arguments: argparse.Namespace) -> int:
    status = 0
    for axis in arguments.axes:
        if axis not in AXES:
            raise ValueError(f"{axis!r} is no axis; there are {', '.join(AXES)}.")
        _, values, names = AXES[axis]
        costs = {f"{axis}={value}": float(value) for value in values if value <= arguments.most}
        status |= run_product(arguments, names, costs, evaluate, SCHEMA, fresh=True)
    return status


def _report(arguments: argparse.Namespace) -> int:
    results = read_results(arguments.results)
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    (arguments.out_dir / "scaling.md").write_text(summary(results))
    plot(results).savefig(arguments.out_dir / "scaling.png", dpi=120)
    return 0


COMMANDS = (run_command(_add_run_options, _run), report_command(_report))
main = partial(command_line, "scaling", __doc__, COMMANDS)

if __name__ == "__main__":
    sys.exit(main())
