"""Resume a training of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from skorch.callbacks import Callback
from skorch.history import History
from torch import nn

from benchmarks.harness.progress import Progress, State
from skdam import CompositionalAUCNet


class Resumption(Callback):
    """Save the state of a net after each epoch, and resume from a saved state.

    Parameters
    ----------
    progress : Progress
    on_epoch_end : callable
        Is called with the number of complete epochs and the module, before the state is saved.
    """

    def __init__(self, progress: Progress, on_epoch_end: Callable[[int, nn.Module], None]) -> None:
        self.progress = progress
        self.end_of_epoch = on_epoch_end

    def on_train_begin(self, net: CompositionalAUCNet, **_: Any) -> None:
        """Restore the net."""
        self.progress.restore(net=_NetState(net))

    def on_epoch_begin(self, net: CompositionalAUCNet, **_: Any) -> None:
        """Restore the sampler and the generators, or end a complete training."""
        if self.progress.n_epochs == net.max_epochs:
            # skorch's own callbacks end training in this way
            raise KeyboardInterrupt
        # earlier there is no sampler
        self.progress.restore(sampler=net.sampler_)
        self.progress.restore_generators()

    def on_epoch_end(self, net: CompositionalAUCNet, **_: Any) -> None:
        """Save the state."""
        self.end_of_epoch(len(net.history), net.module_)
        self.progress.end_epoch(net=_NetState(net), sampler=net.sampler_)


class _NetState:
    """A net as :class:`Stateful`, without the order of the data."""

    def __init__(self, net: CompositionalAUCNet) -> None:
        self._net = net

    def state_dict(self) -> State:
        rows = [
            {name: _plain(value) for name, value in row.items() if name != "batches"}
            for row in self._net.history
        ]
        return {"history": rows, "training": self._net.training_state()}

    def load_state_dict(self, state_dict: State, /) -> None:
        self._net.history_ = History([{**row, "batches": []} for row in state_dict["history"]])
        self._net.load_training_state(state_dict["training"])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
