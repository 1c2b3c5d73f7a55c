"""Files that are replaced as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Path, mode: str, **options: Any) -> Iterator[IO[Any]]:
    """Open a file that replaces ``path`` once it is complete.

    Until then, and after an error, the old file stays. The directory is made if it is missing.

    Parameters
    ----------
    path : Path
    mode : str
        "w" or "wb".
    **options
        As of :meth:`pathlib.Path.open`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    successor = path.with_name(path.name + ".new")
    with successor.open(mode, **options) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(successor, path)
