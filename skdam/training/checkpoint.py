"""A file of the state of a training, from which the training goes on after it was stopped."""

from __future__ import annotations

import glob
import io
import os
import tempfile
import time
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import (
    BatchScoring,
    Callback,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
)
from skorch.callbacks import Checkpoint as SkorchCheckpoint
from torch import Tensor

from skdam._generators import get_rng_state, set_rng_state
from skdam.callbacks import PrintLog as OurPrintLog
from skdam.callbacks import ProgressBar as OurProgressBar
from skdam.callbacks import StageSchedule, stages
from skdam.training.state import (
    as_it_was,
    as_plain,
    history_of,
    load_training_state,
    rows_of,
    training_state,
)

SECONDS = 60.0
"""Time between two files within an epoch, at least."""

_FORMAT = "checkpoint of skdam, 1"
# what they know is for display, or in the history
_WITHOUT_STATE = {
    BatchScoring,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    SkorchCheckpoint,
    TrainEndCheckpoint,
    OurPrintLog,
    OurProgressBar,
    StageSchedule,
}


class Checkpoint:
    """Saves a training to a file at the start of each epoch and within long ones, and resumes it.

    The net calls the methods. What is saved is all that the training depends on: history,
    network, loss, optimizer, order of the data, random generators and callbacks.

    Parameters
    ----------
    path : Path
        The file, in a folder that exists.
    identity : dict
        What else the training depends on, such as parameters and data, as plain values. It is
        saved with the state; whoever reads the file has to compare it.
    saved : dict or None
        What :func:`read` found at the path.
    """

    def __init__(self, path: Path, identity: dict[str, Any], saved: dict[str, Any] | None) -> None:
        self.path = path
        self.identity = identity
        self._saved = saved
        self._loader_states: dict[str, Tensor] = {} if saved is None else saved["loaders"]
        self._loaders: dict[str, Any] = {}
        self._has_warned = False
        self._opened = time.time()
        self._written = time.monotonic()

    @property
    def is_new(self) -> bool:
        """Whether there was no file to go on from."""
        return self._saved is None

    def resume(self, net: Any) -> int:
        """Give an initialized net the history and the state of the file, before its training.

        Returns
        -------
        int
            The epochs that are left to train.

        Raises
        ------
        ValueError
            If the file does not fit the net, or if ``max_epochs`` has changed and what has
            happened so far depends on it.
        """
        saved = self._saved
        assert saved is not None
        net.history_ = history_of(saved["history"])
        try:
            load_training_state(net, saved["training"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"the checkpoint {self.path} is of another network or optimizer: {error} Delete "
                "the file, or name another one."
            ) from error
        n_done = len(net.history) - net.first_epoch_
        self._check_length(net, saved["max_epochs"], n_done)
        if net.verbose:
            print(f"Going on from epoch {len(net.history)} of {self.path}.")
        return net.max_epochs - n_done

    def use_loader(self, loader: Any, prefix: str) -> None:
        """Let a loader of training or of validation go on, before its epoch."""
        if prefix in self._loader_states:
            loader.generator.set_state(self._loader_states.pop(prefix))
        self._loaders[prefix] = loader

    def begin_epoch(self, net: Any, log: Any) -> None:
        """Go on where the file says or, if the training is beyond that, save it.

        Parameters
        ----------
        net : CompositionalAUCNet
            Its callbacks know that the epoch begins.
        log : LossLog
            The losses of the epoch.
        """
        if not self._has_warned:
            self._has_warned = True
            self._warn(net)
        saved = self._saved
        if saved is None:
            self._save(net, log)
            return
        # callbacks have seen the net, and may have changed it
        load_training_state(net, saved["training"])
        net.sampler_.load_state_dict(saved["sampler"])
        for name, part in _with_state(net).items():
            part.load_state_dict(saved["callbacks"][name])
        log.restore(saved["losses"])
        set_rng_state(net.device, saved["generators"])
        self._saved = None

    def end_batch(self, net: Any, log: Any) -> None:
        """Save the training in the middle of an epoch, if the last file is old enough."""
        # batches are selected together; a part of them could be stored, and rounded, otherwise
        is_exact = net.sampler_.n_yielded == log.n_batches
        if is_exact and time.monotonic() - self._written >= SECONDS:
            self._save(net, log)

    def remove(self) -> None:
        """Remove the file, and what is left of files that were not complete."""
        self.path.unlink(missing_ok=True)
        for part in self.path.parent.glob(f"{glob.escape(_part_of(self.path))}*"):
            with suppress(FileNotFoundError):
                # a later one is being written by another process
                if part.stat().st_mtime < self._opened:
                    part.unlink()

    def _save(self, net: Any, log: Any) -> None:
        content = {
            "format": _FORMAT,
            "identity": self.identity,
            "max_epochs": net.max_epochs,
            "history": rows_of(net.history[:-1]),
            "losses": log.rows(),
            "training": training_state(net),
            "sampler": net.sampler_.state_dict(),
            "callbacks": {name: part.state_dict() for name, part in _with_state(net).items()},
            "loaders": {
                prefix: loader.generator.get_state() for prefix, loader in self._loaders.items()
            },
            "generators": get_rng_state(net.device),
        }
        write(self.path, as_plain(content))
        self._written = time.monotonic()

    def _check_length(self, net: Any, before: int, n_done: int) -> None:
        n_epochs = net.max_epochs
        if n_epochs <= n_done:
            raise ValueError(
                f"max_epochs={n_epochs}, but {n_done} epochs are complete in the checkpoint "
                f"{self.path}. Train for more, or delete the file."
            )
        events, events_before = (
            {epoch for epoch in {switch, *starts} if epoch <= n_done}
            for switch, starts in (stages(net, length) for length in (n_epochs, before))
        )
        if events != events_before:
            raise ValueError(
                f"max_epochs={n_epochs}, but the checkpoint {self.path} is of a training of "
                f"{before} epochs, and what is trained after {n_done} of them depends on that "
                "number: milestones are shares of it, and two-stage training changes its loss in "
                f"the middle. Set max_epochs={before}, or delete the file."
            )

    def _warn(self, net: Any) -> None:
        names = [name for name, callback in net.callbacks_ if _loses_state(callback)]
        if any(getattr(loader, "persistent_workers", False) for loader in self._loaders.values()):
            names.append("persistent_workers of a DataLoader")
        if names:
            warnings.warn(
                f"the checkpoint does not hold the state of {', '.join(names)}. A training that "
                "goes on from it may end with another model than one that was never stopped. "
                "Give callbacks of your own methods state_dict() and load_state_dict(state).",
                UserWarning,
                stacklevel=2,
            )


def read(path: Path) -> dict[str, Any] | None:
    """Return what a file holds, None if there is none.

    Raises
    ------
    ValueError
        If the file is damaged, or not of a :class:`Checkpoint`.
    """
    if not path.exists():
        return None
    content, reason = None, None
    try:
        with zipfile.ZipFile(path) as archive:
            is_whole = archive.testzip() is None  # torch does not compare checksums
        if is_whole:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of many kinds, as files are damaged in many ways
        reason = error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(
            f"the checkpoint {path} is damaged, or another kind of file. Delete it, or name "
            "another file."
        ) from reason
    return as_it_was(content)


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a file as a whole: at any time there is the one before or this one.

    Raises
    ------
    OSError
        If it cannot be written; the file is as before.
    """
    block = io.BytesIO()
    torch.save(content, block)
    part: str | None = None
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=_part_of(path))
        with os.fdopen(handle, "wb") as file:
            file.write(block.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        if part is not None:
            with suppress(FileNotFoundError):
                os.unlink(part)
        if isinstance(error, OSError):
            raise OSError(
                error.errno,
                f"the checkpoint cannot be written, {error.strerror}. If there was a file before, "
                "it is as it was, and fit goes on from it once there is room",
                str(path),
            ) from error
        raise


def _part_of(path: Path) -> str:
    """Return how the names of files begin that are not complete."""
    return f".{path.name}.part-"


def _with_state(net: Any) -> dict[str, Any]:
    """Return the callbacks that can save their state, or what holds it, by name."""
    parts = {
        name: callback.lr_scheduler_ if isinstance(callback, LRScheduler) else callback
        for name, callback in net.callbacks_
    }
    return {name: part for name, part in parts.items() if _has_state(part)}


def _has_state(part: Any) -> bool:
    return hasattr(part, "state_dict") and hasattr(part, "load_state_dict")


def _loses_state(callback: Callback) -> bool:
    can_save = _has_state(callback) or isinstance(callback, LRScheduler)
    return not can_save and type(callback) not in _WITHOUT_STATE and bool(vars(callback))
