"""Run jobs, with progress, so that a killed run can go on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, as_completed
from datetime import timedelta
from pathlib import Path
from time import perf_counter

from benchmarks.store import Job, ResultsFile, Row, Schema
from benchmarks.workers import Workers

Evaluate = Callable[[Job], list[Row]]


def run_jobs(
    evaluate: Evaluate, costs: Mapping[Job, float], results: ResultsFile, executor: Executor
) -> list[Job]:
    """Run the jobs that are not done, the costly ones first; return those that failed."""
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


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every ``run`` command takes."""
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--out", type=Path, required=True, help="CSV file, new or to go on with")


def run_command(
    arguments: argparse.Namespace,
    names: Iterable[str],
    costs: Mapping[str, float],
    evaluate: Evaluate,
    schema: Schema,
    *,
    fresh: bool = False,
) -> int:
    """Run models of these names with all seeds on data sets of given costs; return the status."""
    jobs = {
        Job(dataset, seed, model): cost
        for dataset, cost in costs.items()
        for seed in arguments.seeds
        for model in names
    }
    with ResultsFile(arguments.out, schema) as results:
        failed = run_jobs(evaluate, jobs, results, Workers(arguments.jobs, fresh=fresh))
    if failed:
        print(f"{len(failed)} jobs failed:", *map(str, failed), sep="\n  ", file=sys.stderr)
    return 1 if failed else 0
