"""Validation data that the user gives to fit."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import UserDataset
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, Checkpoint
from torch.utils.data import TensorDataset

from skdam.data.examples import labels_of


@pytest.fixture
def parts(toy):
    """Training and validation data: every third row is for validation."""
    X, y = toy
    third = np.arange(len(y)) % 3 == 0
    return X[~third], y[~third], X[third], y[third]


@pytest.fixture
def fit(parts, make):
    """Fit to the parts, with the validation data unless told otherwise.

    There is no kernel machine: it joins after training, and has no part in validation scores.
    """

    def fitted(changes=None, **parameters):
        X, y, X_val, y_val = parts
        parameters = {"module__n_landmarks": 0} | parameters
        given = {"X_val": X_val, "y_val": y_val} | (changes or {})
        return make(**parameters).fit(X, y, **given)

    return fitted


def test_validation_data_stops_training_and_the_best_weights_are_kept(parts, fit):
    clf = fit(max_epochs=100, batch_size=5, n_iter_no_change=3, lr=0.3)
    aucs = clf.history_["valid_roc_auc"]
    assert clf.n_iter_ == len(aucs) < 100
    assert clf.best_score_ == aucs.max() == clf.score(*parts[2:])
    assert np.isfinite(clf.history_["valid_loss"]).all()


@pytest.mark.parametrize("early_stopping", ["auto", True])
def test_all_of_the_training_data_is_trained_on(parts, fit, early_stopping):
    sizes = []

    class Look(Callback):
        def on_train_begin(self, net, X, y, **kwargs):
            sizes.extend([len(y), len(labels_of(net.train_split(None)[1]))])

    clf = fit(early_stopping=early_stopping, callbacks=[Look()])
    assert sizes == [len(parts[1]), len(parts[3])]
    assert 0 <= clf.best_score_ <= 1


def test_without_early_stopping_validation_data_is_only_watched(parts, fit):
    clf = fit(early_stopping=False, max_epochs=4, n_iter_no_change=1, tol=1.0)
    plain = fit({"X_val": None, "y_val": None}, max_epochs=4, early_stopping=False)
    for name in ("valid_loss", "valid_roc_auc"):
        assert np.isfinite(clf.history_[name]).tolist() == [True] * 4
        assert name not in plain.history_
    assert clf.history_["valid_roc_auc"][-1] == pytest.approx(clf.score(*parts[2:]))
    assert not hasattr(clf, "best_score_")
    np.testing.assert_array_equal(
        clf.decision_function(parts[2]), plain.decision_function(parts[2])
    )


def test_without_validation_data_and_folds_auto_trains_for_all_epochs(toy, make):
    parameters = {"max_epochs": 40, "cross_fit": False, "tol": 1.0, "n_iter_no_change": 1}
    scores = []
    for choice in ("auto", False):
        clf = make(early_stopping=choice, **parameters).fit(*toy)
        assert clf.n_iter_ == 40
        assert not hasattr(clf, "best_score_")
        scores.append(clf.decision_function(toy[0]))
    np.testing.assert_array_equal(*scores)


def test_validation_data_stops_training_rather_than_the_out_of_bag_scores(fit):
    clf = fit(max_epochs=200, tol=1.0, n_iter_no_change=2)
    assert clf.n_iter_ == 3 * 13  # two batches an epoch: every 13th is checked
    assert clf.best_score_ == np.nanmax(clf.history_["valid_roc_auc"])
    assert "oob_roc_auc" not in clf.history_
    assert 0 <= clf.oob_score_ <= 1


def test_the_validation_score_is_that_of_the_perceptrons_alone(parts, fit):
    X_val, y_val = parts[2:]
    clf = fit(early_stopping=False, module__n_landmarks=100)
    module = clf.net_.module_
    with torch.no_grad():
        scores = module.vote(module(torch.from_numpy(X_val)))
    assert clf.history_["valid_roc_auc"][-1] == pytest.approx(roc_auc_score(y_val, scores))


def test_short_epochs_are_checked_every_25_batches(fit):
    clf = fit(max_epochs=12, batch_size=25)  # 6 batches an epoch
    checked = 1 + np.flatnonzero(np.isfinite(clf.history_["valid_roc_auc"]))
    assert checked.tolist() == [5, 10, 12]


def test_a_checkpoint_reads_the_scores_of_short_epochs(fit, tmp_path):
    checkpoint = Checkpoint(monitor="valid_loss_best", dirname=str(tmp_path))
    fit(max_epochs=4, callbacks=[checkpoint])
    assert (tmp_path / "params.pt").exists()


@pytest.mark.parametrize("kind", ["list", "tensor", "frame", "pairs", "labels apart"])
def test_validation_data_is_read_as_at_predict(parts, fit, kind):
    X_val, y_val = parts[2:]
    expected = fit(early_stopping=False).history_["valid_roc_auc"]
    changes = {
        "list": {"X_val": X_val.tolist(), "y_val": y_val.tolist()},
        "tensor": {"X_val": torch.from_numpy(X_val), "y_val": torch.from_numpy(y_val)},
        "frame": {"X_val": pd.DataFrame(X_val), "y_val": pd.Series(y_val)},
        "pairs": {"X_val": UserDataset(X_val, y_val), "y_val": None},
        "labels apart": {"X_val": UserDataset(X_val)},
    }[kind]
    clf = fit(changes, early_stopping=False)
    np.testing.assert_array_equal(clf.history_["valid_roc_auc"], expected)


def test_a_dataset_is_validated_on_a_dataset_with_other_labels(parts, make):
    X, y, X_val, y_val = parts
    names = np.array(["fine", "fault"])
    clf = make().fit(
        UserDataset(X, names[y.astype(int)]), X_val=UserDataset(X_val, names[y_val.astype(int)])
    )
    assert clf.best_score_ == clf.score(X_val, names[y_val.astype(int)])


def test_weights_of_the_validation_data_weigh_its_score(parts, fit):
    X_val, y_val = parts[2:]
    weights = np.linspace(1, 50, len(y_val))
    clf = fit({"sample_weight_val": weights})
    expected = roc_auc_score(y_val, clf.decision_function(X_val), sample_weight=weights)
    assert clf.best_score_ == pytest.approx(expected)
    assert clf.best_score_ != fit().best_score_


@pytest.mark.parametrize("kind", ["array", "dataset"])
@pytest.mark.parametrize("weight", [1.0, None], ids=["equal", "unequal"])
def test_a_validation_example_without_weight_is_absent(parts, fit, kind, weight):
    X_val, y_val = parts[2:]
    of_present = np.linspace(1, 50, len(y_val)) if weight is None else np.full(len(y_val), weight)
    weights = np.where(np.arange(len(y_val)) % 4 == 0, 0.0, of_present)
    present = weights > 0

    def history(X, y, weights):
        if kind == "dataset":
            X = TensorDataset(torch.from_numpy(X))
        given = {"X_val": X, "y_val": y, "sample_weight_val": weights}
        return fit(given, early_stopping=False).history_

    seen, expected = (
        history(X_val, y_val, weights),
        history(X_val[present], y_val[present], weights[present]),
    )
    for name in ("valid_loss", "valid_roc_auc"):
        np.testing.assert_allclose(seen[name], expected[name], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: {"y_val": None}, "X_val is given without y_val"),
        (lambda X, y: {"X_val": None}, "y_val is given without X_val"),
        (lambda X, y: {"X_val": (X, y), "y_val": None}, "X_val is a pair; pass its two parts"),
        (lambda X, y: {"X_val": 0.2}, "validation data.*X must be an array.*got float"),
        (
            lambda X, y: {"X_val": None, "y_val": None, "sample_weight_val": np.ones(len(y))},
            "sample_weight_val is given without X_val",
        ),
        (lambda X, y: {"X_val": X[:, :3]}, "validation data, X_val and y_val: X has 3 features"),
        (lambda X, y: {"X_val": np.full_like(X, np.inf)}, "validation data.*infinity"),
        (lambda X, y: {"X_val": UserDataset(X[:, :3], y)}, "validation data.*as in fit"),
        (lambda X, y: {"X_val": UserDataset(X), "y_val": None}, r"must yield pairs \(x, y\)"),
        (lambda X, y: {"y_val": y[:-1]}, "validation data.*inconsistent numbers"),
        (
            lambda X, y: {"y_val": y + 1},
            r"validation data.*holds unknown labels \[2.0\]; the classes are \[0.0",
        ),
        (lambda X, y: {"y_val": 0 * y}, "validation data.*two classes"),
        (lambda X, y: {"y_val": np.where(y, np.nan, y)}, "validation data.*NaN"),
        (lambda X, y: {"sample_weight_val": -y}, "validation data.*sample_weight"),
        (lambda X, y: {"sample_weight_val": np.ones(3)}, "validation data.*sample_weight"),
        (lambda X, y: {"sample_weight_val": 1 - y}, "validation data.*two classes"),
    ],
)
def test_unusable_validation_data_is_refused_before_training(parts, make, change, message):
    X, y, X_val, y_val = parts
    clf = make().fit(X, y)
    before = dict(vars(clf))
    given = {"X_val": X_val, "y_val": y_val} | change(X_val, y_val)
    for estimator in (clf, clone(clf)):
        with pytest.raises((ValueError, TypeError), match=message):
            estimator.fit(X, y, **given)
    assert vars(clf) == before


def test_gaps_in_validation_data_are_for_modules_that_take_them(parts, make):
    X, y, X_val, y_val = parts
    gaps = np.where(X_val < -1, np.nan, X_val)
    assert 0 <= make().fit(X, y, X_val=gaps, y_val=y_val).best_score_ <= 1
    with pytest.raises(ValueError, match=r"validation data.*NaN"):
        make(module=torch.nn.Linear(4, 1)).fit(X, y, X_val=gaps, y_val=y_val)


def test_a_warm_start_keeps_to_the_classes_of_the_first_fit(parts, make):
    X, y, X_val, y_val = parts
    clf = make(warm_start=True).fit(X, y, X_val=X_val, y_val=y_val)
    clf.fit(X, y, X_val=X_val, y_val=y_val)
    assert clf.n_iter_ == 6
    with pytest.raises(ValueError, match="the classes are"):
        clf.fit(X, y, X_val=X_val, y_val=y_val + 1)


def test_validation_data_leaves_the_generators_alone(parts, make, untouched_generators):
    X, y, X_val, y_val = parts
    with untouched_generators():
        make(random_state=None).fit(X, y, X_val=UserDataset(X_val, y_val))


class Sizes(Callback):
    """Notes how many examples are for training and for validation."""

    seen: ClassVar[list] = []

    def on_train_begin(self, net, X, y, **kwargs):
        self.seen.append((len(y), len(labels_of(net.train_split(None)[1]))))


def test_a_search_cuts_validation_data_that_is_as_long_as_x(toy, make):
    X, y = toy
    Sizes.seen.clear()
    search = GridSearchCV(make(max_epochs=1, callbacks=[Sizes()]), {"lr": [0.1]}, cv=2)
    search.fit(X, y, X_val=X, y_val=y)  # the last fit is to all of X
    search.fit(X, y, X_val=X[:60], y_val=y[:60])
    assert Sizes.seen == [(100, 100), (100, 100), (200, 200), (100, 60), (100, 60), (200, 60)]


def test_validation_data_is_routed_as_metadata(toy, make):
    X, y = toy
    weights = np.arange(60.0)
    given = {"X_val": X[:60], "y_val": y[:60], "sample_weight_val": weights}
    with config_context(enable_metadata_routing=True):
        clf = make(max_epochs=1, module__n_landmarks=0)
        clf.set_fit_request(**dict.fromkeys(given, True))
        results = cross_validate(clf, X, y, cv=2, params=given, return_estimator=True)
    for fitted in results["estimator"]:
        expected = roc_auc_score(y[:60], fitted.decision_function(X[:60]), sample_weight=weights)
        assert fitted.history_["valid_roc_auc"] == pytest.approx([expected])


def test_a_pipeline_can_transform_validation_data(parts, make):
    X, y, X_val, y_val = parts
    with config_context(enable_metadata_routing=True):
        clf = make(module__n_landmarks=0).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), clf, transform_input=["X_val"])
        pipeline.fit(X, y, X_val=X_val, y_val=y_val)
        assert pipeline[-1].best_score_ == pipeline.score(X_val, y_val)
