"""Time the scores of many rows by skdam and bare PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.harness.timing import interleave, timed
from benchmarks.speed.problem import Problem
from benchmarks.speed.results import Measurement
from skdam import CompositionalAUCClassifier
from skdam.data.batches import scaled

PAIRS = (("skdam, predict_proba", "bare torch, scores"),)


def measure_scores(problem: Problem, n_rows: int, repeats: int) -> Measurement:
    """Time the scores of ``n_rows`` rows."""
    functions = {
        name: timed(function, problem.synchronize)
        for name, function in _scoring_functions(problem, n_rows).items()
    }
    seconds = interleave(functions, repeats)
    return Measurement("scores", problem.network, problem.device, n_rows, seconds, PAIRS)


def _scoring_functions(problem: Problem, n_rows: int) -> dict[str, Callable[[], Any]]:
    """Return the functions that score ``n_rows`` rows, by name."""
    X, y = problem.X, problem.y
    repeated = np.tile(X, (-(-n_rows // len(X)), *[1] * (X.ndim - 1)))[:n_rows]
    clf = CompositionalAUCClassifier(
        problem.make_module(), max_epochs=1, device=problem.device, random_state=0
    ).fit(X, y)
    module = clf.net_.module_.eval()

    def bare() -> None:
        with torch.inference_mode():
            batches = torch.from_numpy(repeated).split(1024)
            torch.cat([module(scaled(batch.to(problem.device))) for batch in batches]).cpu()

    return {
        "bare torch, scores": bare,
        "skdam, predict_proba": lambda: clf.predict_proba(repeated),
    }
