"""The callbacks of scikit-learn, which it has from version 1.9 on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from skorch.callbacks import Callback
from skorch.history import History

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:
    _Method = TypeVar("_Method", bound=Callable[..., Any])

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""

        def _init_callback_context(self, **options: Any) -> None:
            return None

    def with_callbacks(method: _Method) -> _Method:
        """Return the method as it is."""
        return method


__all__ = ["SklearnCallbacksMixin", "with_callbacks"]

# what scikit-learn keeps in an estimator during fit
_IN_TRAINING = {"_callback_fit_ctx", "_skl_callbacks_to_teardown"}


class SklearnCallbacksMixin(CallbackSupportMixin):
    """Tells callbacks that were given to ``set_callbacks`` of the fit and of its epochs.

    The estimator has a method ``_learnt(net, dataset)`` that returns the attributes which a fit
    that ends with the net sets.
    """

    _learnt: Callable[[Any, Any], dict[str, Any]]

    def __getstate__(self) -> dict[str, Any]:
        # a copy made in training refers to the estimator in training
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in _IN_TRAINING}

    def __copy__(self) -> Self:
        # scikit-learn copies the estimator in training, when skorch's callbacks may hold open files
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    @contextmanager
    def _telling_callbacks(
        self, context: Any, net: Any, dataset: Any, X: Any, y: Any, sample_weight: Any
    ) -> Iterator[None]:
        """Tell callbacks of what begins and ends in the block, which trains the net.

        Parameters
        ----------
        context : CallbackContext or None
            What ``_init_callback_context`` returned.
        net : CompositionalAUCNet
            Not initialized yet.
        dataset : dataset
            The training data.
        X, y, sample_weight
            As given to fit.
        """
        if not getattr(self, "_skl_callbacks", ()):
            yield
            return
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        told = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        context.max_subtasks = net.max_epochs
        context.call_on_fit_task_begin(**told)
        epochs = _Epochs()
        epochs.task_ = context
        epochs.told_ = told
        # a copy takes time, and most callbacks need none
        epochs.ready_ = lambda: self._learnt(_stopped_now(net), dataset)
        given = net.callbacks
        net.callbacks = [("sklearn_callbacks", epochs), *given]
        yield
        net.callbacks = given
        net.callbacks_ = [(name, each) for name, each in net.callbacks_ if each is not epochs]
        context.call_on_fit_task_end(**told, reconstruction_attributes={})


class _Epochs(Callback):
    """Makes a task of each epoch.

    It has no parameters: a copy of the net that is made in training, as a checkpoint is, has
    one that tells nobody.
    """

    task_: Any = None
    told_: dict[str, Any]
    ready_: Callable[[], dict[str, Any]]

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the task."""
        if self.task_ is not None:
            self.epoch_ = self.task_.subcontext(task_name="epoch")
            self.epoch_.call_on_fit_task_begin(**self.told_)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Close the task, and end training if a callback says so."""
        if self.task_ is None:
            return
        if self.epoch_.call_on_fit_task_end(**self.told_, reconstruction_attributes=self.ready_):
            # skorch's own callbacks end training in this way
            raise KeyboardInterrupt

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold: nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing, see :meth:`state_dict`."""


def _stopped_now(net: Any) -> Any:
    """Return a net that predicts what this one does, whatever becomes of this one."""
    stopped = object.__new__(type(net))
    vars(stopped).update(vars(net))
    own = {"module_": copy.deepcopy(net.module_), "history_": History(list(net.history))}
    vars(stopped).update(own, train_split=None)
    return stopped
