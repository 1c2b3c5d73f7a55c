"""Ctrl-C in a fit, and callbacks that stop one: both are KeyboardInterrupts to skorch."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


class CtrlC(Callback):
    """Presses Ctrl-C in the second epoch."""

    def __init__(self, where):
        self.where = where

    def act(self, net, where):
        if where == self.where and len(net.history) == 2:
            press_ctrl_c()

    def on_epoch_begin(self, net, **kwargs):
        self.act(net, "epoch begins")

    def on_batch_end(self, net, **kwargs):
        self.act(net, "batch ends")

    def on_epoch_end(self, net, **kwargs):
        self.act(net, "epoch ends")

    def on_train_end(self, net, **kwargs):
        self.act(net, "training ends")


pytestmark = pytest.mark.usefixtures("ctrl_c_raises")


@pytest.mark.parametrize("where", ["epoch begins", "batch ends", "epoch ends", "training ends"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_ctrl_c_reaches_the_caller_and_the_estimator_is_as_it_was(toy, make, where, method):
    X, y = toy
    clf = make(max_epochs=1).fit(X, y)
    before, scores = dict(vars(clf)), clf.decision_function(X)
    clf.set_params(max_epochs=10, callbacks=[CtrlC(where)], warm_start=True)
    if where == "training ends" and method == "fit":
        clf.set_params(max_epochs=1)
    with pytest.raises(KeyboardInterrupt):
        getattr(clf, method)(X, y)
    assert clf.n_iter_ == 1
    assert all(vars(clf)[name] is before[name] for name in before if name.endswith("_"))
    np.testing.assert_array_equal(clf.decision_function(X), scores)
    # and it goes on
    assert clf.set_params(callbacks=None).partial_fit(X, y).n_iter_ == 2


def test_a_timer_may_press_ctrl_c(toy, make):
    timer = threading.Timer(0.05, press_ctrl_c)

    class StartTimer(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 1:
                timer.start()

    clf = make(max_epochs=10**6, early_stopping=False, callbacks=[StartTimer()])
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*toy)
    timer.join()
    assert not hasattr(clf, "net_")


def test_ctrl_c_ends_a_search(toy, make):
    trainings = []

    class Count(Callback):
        def on_train_begin(self, net, **kwargs):
            trainings.append(1)

    clf = make(callbacks=[CtrlC("batch ends"), Count])
    search = GridSearchCV(clf, {"lr": [1e-3, 1e-2]}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        search.fit(*toy)
    assert len(trainings) == 1
    assert not hasattr(search, "cv_results_")


SCRIPT = """
import signal
import numpy as np
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from skdam import CompositionalAUCClassifier

class Ready(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            print("training", flush=True)

signal.signal(signal.SIGINT, signal.default_int_handler)
X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3 == 0
clf = CompositionalAUCClassifier(
    module__hidden_layer_sizes=(4,), max_epochs=10**6, early_stopping=False, callbacks=[Ready()]
)
GridSearchCV(clf, {"lr": [1e-4, 1e-3]}, cv=2).fit(X, y)
print("saved", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals to processes are those of POSIX")
def test_a_script_ends_with_the_status_of_an_interrupt():
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert script.stdout.readline().strip() == "training"
        script.send_signal(signal.SIGINT)
        output, errors = script.communicate(timeout=60)
    finally:
        script.kill()
    assert script.returncode == -signal.SIGINT
    assert "saved" not in output
    assert errors.rstrip().endswith("KeyboardInterrupt")


class Stop(Callback):
    """Ends training, as skorch's callbacks do."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "callback",
    [Stop(), EarlyStopping(monitor="train_loss", patience=1, threshold=1e3)],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_end_training_as_in_skorch(toy, make, callback):
    assert make(max_epochs=50, callbacks=[callback]).fit(*toy).n_iter_ == 2


def test_a_handler_of_the_user_decides_what_ctrl_c_does(toy, make):
    """One that does not raise lets training go on."""
    received = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        clf = make(callbacks=[CtrlC("batch ends")], batch_size=200).fit(*toy)
    finally:
        signal.signal(signal.SIGINT, before)
    assert clf.n_iter_ == 3
    assert set(received) == {signal.SIGINT}


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_without_a_handler_in_python_there_is_none_in_a_fit(toy, make, handler):
    seen = []

    class Look(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.signal(signal.SIGINT, handler)
    try:
        make(max_epochs=1, callbacks=[Look()]).fit(*toy)
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [handler]


def test_a_handler_that_a_callback_installs_stays(toy, make):
    before = signal.getsignal(signal.SIGINT)

    def own(number, frame):
        raise AssertionError

    class Install(Callback):
        def on_train_end(self, net, **kwargs):
            signal.signal(signal.SIGINT, own)

    try:
        make(max_epochs=1, callbacks=[Install()]).fit(*toy)
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_that_ctrl_c_brings_about_is_an_interrupt(toy, make):
    """As where it ends the workers of a loader."""

    class Fails(Callback):
        def on_epoch_end(self, net, **kwargs):
            try:
                press_ctrl_c()
            except KeyboardInterrupt:
                raise RuntimeError("DataLoader worker exited") from None

    with pytest.raises(KeyboardInterrupt) as caught:
        make(callbacks=[Fails()]).fit(*toy)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_fit_in_a_thread_leaves_signals_alone(toy, make):
    before = signal.getsignal(signal.SIGINT)
    seen, fitted = [], []

    class Look(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(signal.getsignal(signal.SIGINT))

    clf = make(max_epochs=1, callbacks=[Look()])
    thread = threading.Thread(target=lambda: fitted.append(clf.fit(*toy)))
    thread.start()
    thread.join()
    assert seen == [before]
    assert fitted
