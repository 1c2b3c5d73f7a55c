"""Run jobs and show progress; a killed run can be resumed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from datetime import timedelta
from time import perf_counter

from benchmarks.harness.store import Job, ResultsFile, Schema
from benchmarks.harness.table import Row
from benchmarks.harness.workers import Workers

Evaluate = Callable[[Job], list[Row]]


def run_jobs(
    evaluate: Evaluate,
    costs: Mapping[Job, float],
    results: ResultsFile,
    executor: Executor,
    on_done: Callable[[Job], None] = lambda job: None,
) -> list[Job]:
    """Run the jobs that are not done yet, the costliest first; return those that failed.

    ``on_done`` is called with each job once its rows are in the file.
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


def run_product(
    arguments: argparse.Namespace,
    names: Iterable[str],
    costs: Mapping[str, float],
    evaluate: Evaluate,
    schema: Schema,
    *,
    fresh: bool = False,
    on_done: Callable[[Job], None] = lambda job: None,
) -> int:
    """Run every model on every data set with every seed; return the exit status.

    Parameters
    ----------
    arguments : Namespace
        With the options of :func:`benchmarks.harness.commands.run_command`.
    names : iterable of str
        The models.
    costs : mapping of str to float
        The data sets, and how costly each is.
    evaluate : callable
        Returns the rows of a job.
    schema : Schema
    fresh : bool, default=False
        Whether each job gets a new process.
    on_done : callable
        Is called with each job once its rows are in the file.
    """
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
    """Print the jobs that failed; return 1 if there are any, else 0."""
    if failed:
        print(f"{len(failed)} jobs failed:", *map(str, failed), sep="\n  ", file=sys.stderr)
    return 1 if failed else 0
