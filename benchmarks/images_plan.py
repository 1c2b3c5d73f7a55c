"""The order of long trainings on images, each after a search for its rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.images_models import NAMES, available, candidates
from benchmarks.images_report import SCHEMA, SEARCH_SCHEMA
from benchmarks.runner import Evaluate, run_jobs
from benchmarks.store import Job, ResultsFile, read
from benchmarks.workers import Workers

# draws other images than the seeds that are reported, where the seed draws them
SEARCH_SEED = 100

_MAIN = (
    "compositional",
    "libauc-shipped",
    "auc",
    "sgd-cross-entropy",
    "two-stage",
    "libauc-repaired",
)
_OTHERS = tuple(name for name in NAMES if name not in _MAIN)
# what is done is of use at any time: the models that matter most come first
PAPER = (
    *(
        Job("chest-xray", seed, name)
        for names in (_MAIN, _OTHERS)
        for seed in (0, 1, 2)
        for name in names
    ),
    *(Job("cifar10-10", 0, name) for name in _MAIN),
    *(Job("cifar10-10", 1, name) for name in _MAIN[:4]),
    *(Job("cifar10-1", 0, name) for name in _MAIN[:4]),
)


def search_file(results: Path) -> Path:
    """Return the file for the short trainings that the rates of a run are chosen by."""
    return results.with_name(f"{results.stem}_search.csv")


@dataclass(frozen=True)
class Plan:
    """What runs jobs in their order, each after the search for its rates.

    Parameters
    ----------
    results : Path
        The CSV file; that of the search lies beside it.
    n_workers : int
        How many trainings of a search run at a time.
    search, evaluate : callable
        Return the rows of a job of the search, and of a job.
    on_done : callable
        Gets each job that has its rows.
    """

    results: Path
    n_workers: int
    search: Evaluate
    evaluate: Evaluate
    on_done: Callable[[Job], None]

    def run(self, jobs: Iterable[Job]) -> list[Job]:
        """Run jobs; return those that failed.

        A model with changes ("auc:lr=0.3") is trained with these. Another one is trained with
        the best of its candidates on the validation images of the same set.
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
        # of equals the first; none if all failed
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
