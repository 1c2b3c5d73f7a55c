"""Time default fits of this checkout against those of another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from benchmarks.harness.timing import interleave
from benchmarks.speed.results import ROOT, Measurement, commit_of, n_threads


class Fit(NamedTuple):
    """The size of a table, and the parameters of the classifier besides ``random_state``."""

    rows: int
    features: int
    parameters: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        changes = [f"{name}={value}" for name, value in self.parameters.items()]
        return ", ".join([f"default fit of {self.rows} x {self.features}", *changes])


FITS = (Fit(1000, 20), Fit(20_000, 30, {"max_epochs": 3}))


class FitWorker:
    """A process that times fits of the skdam of a checkout.

    Parameters
    ----------
    checkout : Path

    Raises
    ------
    RuntimeError
        If the process cannot import skdam from the checkout.
    """

    def __init__(self, checkout: Path) -> None:
        checkout = checkout.resolve()
        self._process = subprocess.Popen(
            # -P: the directory of the program is not searched for modules
            [sys.executable, "-P", str(Path(__file__).with_name("fit_worker.py"))],
            env=os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(n_threads())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        file = self._receive()
        if not Path(file).resolve().is_relative_to(checkout):
            self.close()
            raise RuntimeError(f"skdam is imported from {file}, not from {checkout}.")

    def seconds(self, fit: Fit) -> float:
        """Return the seconds of a fit."""
        assert self._process.stdin is not None
        request = json.dumps([fit.rows, fit.features, dict(fit.parameters)])
        print(request, file=self._process.stdin, flush=True)
        return float(self._receive())

    def _receive(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended with status {self._process.wait()}.")
        return line.strip()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def measure_fits(against: Path, repeats: int) -> Iterator[Measurement]:
    """Time fits of this checkout and of another one, each in a process of its own."""
    with FitWorker(ROOT) as ours, FitWorker(against) as other:
        for fit in FITS:
            name, by = str(fit), f"the same at {commit_of(against)}"
            functions = {name: partial(ours.seconds, fit), by: partial(other.seconds, fit)}
            seconds = interleave(functions, repeats)
            yield Measurement("fits", "default", "cpu", fit.rows, seconds, ((name, by),))
