"""Command lines of benchmarks."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

AddOptions = Callable[[argparse.ArgumentParser], None]
Action = Callable[[argparse.Namespace], int]


class Command(NamedTuple):
    """A command of a benchmark.

    Parameters
    ----------
    name, help : str
    add_options : callable
        Adds the options to a parser.
    action : callable
        Is called with the parsed arguments; returns the exit status.
    """

    name: str
    help: str
    add_options: AddOptions
    action: Action


def command_line(
    name: str,
    description: str | None,
    commands: Sequence[Command],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse a command line, execute its command and return the exit status.

    Parameters
    ----------
    name : str
        Of the benchmark.
    description : str
    commands : sequence of Command
    argv : sequence of str or None, default=None
        None takes the arguments of the process.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True)
    for command in commands:
        subparser = subparsers.add_parser(command.name, help=command.help)
        command.add_options(subparser)
        subparser.set_defaults(action=command.action)
    arguments = parser.parse_args(argv)
    return arguments.action(arguments)


def run_command(add_options: AddOptions, action: Action) -> Command:
    """Return the command ``run`` of jobs: options, besides those of all benchmarks, and action."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--seeds", type=int, nargs="+", default=[0])
        parser.add_argument("--jobs", type=int, default=1, help="worker processes")
        parser.add_argument("--out", type=Path, required=True, help="CSV file, new or to resume")
        add_options(parser)

    return Command("run", "train and score models", add, action)


def report_command(
    action: Action, add_options: AddOptions = lambda parser: None, *, to_directory: bool = True
) -> Command:
    """Return the command ``report``, which writes a directory or else one Markdown file."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("results", type=Path, help="CSV file of a run")
        add_options(parser)
        if to_directory:
            parser.add_argument("--out-dir", type=Path, required=True)
        else:
            parser.add_argument("--out", type=Path, required=True, help="Markdown file")

    return Command("report", "tables and plots of a run", add, action)


def comma_list(text: str) -> list[str]:
    """Return the parts of a command line argument."""
    return [part for part in text.split(",") if part]
