r"""The time of training steps and scores, compared with bare PyTorch, skorch and LibAUC.

From the repository root, on an otherwise idle machine::

    OMP_NUM_THREADS=1 python -m benchmarks.speed run --rows 20000 --repeats 40
    python -m benchmarks.speed run --network resnet20 --device cuda --rows 50000
    python -m benchmarks.speed fits --against CHECKOUT --repeats 20
    python -m benchmarks.speed imports --repeats 20
    python -m benchmarks.speed report benchmarks/results/speed.csv --out speed.md

All train the same network on batches of 128: a perceptron, 64-64 on 30 features, or a ResNet20 on
32 x 32 pixels of noise in bytes. Each repeat times an epoch of each, in random order. The first
epoch, in which what is compiled is compiled, is not one of the repeats. ``fits`` times default
fits of this checkout and of another one; ``imports`` times ``import skdam``. Each run appends its
seconds and ratios to the CSV file, and prints them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch

from benchmarks.harness.commands import Command, command_line, report_command
from benchmarks.speed.epochs import measure_epochs
from benchmarks.speed.fits import measure_fits
from benchmarks.speed.imports import measure_imports
from benchmarks.speed.problem import NETWORKS, Problem
from benchmarks.speed.report import section, summary
from benchmarks.speed.results import Measurement, append, last_runs, n_threads, read
from benchmarks.speed.scores import measure_scores

_OUT = Path(__file__).parents[1] / "results" / "speed.csv"


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--out", type=Path, default=_OUT, help="CSV file, new or to extend (default: %(default)s)"
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", choices=NETWORKS, default="perceptron")
    parser.add_argument("--device", default="cpu", help="where to train, as in torch")
    parser.add_argument("--without", help="part of the names of epochs to leave out: 'compiled'")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--scored-rows", type=int, default=1_000_000)
    _add_common_options(parser)


def _add_fits_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--against", type=Path, required=True, help="the other checkout")
    _add_common_options(parser)


def _run(arguments: argparse.Namespace) -> int:
    torch.set_num_threads(n_threads())
    problem = Problem.make(arguments.rows, arguments.network, arguments.device)
    epochs = measure_epochs(problem, arguments.repeats, arguments.without)
    scores = measure_scores(problem, arguments.scored_rows, arguments.repeats)
    return _save(arguments.out, [epochs, scores])


def _fits(arguments: argparse.Namespace) -> int:
    return _save(arguments.out, measure_fits(arguments.against, arguments.repeats))


def _imports(arguments: argparse.Namespace) -> int:
    return _save(arguments.out, [measure_imports(arguments.repeats)])


def _save(path: Path, measurements: Iterable[Measurement]) -> int:
    for run in last_runs(append(path, measurements)):
        print(section(run))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    arguments.out.write_text(summary(read(arguments.results)))
    return 0


COMMANDS = (
    Command("run", "time epochs and scores", _add_run_options, _run),
    Command("fits", "time default fits against another checkout", _add_fits_options, _fits),
    Command("imports", "time the import of skdam", _add_common_options, _imports),
    report_command(_report, to_directory=False),
)
main = partial(command_line, "speed", __doc__, COMMANDS)

if __name__ == "__main__":
    sys.exit(main())
