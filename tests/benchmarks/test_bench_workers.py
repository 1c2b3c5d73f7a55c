"""Worker processes."""

import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from benchmarks.harness.workers import Workers


def test_workers_have_one_thread_and_a_dead_one_is_replaced(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    with Workers(1, fresh=False) as workers:
        with pytest.raises(BrokenProcessPool):
            workers.submit(os._exit, 1).result()
        assert workers.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
        first, second = (workers.submit(os.getpid).result() for _ in range(2))
        assert first == second
