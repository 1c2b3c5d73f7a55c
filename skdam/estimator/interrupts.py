"""Ctrl-C in a fit: it reaches the caller, though skorch takes it for the end of training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the context if an interrupt came and was swallowed.

    skorch ends training at any KeyboardInterrupt, as callbacks stop it by raising one. A handler of
    SIGINT tells one of the user apart: it calls the handler that was there before, and notes
    whether that raised KeyboardInterrupt. Nothing is done outside the main thread, which alone
    receives signals, and where there was no handler in Python.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    has_come = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal has_come
        try:
            before(number, frame)
        except KeyboardInterrupt:
            has_come = True
            raise

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    except Exception as error:
        # Ctrl-C also stops workers of a loader, which is an error to the loader
        if has_come:
            raise KeyboardInterrupt from error
        raise
    finally:
        # a callback may have put a handler of its own in place
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, before)
    if has_come:
        raise KeyboardInterrupt
