"""The state of a training on disk, so that a killed job goes on from the end of its last epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

State = dict[str, Any]


class Stateful(Protocol):
    """What has a state to save, as modules, optimizers and samplers do."""

    def state_dict(self) -> State:
        """Return the state."""
        ...

    def load_state_dict(self, state_dict: State, /) -> Any:
        """Return to a state."""
        ...


class GeneratorState:
    """A generator of torch as other parts of a training are.

    Parameters
    ----------
    generator : torch.Generator
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def state_dict(self) -> State:
        """Return the state."""
        return {"state": self._generator.get_state()}

    def load_state_dict(self, state_dict: State, /) -> None:
        """Return to a state."""
        self._generator.set_state(state_dict["state"])


class Progress:
    """How far a training is, kept in a file if it is given one.

    Parameters
    ----------
    path : Path or None, default=None
        The file, which need not exist yet.

    Attributes
    ----------
    n_epochs : int
        The epochs done.
    record : dict
        What whoever watches the training notes down: plain numbers, strings, lists and dicts. It
        is saved with the state.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        # what the file holds is tensors and plain values: nothing is run by reading it
        saved = torch.load(path, weights_only=True) if path is not None and path.exists() else {}
        self.n_epochs: int = saved.get("n_epochs", 0)
        self.record: State = saved.get("record", {})
        self._parts: dict[str, State] = saved.get("parts", {})
        self._generators: State | None = saved.get("generators")

    def restore(self, **parts: Stateful) -> None:
        """Bring parts of the training to where they were at the end of the last saved epoch."""
        for name, part in parts.items():
            if name in self._parts:
                part.load_state_dict(self._parts.pop(name))

    def restore_generators(self) -> None:
        """Bring torch's global generators there too, once."""
        if self._generators is not None:
            torch.set_rng_state(self._generators["cpu"])
            torch.cuda.set_rng_state_all(self._generators["cuda"])
            self._generators = None

    def end_epoch(self, **parts: Stateful) -> None:
        """Count an epoch, and save all that the next one depends on."""
        self.n_epochs += 1
        if self._path is None:
            return
        write_atomically(
            self._path,
            {
                "n_epochs": self.n_epochs,
                "record": self.record,
                "parts": {name: part.state_dict() for name, part in parts.items()},
                "generators": {
                    "cpu": torch.get_rng_state(),
                    "cuda": torch.cuda.get_rng_state_all(),
                },
            },
        )

    def epochs(
        self, n_epochs: int, on_end: Callable[[int], None], parts: Mapping[str, Stateful]
    ) -> Iterator[int]:
        """Yield the epochs that are left, from 0, and save the parts at the end of each.

        Parameters
        ----------
        n_epochs : int
            All epochs of the training.
        on_end : callable
            Gets the number of epochs done, before the state is saved.
        parts : mapping of str to Stateful
            All that an epoch changes, torch's global generators aside.
        """
        self.restore(**parts)
        self.restore_generators()
        for epoch in range(self.n_epochs, n_epochs):
            yield epoch
            on_end(epoch + 1)
            self.end_epoch(**parts)


def write_atomically(path: Path, state: State) -> None:
    """Save a state so that the file is, at any time, the old one or the new one as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    successor = path.with_name(path.name + ".new")
    with successor.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(successor, path)
