"""Run jobs, with progress, so that a killed run can go on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from datetime import timedelta
from pathlib import Path
from time import perf_counter

from benchmarks.store import Job, ResultsFile, Row, Schema
from benchmarks.workers import Workers

Evaluate = Callable[[Job], list[Row]]


def run_jobs(
    evaluate: Evaluate,
    costs: Mapping[Job, float],
    results: ResultsFile,
    executor: Executor,
    on_done: Callable[[Job], None] = lambda job: None,
) -> list[Job]:
    """Run the jobs that are not done, the costly ones first; return those that failed.

    ``on_done`` gets each job whose rows are in the file.
    """
    todo = sorted(costs.keys() - results.done, key=lambda job: (-costs[job], job))
    print(f"{len(costs) - len(todo)} of {len(costs)} jobs are done already.", file=sys.stderr)
    failed = []
    total, spent, start = sum(costs[job] for job in todo), 0.0, perf_counter()
    try:
        futures = {executor.submit(evaluate, job): job for job in todo}
        for n_ended, future in enumerate(as_completed(futures), start=1):
            job = futures[future]
            error = future.exception()
            if error is None:
                results.append(future.result())
                on_done(job)
            else:
                failed.append(job)
                print(f"\n{job} failed: {error!r}", file=sys.stderr)
            spent += costs[job]
            elapsed = perf_counter() - start
            _show_progress(n_ended, len(todo), elapsed, elapsed * (total - spent) / spent)
    finally:
        executor.shutdown(cancel_futures=True)
    return failed


def _show_progress(n_ended: int, n_jobs: int, elapsed: float, rest: float) -> None:
    spans = [timedelta(seconds=round(seconds)) for seconds in (elapsed, rest)]
    print(
        f"{n_ended}/{n_jobs} jobs, {spans[0]} elapsed, about {spans[1]} left   ",
        end="\r" if sys.stderr.isatty() and n_ended < n_jobs else "\n",
        file=sys.stderr,
        flush=True,
    )


def comma_list(text: str) -> list[str]:
    """Return the parts of a command line argument."""
    return [part for part in text.split(",") if part]


def command_line(
    description: str | None,
    argv: Sequence[str] | None,
    *,
    run: Callable[[argparse.ArgumentParser], None],
    report: Callable[[argparse.ArgumentParser], None],
) -> int:
    """Parse a command line with the commands ``run`` and ``report``, and do what it says.

    Parameters
    ----------
    description : str
    argv : sequence of str or None
        None takes that of the process.
    run, report : callable
        Add the arguments of a command that it has beyond those of all benchmarks, and set
        the default ``command``: what is called with the arguments and returns the exit status.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    run_parser = commands.add_parser("run", help="train and score models")
    run_parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    run_parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    run_parser.add_argument(
        "--out", type=Path, required=True, help="CSV file, new or to go on with"
    )
    run(run_parser)
    report_parser = commands.add_parser("report", help="tables and plots of a run")
    report_parser.add_argument("results", type=Path, help="CSV file of a run")
    report(report_parser)
    arguments = parser.parse_args(argv)
    return arguments.command(arguments)


def report_to_directory(
    command: Callable[[argparse.Namespace], int],
) -> Callable[[argparse.ArgumentParser], None]:
    """Return what adds the arguments of a report of several files: ``--out-dir``."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--out-dir", type=Path, required=True)
        parser.set_defaults(command=command)

    return add


def run_command(
    arguments: argparse.Namespace,
    names: Iterable[str],
    costs: Mapping[str, float],
    evaluate: Evaluate,
    schema: Schema,
    *,
    fresh: bool = False,
    on_done: Callable[[Job], None] = lambda job: None,
) -> int:
    """Run models of these names with all seeds on data sets of given costs; return the status."""
    jobs = {
        Job(dataset, seed, model): cost
        for dataset, cost in costs.items()
        for seed in arguments.seeds
        for model in names
    }
    with ResultsFile(arguments.out, schema) as results:
        failed = run_jobs(evaluate, jobs, results, Workers(arguments.jobs, fresh=fresh), on_done)
    return exit_status(failed)


def exit_status(failed: Sequence[Job]) -> int:
    """Name the jobs that failed; return 1 if there are any, else 0."""
    if failed:
        print(f"{len(failed)} jobs failed:", *map(str, failed), sep="\n  ", file=sys.stderr)
    return 1 if failed else 0
