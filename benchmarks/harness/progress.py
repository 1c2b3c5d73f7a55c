"""The state of training on disk, so that a killed job resumes after its last complete epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.harness.files import replacing

State = dict[str, Any]


class Stateful(Protocol):
    """Anything with a state to save: modules, optimizers, samplers."""

    def state_dict(self) -> State:
        """Return the state."""
        ...

    def load_state_dict(self, state_dict: State, /) -> Any:
        """Restore a state."""
        ...


class GeneratorState:
    """A generator of torch as :class:`Stateful`.

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
        """Restore a state."""
        self._generator.set_state(state_dict["state"])


class Progress:
    """How far training has come, saved to a file if one is given.

    Parameters
    ----------
    path : Path or None, default=None
        The file; it may not exist yet.

    Attributes
    ----------
    n_epochs : int
        The number of complete epochs.
    record : dict
        Measurements during training: plain numbers, strings, lists and dicts. It is saved with
        the state.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        # the file holds tensors and plain values only: reading it executes no code
        saved = torch.load(path, weights_only=True) if path is not None and path.exists() else {}
        self.n_epochs: int = saved.get("n_epochs", 0)
        self.record: State = saved.get("record", {})
        self._parts: dict[str, State] = saved.get("parts", {})
        self._generators: State | None = saved.get("generators")

    def restore(self, **parts: Stateful) -> None:
        """Restore parts of the training to their state after the last saved epoch."""
        for name, part in parts.items():
            if name in self._parts:
                part.load_state_dict(self._parts.pop(name))

    def restore_generators(self) -> None:
        """Restore torch's global generators to their state after that epoch, once."""
        if self._generators is not None:
            torch.set_rng_state(self._generators["cpu"])
            torch.cuda.set_rng_state_all(self._generators["cuda"])
            self._generators = None

    def end_epoch(self, **parts: Stateful) -> None:
        """Count an epoch, and save everything that the next one depends on."""
        self.n_epochs += 1
        if self._path is None:
            return
        save_state(
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
        """Yield the remaining epochs, numbered from 0, and save the parts after each.

        Parameters
        ----------
        n_epochs : int
            Epochs of the whole training.
        on_end : callable
            Is called with the number of complete epochs, before the state is saved.
        parts : mapping of str to Stateful
            Everything that an epoch changes, except torch's global generators.
        """
        self.restore(**parts)
        self.restore_generators()
        for epoch in range(self.n_epochs, n_epochs):
            yield epoch
            on_end(epoch + 1)
            self.end_epoch(**parts)


def save_state(path: Path, state: State) -> None:
    """Save a state; the file is always complete, either the old one or the new one."""
    with replacing(path, "wb") as file:
        torch.save(state, file)
