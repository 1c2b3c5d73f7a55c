"""Run long trainings on images in order, each after a search for its rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.runner import Evaluate, run_jobs
from benchmarks.harness.store import Job, ResultsFile, read
from benchmarks.harness.workers import Workers
from benchmarks.images.catalogue import available, candidates
from benchmarks.images.results import SCHEMA, SEARCH_SCHEMA, search_file

# not one of the reported seeds, so that other images are drawn where the seed draws them
SEARCH_SEED = 100


@dataclass(frozen=True)
class Plan:
    """A sequence of jobs, each after the search for its rates.

    Parameters
    ----------
    results : Path
        The CSV file; that of the search is in the same directory.
    n_workers : int
        The number of trainings of a search that run at the same time.
    search, evaluate : callable
        Return the rows of a job of the search, and of a job of the plan.
    on_done : callable
        Is called with each job of the plan once its rows are in the file.
    """

    results: Path
    n_workers: int
    search: Evaluate
    evaluate: Evaluate
    on_done: Callable[[Job], None]

    def run(self, jobs: Iterable[Job]) -> list[Job]:
        """Run jobs; return those that failed.

        A model with changes ("auc:lr=0.3") is trained with these. Any other model is trained
        with the best of its candidates on the validation images of the same set.
        """
        failed = []
        for job in jobs:
            if not available([job.model]):
                continue
            chosen = self._at_chosen_rates(job)
            if chosen is None:
                failed.append(job)
                continue
            with ResultsFile(self.results, SCHEMA) as results:
                failed += self._run(self.evaluate, [chosen], results, self.on_done)
        return failed

    def _at_chosen_rates(self, job: Job) -> Job | None:
        if ":" in job.model:
            return job
        tried = [Job(job.dataset, SEARCH_SEED, text) for text in candidates(job.model)]
        path = search_file(self.results)
        with ResultsFile(path, SEARCH_SCHEMA) as results:
            self._run(self.search, tried, results)
        rows = read(path, SEARCH_SCHEMA)
        scores = {each: rows[each][0]["valid_auc"][-1] for each in tried if each in rows}
        # the first of equals; None if all failed
        best = max(scores, key=scores.__getitem__, default=None)
        return best and job._replace(model=best.model)

    def _run(
        self,
        function: Evaluate,
        jobs: list[Job],
        results: ResultsFile,
        on_done: Callable[[Job], None] = lambda job: None,
    ) -> list[Job]:
        if results.done.issuperset(jobs):
            return []
        workers = Workers(self.n_workers, fresh=True)
        return run_jobs(function, dict.fromkeys(jobs, 1.0), results, workers, on_done)
