"""Callbacks of scikit-learn, where it has them, on the classifier and around it."""

import pickle
import threading

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from skdam import DivergenceError

pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")
from sklearn.callback import ScoringMonitor


class Watch:
    """A callback that keeps what it is told, at the end of each epoch with a ready classifier."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.told = []
        self.ready = []
        self.sizes = {}

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.told.append(f"begin {context.task_name}")
        self.sizes[context.task_name] = context.max_subtasks

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.told.append(f"end {context.task_name}")
        self.ready.append(fitted_estimator)
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


class Propagated(Watch):
    """One that a search hands on to its classifiers."""

    max_propagation_depth = 1


class Interrupt(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


def weights(clf):
    return clf.net_.module_.state_dict()


def assert_same_model(clf, other, X):
    np.testing.assert_array_equal(clf.decision_function(X), other.decision_function(X))
    assert weights(clf).keys() == weights(other).keys()
    assert all(torch.equal(weights(clf)[name], weights(other)[name]) for name in weights(clf))


def test_the_fit_and_each_epoch_are_tasks(toy, make):
    watch = Watch()
    make().set_callbacks(watch).fit(*toy)
    epochs = ["begin epoch", "end epoch"] * 3
    assert watch.told == ["setup", "begin fit", *epochs, "end fit", "teardown"]
    assert watch.sizes == {"fit": 3, "epoch": 0}


@pytest.mark.parametrize("cross_fit", [True, False])
def test_a_ready_classifier_is_what_a_fit_would_be_that_stopped_there(toy, make, cross_fit):
    watch = Watch()
    make(cross_fit=cross_fit).set_callbacks(watch).fit(*toy)
    stopped = make(cross_fit=cross_fit, callbacks=[Interrupt()]).fit(*toy)
    assert_same_model(watch.ready[1], stopped, toy[0])
    assert watch.ready[1].n_iter_ == 2
    assert watch.ready[1].offset_ == stopped.offset_


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}, {"strategy": "two-stage"}])
def test_callbacks_do_not_change_the_model(toy, make, parameters):
    alone = make(**parameters, max_epochs=6).fit(*toy)
    watched = make(**parameters, max_epochs=6).set_callbacks(Watch()).fit(*toy)
    assert_same_model(watched, alone, toy[0])
    assert watched.history_.keys() == alone.history_.keys()
    assert vars(watched).keys() - vars(alone).keys() == {"_skl_callbacks"}
    assert dict(watched.net_.callbacks_).keys() == dict(alone.net_.callbacks_).keys()


def test_a_callback_may_end_training(toy, make):
    clf = make(max_epochs=50).set_callbacks(Watch(stop_after=2)).fit(*toy)
    assert_same_model(clf, make(max_epochs=50, callbacks=[Interrupt()]).fit(*toy), toy[0])


@pytest.mark.parametrize(("lr", "error"), [(1e38, DivergenceError), (-1, ValueError)])
def test_after_a_fit_that_fails_callbacks_are_torn_down(toy, make, lr, error):
    watch = Watch()
    clf = make().fit(*toy).set_callbacks(watch)
    scores = clf.decision_function(toy[0])
    before = dict(vars(clf))
    clf.set_params(lr=lr, clip_value=1e30)
    with pytest.raises(error):
        clf.fit(*toy)
    assert watch.told[0] == "setup"
    assert watch.told[-1] == "teardown"
    assert "end fit" not in watch.told
    assert vars(clf).keys() == before.keys()
    np.testing.assert_array_equal(clf.decision_function(toy[0]), scores)


def test_scores_of_the_training_data_are_monitored(toy, make):
    X, y = toy
    weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    monitor = ScoringMonitor(scoring="roc_auc")
    clf = make().set_callbacks(monitor).fit(X, y, weight)
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit", "epoch", "epoch", "epoch"]
    expected = roc_auc_score(y, clf.decision_function(X), sample_weight=weight)
    assert rows[0]["roc_auc"] == rows[-1]["roc_auc"] == pytest.approx(expected)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_in_a_search_over_a_pipeline(toy, make, n_jobs):
    monitor, bars = ScoringMonitor(scoring="roc_auc"), Propagated()
    clf = make(max_epochs=2).set_callbacks(monitor)
    pipeline = make_pipeline(StandardScaler(), clf)
    search = GridSearchCV(
        pipeline,
        {"compositionalaucclassifier__lr": [1e-3, 1e-2]},
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
    )
    if n_jobs is None:
        search.set_callbacks(bars)
    search.fit(*toy)
    rows = monitor.get_logs().data
    names = [row["task_name"] for row in rows if row["estimator_name"] == type(clf).__name__]
    # four fits of a fold and the last one
    assert (names.count("epoch"), names.count("fit")) == (10, 5)
    assert all(0.5 < row["roc_auc"] <= 1 for row in rows)
    if n_jobs is None:
        assert bars.told.count("setup") == bars.told.count("teardown") == 1
        assert bars.told.count("begin fit") == bars.told.count("end fit") > 0


def test_on_the_search_alone(toy, make):
    watch = Propagated()
    search = GridSearchCV(make(max_epochs=2), {"lr": [1e-3, 1e-2]}, cv=2).set_callbacks(watch)
    search.fit(*toy)
    assert watch.told.count("begin epoch") == watch.told.count("end epoch") == 10
    assert watch.told.count("setup") == 1
    assert not hasattr(search.best_estimator_, "_parent_callback_ctx")


def test_callbacks_of_skorch_may_hold_what_cannot_be_copied(toy, make):
    class Locked(Callback):
        def __init__(self, lock):
            self.lock = lock

    watch = Watch()
    clf = make(callbacks=[Locked(threading.Lock())]).set_callbacks(watch).fit(*toy)
    assert_same_model(watch.ready[-1], clf, toy[0])


def test_a_bar_for_the_epochs(toy, make, capsys):
    pytest.importorskip("rich", reason="the progress bars of scikit-learn need rich")
    from sklearn.callback import ProgressBar

    make().set_callbacks(ProgressBar()).fit(*toy)
    assert "CompositionalAUCClassifier - fit" in capsys.readouterr().out


def test_clones_share_callbacks_and_pickles_keep_them(toy, make):
    monitor = ScoringMonitor(scoring="roc_auc")
    clf = clone(make().set_callbacks(monitor)).fit(*toy)
    assert len(monitor.get_logs().data) == 4
    assert_same_model(pickle.loads(pickle.dumps(clf)), clf, toy[0])


def test_a_copy_made_in_training_can_be_saved(toy, make):
    watch = Watch()
    make().set_callbacks(watch).fit(*toy)
    watch.ready[0].set_callbacks()
    loaded = pickle.loads(pickle.dumps(watch.ready[0]))
    np.testing.assert_array_equal(
        loaded.decision_function(toy[0]), watch.ready[0].decision_function(toy[0])
    )
