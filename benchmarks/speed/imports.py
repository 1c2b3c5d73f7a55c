"""Time the import of skdam, beyond that of the libraries it builds on."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

from benchmarks.harness.timing import interleave
from benchmarks.speed.results import ROOT, Measurement

LIBRARIES = "import torch, skorch, sklearn"
BOTH = "import torch, skorch, sklearn, skdam"

_PROGRAM = """
from time import perf_counter
start = perf_counter()
{statement}
print(perf_counter() - start)
"""


def measure_imports(repeats: int) -> Measurement:
    """Time both imports, each in fresh processes."""
    functions = {statement: partial(_seconds, statement) for statement in (LIBRARIES, BOTH)}
    seconds = interleave(functions, repeats)
    return Measurement("imports", "none", "cpu", 0, seconds, ((BOTH, LIBRARIES),))


def _seconds(statement: str) -> float:
    ended = subprocess.run(
        # -P: the working directory is not searched for modules
        [sys.executable, "-P", "-c", _PROGRAM.format(statement=statement)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(ended.stdout)
