"""Fixtures of the estimator's tests."""

import copy
import signal
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from skorch.callbacks import Callback

from skdam import CompositionalAUCClassifier


@pytest.fixture(scope="session")
def make():
    """Build a classifier that trains for three epochs with a fixed seed, unless told otherwise."""

    def build(**parameters):
        return CompositionalAUCClassifier(**({"max_epochs": 3, "random_state": 0} | parameters))

    return build


@pytest.fixture
def ctrl_c_raises():
    """Ctrl-C raises KeyboardInterrupt, and the test leaves that so."""
    # a shell that starts tests in the background lets them ignore the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def assert_refused(make):
    """Assert that training raises before its first epoch, and that an earlier fit survives."""

    def check(estimator, data, message, good_data):
        epochs = []

        class Spy(Callback):
            def on_epoch_begin(self, net, **kwargs):
                epochs.append(1)

        if estimator.callbacks is None:
            estimator.set_params(callbacks=[Spy()])
        # without folds there is no kernel machine, which takes most of so short a fit
        earlier = make(max_epochs=1, cross_fit=False).fit(*good_data)
        for method in ("fit", "partial_fit"):
            if method == "partial_fit" and "milestones" in message:
                continue  # it ignores them
            fitted = copy.deepcopy(earlier)
            before = {**vars(fitted)}
            scores = fitted.decision_function(good_data[0])
            fitted.set_params(**estimator.get_params(deep=False))
            parameters = fitted.get_params(deep=False)
            with pytest.raises((ValueError, TypeError), match=message):
                getattr(clone(fitted), method)(*data)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "X has feature names")
                with pytest.raises((ValueError, TypeError)):
                    getattr(fitted, method)(*data)
            assert epochs == []
            assert fitted.get_params(deep=False) == parameters
            np.testing.assert_array_equal(fitted.decision_function(good_data[0]), scores)
            kept = {name for name in before if name.endswith("_")}
            assert all(vars(fitted)[name] is before[name] for name in kept)

    return check
