"""Worker processes of one thread each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Workers(ThreadPoolExecutor):
    """Executor of processes that compute with one thread.

    They see a GPU only if ``CUDA_VISIBLE_DEVICES`` is set. A thread waits for each process, so
    that a process that dies, perhaps out of memory, loses its own job only.

    Parameters
    ----------
    n_workers : int
    fresh : bool
        Whether every job gets a new process, to measure its memory.
    """

    def __init__(self, n_workers: int, *, fresh: bool) -> None:
        super().__init__(n_workers)
        self._fresh = fresh
        self._idle: list[ProcessPoolExecutor] = []
        # OpenMP and BLAS read these when they are loaded, before a worker could set them
        os.environ.update(_ONE_THREAD)
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Schedule a call in a process."""
        return super().submit(self._call, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the running calls, then end the processes."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        for process in self._idle:
            process.shutdown(wait)

    def _call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        process = self._idle.pop() if self._idle else self._start()
        usable = not self._fresh
        try:
            return process.submit(fn, *args, **kwargs).result()
        except BrokenProcessPool:
            usable = False
            raise
        finally:
            if usable:
                self._idle.append(process)
            else:
                process.shutdown()

    @staticmethod
    def _start() -> ProcessPoolExecutor:
        # a forked process would inherit the locks of threads and the libraries already loaded
        return ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=_set_up_worker
        )


def _set_up_worker() -> None:
    # warnings of the rivals about their defaults would hide the progress
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    # without this, a worker whose parent was killed would wait for its next job forever
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
