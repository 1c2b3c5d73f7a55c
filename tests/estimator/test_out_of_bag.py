"""Cross-fitting: out-of-bag scores, what stops by them, and what is calibrated on them."""

import copy
import io
import pickle
from typing import ClassVar

import joblib
import numpy as np
import pytest
import skops.io
import torch
from helpers import UserDataset
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_validate
from skorch.callbacks import Callback
from torch import nn

from skdam import DivergenceError, TabularMLP
from skdam._targets import folds_of

OUT_OF_BAG = ("oob_decision_function_", "oob_score_")


class Look(Callback):
    """Keeps the data that the net is trained on."""

    seen: ClassVar[list] = []

    def on_train_begin(self, net, X, y, **kwargs):
        self.seen.append(X)


def folds_in(clf, *args, **kwargs):
    """Return the folds of the rows with which a classifier is trained."""
    Look.seen.clear()
    clone(clf).set_params(callbacks=[Look()], max_epochs=1).fit(*args, **kwargs)
    folds = folds_of(Look.seen[-1].y)
    return None if folds is None else folds.numpy()


def has_out_of_bag(clf):
    present = {hasattr(clf, name) for name in OUT_OF_BAG}
    assert len(present) == 1
    return present.pop()


@pytest.fixture(scope="module")
def overlapping():
    """Training and test data of 12 % positives, which overlap."""
    X, y = make_classification(
        3000, n_features=8, n_informative=5, weights=[0.9], flip_y=0.04, random_state=0
    )
    X = X.astype(np.float32)
    return X[:1000], X[1000:], y[:1000], y[1000:]


@pytest.fixture(scope="module")
def trained(overlapping, make):
    """A classifier as it comes, apart from its seed."""
    return make(max_epochs="auto").fit(overlapping[0], overlapping[2])


def logit(p):
    return np.log(p) - np.log1p(-p)


# --- scores


def test_the_score_out_of_bag_is_that_of_new_data(overlapping, trained):
    _, X_test, y, y_test = overlapping
    assert trained.oob_decision_function_.shape == y.shape
    assert trained.oob_decision_function_.dtype == np.float64
    assert trained.oob_score_ == pytest.approx(roc_auc_score(y, trained.oob_decision_function_))
    assert abs(trained.oob_score_ - trained.score(X_test, y_test)) < 0.05
    # scores of rows that were trained on are better than those of new ones
    assert trained.score(overlapping[0], y) > trained.oob_score_ + 0.02


def test_scores_out_of_bag_of_noise_are_those_of_chance(make):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1000, 5)).astype(np.float32), rng.permutation(np.arange(1000) % 5 == 0)
    clf = make(max_epochs=30).fit(X, y)
    assert abs(clf.oob_score_ - 0.5) < 0.06
    assert clf.score(X, y) > 0.6
    # and the probabilities are close to the rate
    assert np.abs(clf.predict_proba(X)[:, 1] - 0.2).mean() < 0.1


def test_the_same_seed_gives_the_same_scores_out_of_bag(toy, make):
    first, second = (make().fit(*toy) for _ in range(2))
    np.testing.assert_array_equal(first.oob_decision_function_, second.oob_decision_function_)
    np.testing.assert_array_equal(first.predict_proba(toy[0]), second.predict_proba(toy[0]))
    other = make(random_state=1).fit(*toy)
    assert not np.array_equal(first.oob_decision_function_, other.oob_decision_function_)


def test_scores_out_of_bag_are_weighted(toy, make):
    X, y = toy
    weights = np.linspace(1, 20, len(y))
    clf = make().fit(X, y, sample_weight=weights)
    expected = roc_auc_score(y, clf.oob_decision_function_, sample_weight=weights)
    assert clf.oob_score_ == pytest.approx(expected)
    assert clf.oob_score_ != pytest.approx(roc_auc_score(y, clf.oob_decision_function_))


def test_an_example_without_weight_has_no_score_out_of_bag(toy, make):
    X, y = toy
    weights = np.where(np.arange(len(y)) % 5 == 0, 0.0, 1.0)
    clf = make().fit(X, y, sample_weight=weights)
    expected = make().fit(X[weights > 0], y[weights > 0])
    np.testing.assert_array_equal(clf.oob_decision_function_, expected.oob_decision_function_)
    assert len(clf.oob_decision_function_) == 160


def test_the_part_set_aside_for_validation_has_no_score_out_of_bag(toy, make):
    clf = make(early_stopping=True, validation_fraction=0.2).fit(*toy)
    assert clf.oob_decision_function_.shape == (160,)
    assert 0 <= clf.oob_score_ <= 1


WITHOUT = {
    "cross_fit=False": ({"cross_fit": False}, lambda X, y: (X, y)),
    "one member": ({"n_members": 1}, lambda X, y: (X, y)),
    "one positive": ({}, lambda X, y: (X, np.arange(len(y)) == 3)),
    "equal positives": ({}, lambda X, y: (np.where(y[:, None] == 1, X[:1], X), y)),
    "dataset": ({}, lambda X, y: (UserDataset(X, y),)),
    "own module": ({"module": nn.Linear(4, 1)}, lambda X, y: (X, y)),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_without_cross_fitting_there_are_no_scores_out_of_bag(toy, make, case):
    parameters, change = WITHOUT[case]
    clf = make().fit(*toy)
    assert has_out_of_bag(clf)
    clf.set_params(**parameters).fit(*change(*toy))
    assert not has_out_of_bag(clf)
    assert "oob_roc_auc" not in clf.history_
    assert not hasattr(clf, "best_score_")
    assert clf.predict_proba(toy[0]).shape == (200, 2)


def test_partial_fit_is_without_scores_out_of_bag(toy, make):
    clf = make().fit(*toy)
    assert not has_out_of_bag(clf.partial_fit(*toy))
    assert not has_out_of_bag(make().partial_fit(*toy))


@pytest.mark.parametrize("n_positive", [2, 3, 5])
def test_few_positives_are_enough(toy, make, n_positive):
    X, y = toy
    rows = np.r_[np.flatnonzero(y == 1)[:n_positive], np.flatnonzero(y == 0)]
    clf = make(max_epochs=20).fit(X[rows], y[rows])
    assert not hasattr(clf, "best_score_")  # they tell too little to stop by
    assert 0 <= clf.oob_score_ <= 1
    assert np.isfinite(clf.oob_decision_function_).all()
    assert 0 < clf.predict_proba(X)[:, 1].mean() < 0.3
    assert clf.score(X, y) > 0.5


# --- folds and groups


def test_equal_rows_share_a_fold_and_folds_hold_both_classes(toy, make):
    X, y = (np.concatenate([part, part[::-1]]) for part in toy)
    folds = folds_in(make(), X, y)
    np.testing.assert_array_equal(folds[:200], folds[200:][::-1])
    counts = np.array([np.bincount(folds[y == label], minlength=8) for label in (0, 1)])
    assert (np.ptp(counts, axis=1) <= 2).all()


def test_duplicates_do_not_tell_of_each_other(make):
    """Labels are noise: only who has seen the twin of a row can know its label."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 5)).astype(np.float32), rng.permutation(np.arange(300) % 4 == 0)
    encoding = {"module__encoding": "piecewise-linear"}  # with it a perceptron learns noise
    clf = make(max_epochs=60, lr=5e-3, early_stopping=False, **encoding)
    clf.fit(np.tile(X, (3, 1)), np.tile(y, 3))
    assert clf.score(X, y) > 0.75
    assert abs(clf.oob_score_ - 0.5) < 0.12


def test_the_order_of_the_rows_does_not_matter_to_folds_and_little_to_scores(toy, make):
    X, y = toy
    order = np.random.default_rng(0).permutation(len(y))
    np.testing.assert_array_equal(
        folds_in(make(), X, y)[order], folds_in(make(), X[order], y[order])
    )
    scores = [
        make(max_epochs=30).fit(X[rows], y[rows]).decision_function(X)
        for rows in (np.arange(len(y)), order)
    ]
    assert np.corrcoef(*scores)[0, 1] > 0.97


def test_rows_of_a_group_share_a_fold(toy, make):
    X, y = toy
    groups = np.array([f"patient {number}" for number in np.arange(200) // 4])
    folds = folds_in(make(), X, y, groups=groups)
    assert len(set(zip(groups, folds, strict=True))) == 50
    assert len(set(zip(groups, folds_in(make(), X, y), strict=True))) > 50
    weights = np.where(np.arange(200) % 4 == 0, 0.0, 1.0)
    some = folds_in(make(), X, y, weights, groups=groups)
    assert len(some) == 150
    assert len(set(zip(groups[weights > 0], some, strict=True))) == 50


def test_groups_keep_scores_out_of_bag_honest(make):
    """Rows of a group are alike, and their label says nothing of other groups."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 6)
    X = (rng.normal(size=(100, 5))[groups] + 0.01 * rng.normal(size=(600, 5))).astype(np.float32)
    y = (rng.permutation(100) < 30)[groups]
    clf = make(max_epochs=40, early_stopping=False)
    assert clone(clf).fit(X, y).oob_score_ > 0.8
    assert abs(clone(clf).fit(X, y, groups=groups).oob_score_ - 0.5) < 0.15


@pytest.mark.parametrize(
    "parameters",
    [{"module": nn.Linear(4, 1)}, {"cross_fit": False}, {"n_members": 1}],
    ids=str,
)
def test_groups_without_cross_fitting_are_refused(toy, make, parameters):
    with pytest.raises(ValueError, match="groups are for the folds of cross-fitting"):
        make(**parameters).fit(*toy, groups=np.arange(200))


def test_groups_that_leave_a_member_without_a_class_are_refused(toy, make):
    X, y = toy
    with pytest.raises(ValueError, match="two groups or more with examples of each class"):
        make().fit(X, y, groups=np.where(y == 1, -1, np.arange(200)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda groups: np.where(groups == 3, np.nan, groups), "groups contains NaN.*first in row"),
        (lambda groups: [None, *groups[1:]], "groups contains NaN.*in 1 rows, the first in row 0"),
        (lambda groups: ["a", *groups[1:].tolist()], "groups holds numbers and strings"),
        (lambda groups: np.c_[groups, groups], r"groups must have shape \(200,\).*\(200, 2\)"),
        (lambda groups: "hospital", r"groups must have shape \(200,\).*\(\)"),
    ],
)
def test_what_are_no_groups_is_said_to_be_about_them(toy, make, spoil, message):
    with pytest.raises(ValueError, match=message):
        make().fit(*toy, groups=spoil(np.arange(200) // 2))


def test_groups_of_a_dataset_are_refused(toy, make):
    with pytest.raises(ValueError, match="groups are for the folds of cross-fitting"):
        make().fit(UserDataset(*toy), groups=np.arange(200))


@pytest.mark.parametrize("n_weights", [None, 200])
def test_groups_must_be_as_many_as_rows(toy, make, n_weights):
    weights = None if n_weights is None else np.arange(n_weights) % 2
    for n_groups in (199, 201):
        with pytest.raises(ValueError, match=rf"groups must have shape .*got \({n_groups},\)"):
            make().fit(*toy, weights, groups=np.arange(n_groups))


def test_groups_are_routed_as_metadata(toy, make):
    X, y = toy
    groups = np.arange(200) // 4
    with config_context(enable_metadata_routing=True):
        clf = make(max_epochs=1, callbacks=[Look()]).set_fit_request(groups=True)
        assert clf.get_metadata_routing().fit.requests["groups"] is True
        Look.seen.clear()
        cross_validate(clf, X, y, cv=GroupKFold(2), params={"groups": groups}, error_score="raise")
    for dataset in Look.seen:
        rows = [np.flatnonzero((row == X).all(1))[0] for row in dataset.X.numpy()]
        assert len(rows) == 100
        assert len(set(zip(groups[rows], folds_of(dataset.y).tolist(), strict=True))) == 25


# --- calibration and class weights


def test_probabilities_are_calibrated_out_of_bag(overlapping, make):
    X, X_test, y, y_test = overlapping
    by_kind = {
        kind: make(max_epochs=15, calibration=kind).fit(X, y)
        for kind in ("auto", "sigmoid", "isotonic", None)
    }
    auc = {kind: clf.score(X_test, y_test) for kind, clf in by_kind.items()}
    assert len(set(auc.values())) == 1
    mean = {kind: clf.predict_proba(X_test)[:, 1].mean() for kind, clf in by_kind.items()}
    for kind in ("auto", "sigmoid", "isotonic"):
        assert mean[kind] == pytest.approx(y_test.mean(), abs=0.02)
    out_of_bag = by_kind["sigmoid"].oob_decision_function_
    assert (1 / (1 + np.exp(-out_of_bag))).mean() == pytest.approx(y.mean(), abs=0.002)
    np.testing.assert_array_equal(
        by_kind["auto"].predict_proba(X_test), by_kind["sigmoid"].predict_proba(X_test)
    )
    for kind in ("isotonic", None):
        difference = by_kind[kind].predict_proba(X_test) - by_kind["auto"].predict_proba(X_test)
        assert np.abs(difference).max() > 0.01


@pytest.mark.parametrize("calibration", ["auto", "isotonic", None])
def test_a_label_is_positive_where_its_probability_is_above_one_half(
    overlapping, make, calibration
):
    X, X_test, y, _ = overlapping
    clf = make(calibration=calibration).fit(X, y)
    probabilities = clf.predict_proba(X_test)[:, 1]
    np.testing.assert_array_equal(clf.predict(X_test) == 1, probabilities > 0.5)
    np.testing.assert_allclose(logit(probabilities), clf.decision_function(X_test), rtol=1e-6)
    logits = clf.net_.decision_function(X_test)
    np.testing.assert_array_equal(logits > clf.offset_, probabilities > 0.5)


@pytest.mark.parametrize("sampling_rate", [0.1, 0.8, "auto"])
def test_the_share_of_positives_in_batches_does_not_move_the_probabilities(
    overlapping, make, sampling_rate
):
    X, X_test, y, y_test = overlapping
    clf = make(max_epochs=10, sampling_rate=sampling_rate).fit(X, y)
    assert clf.predict_proba(X_test)[:, 1].mean() == pytest.approx(y_test.mean(), abs=0.03)


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
@pytest.mark.parametrize(
    "parameters",
    [{"module": nn.Linear(4, 1)}, {"cross_fit": False}, {"n_members": 1}],
    ids=str,
)
def test_calibration_without_out_of_bag_scores_is_refused_before_training(
    toy, make, assert_refused, calibration, parameters
):
    clf = make(calibration=calibration, **parameters)
    assert_refused(clf, toy, f"calibration='{calibration}' needs out-of-bag scores", toy)


def test_without_scores_out_of_bag_the_prior_is_put_right(overlapping, make):
    X, X_test, y, _ = overlapping
    parameters = {"strategy": "cross-entropy", "cross_fit": False}
    for sampling_rate in (0.3, 0.5):
        clf = make(max_epochs=10, sampling_rate=sampling_rate, **parameters).fit(X, y)
        assert clf.predict_proba(X_test)[:, 1].mean() == pytest.approx(y.mean(), abs=0.04)


def test_class_weights_move_probabilities_and_labels_but_not_the_ranking(overlapping, make):
    X, X_test, y, y_test = overlapping
    rate = y.mean()
    weighted = {
        name: make(max_epochs=10, class_weight=weight).fit(X, y)
        for name, weight in {
            "none": None,
            "balanced": "balanced",
            "the same": {0: 1 / (1 - rate), 1: 1 / rate},
            "one": {1: 5.0},
        }.items()
    }
    plain = weighted["none"].decision_function(X_test)
    n_positive = {name: clf.predict(X_test).sum() for name, clf in weighted.items()}
    assert n_positive["none"] < n_positive["one"] < n_positive["balanced"]
    for name, odds in {
        "balanced": -logit(rate),
        "the same": -logit(rate),
        "one": np.log(5),
    }.items():
        scores = weighted[name].decision_function(X_test)
        np.testing.assert_allclose(scores - plain, odds, rtol=1e-5)
        assert weighted[name].score(X_test, y_test) == weighted["none"].score(X_test, y_test)
        assert weighted[name].oob_score_ == weighted["none"].oob_score_
        for key, value in weighted[name].net_.module_.state_dict().items():
            assert torch.equal(value, weighted["none"].net_.module_.state_dict()[key])


def test_class_weights_are_by_label_and_for_any_module(toy, make):
    X, y = toy
    names = np.where(y == 1, "fault", "sound")
    for parameters in ({}, {"module": nn.Linear(4, 1)}, {"calibration": "isotonic"}):
        clf = make(**parameters).fit(X, names)
        more = make(class_weight={"fault": 3.0}, **parameters).fit(X, names)
        moved = clf.decision_function(X) - more.decision_function(X)
        np.testing.assert_allclose(moved, np.log(3), rtol=1e-4)


def test_balanced_class_weights_count_weights_of_examples(toy, make):
    X, y = toy
    weights = np.where(y == 1, 2.0, 1.0)
    clf = make().fit(X, y, sample_weight=weights)
    balanced = make(class_weight="balanced").fit(X, y, sample_weight=weights)
    moved = balanced.decision_function(X) - clf.decision_function(X)
    np.testing.assert_allclose(moved, np.log(170 / 60), rtol=1e-4)


def test_swapped_labels_mirror_the_model(overlapping, make):
    X, X_test, y, y_test = overlapping
    clf, mirrored = (make(max_epochs=15).fit(X, labels) for labels in (y, 1 - y))
    scores = [clf.decision_function(X_test), -mirrored.decision_function(X_test)]
    assert np.corrcoef(*scores)[0, 1] > 0.95
    assert mirrored.score(X_test, 1 - y_test) == pytest.approx(clf.score(X_test, y_test), abs=0.02)
    means = [m.predict_proba(X_test)[:, c].mean() for m, c in ((clf, 1), (mirrored, 0))]
    assert means[0] == pytest.approx(means[1], abs=0.02)


# --- early stopping


def test_training_stops_by_the_scores_out_of_bag_and_keeps_the_best_weights(overlapping, make):
    X, _, y, _ = overlapping
    parameters = {"lr": 0.02, "module__n_landmarks": 0}
    clf = make(max_epochs=200, **parameters).fit(X, y)
    aucs = clf.history_["oob_roc_auc"]
    assert clf.n_iter_ == len(aucs) < 200
    values = aucs[np.isfinite(aucs)]
    means = [np.mean(values[max(i - 2, 0) : i + 1]) for i in range(len(values))]
    assert clf.best_score_ == pytest.approx(max(means))
    best = np.flatnonzero(np.isfinite(aucs))[int(np.argmax(means))]
    short = make(max_epochs=int(best) + 1, early_stopping=False, **parameters).fit(X, y)
    np.testing.assert_array_equal(short.decision_function(X), clf.decision_function(X))
    assert clf.oob_score_ == pytest.approx(aucs[best], abs=1e-4)


def test_n_iter_no_change_counts_checks_without_an_improvement_of_tol(toy, make):
    def n_checks(**parameters):
        # 20 batches an epoch: the first checks come after 2 and 4 epochs
        clf = make(max_epochs=100, batch_size=10, tol=1.0, **parameters).fit(*toy)
        return int(np.isfinite(clf.history_["oob_roc_auc"]).sum())

    assert n_checks() == 1 + 4
    assert n_checks(n_iter_no_change="auto") == 1 + 4
    assert n_checks(n_iter_no_change=1) == 2
    assert n_checks(n_iter_no_change=7) == 8


@pytest.mark.parametrize(
    ("early_stopping", "has_validation", "stops", "watches"),
    [
        ("auto", False, True, "oob_roc_auc"),
        ("auto", True, True, "valid_roc_auc"),
        (True, False, True, "valid_roc_auc"),
        (True, True, True, "valid_roc_auc"),
        (False, False, False, "oob_roc_auc"),
        (False, True, False, "valid_roc_auc"),
    ],
)
def test_what_stops_training(toy, make, early_stopping, has_validation, stops, watches):
    X, y = toy
    given = {"X_val": X[::2], "y_val": y[::2]} if has_validation else {}
    parameters = {"tol": 1.0, "n_iter_no_change": 1, "batch_size": 10, "max_epochs": 12}
    clf = make(early_stopping=early_stopping, **parameters).fit(X, y, **given)
    assert (clf.n_iter_ < 12) == stops == hasattr(clf, "best_score_")
    assert np.isfinite(clf.history_[watches]).any()
    assert {"oob_roc_auc", "valid_roc_auc"} & set(clf.history_) == {watches}
    assert has_out_of_bag(clf)


def test_two_stage_training_does_not_stop_in_its_first_stage(toy, make):
    parameters = {"tol": 1.0, "n_iter_no_change": 1, "batch_size": 10, "max_epochs": 20}
    clf = make(strategy="two-stage", **parameters).fit(*toy)
    assert 10 < clf.n_iter_ < 20
    assert np.isfinite(clf.history_["outer_loss"]).any()


# --- strategies


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"strategy": "two-stage"},
        {"strategy": "auc"},
        {"strategy": "cross-entropy"},
        {"variant": "lookahead"},
        {"variant": "lookahead", "hypergradient": "exact"},
        {"inner_loss": "focal"},
        {"inner_steps": 2},
        {"precision": "bfloat16"},
        {"module__encoding": None},
        {"module": TabularMLP, "module__n_landmarks": 0},
    ],
    ids=str,
)
def test_every_way_to_train_is_cross_fitted(overlapping, make, parameters):
    X, X_test, y, y_test = overlapping
    clf = make(max_epochs=15, **parameters).fit(X, y)
    auc = clf.score(X_test, y_test)
    assert auc > 0.75
    assert clf.oob_score_ == pytest.approx(auc, abs=0.06)
    assert clf.predict_proba(X_test)[:, 1].mean() == pytest.approx(y_test.mean(), abs=0.03)


# --- continuing, saving, failing


def test_a_warm_start_continues_with_the_same_folds(toy, make):
    clf = make(warm_start=True, early_stopping=False).fit(*toy)
    first = clf.oob_decision_function_
    clf.fit(*toy)
    assert clf.n_iter_ == 6
    assert len(clf.history_["oob_roc_auc"]) == 6
    assert np.corrcoef(first, clf.oob_decision_function_)[0, 1] > 0.9
    assert not np.array_equal(first, clf.oob_decision_function_)


def through_pickle(clf):
    return pickle.loads(pickle.dumps(clf))


def with_labels_swapped(X, y):
    """Give a row of each class the label of the other: both are now among other rows."""
    y = y.copy()
    y[[np.flatnonzero(y == 1)[0], np.flatnonzero(y == 0)[0]]] = [0, 1]
    return X, y


OTHER_ROWS = {
    "fewer": lambda X, y: (X[:-1], y[:-1]),
    "more": lambda X, y: (np.r_[X, X[:9] + 1], np.r_[y, y[:9]]),
    "others": lambda X, y: (X + 1, y),
    "labels": with_labels_swapped,
}


@pytest.mark.parametrize("case", OTHER_ROWS)
def test_a_warm_start_on_other_rows_is_not_cross_fitted(toy, make, case):
    clf = make(warm_start=True).fit(*toy)
    X, y = OTHER_ROWS[case](*toy)
    clf.fit(X, y)
    assert clf.n_iter_ == 6
    assert not has_out_of_bag(clf)
    assert not hasattr(clf, "best_score_")
    assert np.isnan(clf.history_["oob_roc_auc"][3:]).all()
    assert np.isfinite(clf.predict_proba(X)).all()
    # nor is one after that: members have seen all rows
    assert not has_out_of_bag(clf.fit(X, y))
    assert not has_out_of_bag(clf.fit(*toy))
    assert has_out_of_bag(clf.set_params(warm_start=False).fit(X, y))
    assert has_out_of_bag(clf.set_params(warm_start=True).fit(X, y))


@pytest.mark.parametrize("through", [copy.deepcopy, through_pickle], ids=["copy", "pickle"])
def test_a_warm_start_on_the_same_rows_in_another_order_is_cross_fitted(toy, make, through):
    X, y = toy
    clf = through(make(warm_start=True).fit(X, y))
    order = np.random.default_rng(0).permutation(200)
    clf.fit(X[order], y[order])
    assert has_out_of_bag(clf)
    assert has_out_of_bag(clf.fit(np.tile(X, (2, 1)), np.tile(y, 2)))


@pytest.mark.parametrize("is_cross_fitted", [False, True])
def test_a_warm_start_after_training_without_folds_is_not_cross_fitted(toy, make, is_cross_fitted):
    clf = make(warm_start=True, cross_fit=is_cross_fitted).fit(*toy)
    if is_cross_fitted:
        clf.partial_fit(*toy)
    clf.set_params(cross_fit=True)
    assert not has_out_of_bag(clf.fit(*toy))
    assert not has_out_of_bag(make(warm_start=True).partial_fit(*toy).fit(*toy))


def test_a_warm_start_with_other_groups_is_not_cross_fitted(toy, make):
    groups = np.arange(200) // 4
    clf = make(warm_start=True).fit(*toy, groups=groups)
    assert has_out_of_bag(clf.fit(*toy, groups=groups))
    assert not has_out_of_bag(clf.fit(*toy, groups=groups[::-1] // 2))


def test_the_folds_of_a_warm_start_with_validation_are_honest(toy, make):
    """What is set aside has a fold too, so that it may be another part in each fit."""
    random_state = np.random.RandomState(0)
    clf = make(warm_start=True, early_stopping=True, random_state=random_state).fit(*toy)
    assert has_out_of_bag(clf.fit(*toy))


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("case", [*OTHER_ROWS, "partial_fit"])
def test_calibration_of_a_warm_start_on_other_rows_is_refused_before_training(
    toy, make, calibration, case
):
    clf = make(warm_start=True).fit(*toy)
    data = OTHER_ROWS[case](*toy) if case in OTHER_ROWS else toy
    if case == "partial_fit":
        clf.partial_fit(*toy)
    clf.set_params(calibration=calibration)
    before = vars(clf).copy()
    with pytest.raises(ValueError, match=f"{calibration}.*with warm_start there are some only"):
        clf.fit(*data)
    assert vars(clf) == before
    assert clf.set_params(calibration="auto").fit(*data).n_iter_ == len(clf.history_["lr"])


def test_a_warm_start_that_fails_leaves_the_folds_as_they_were(toy, make):
    clf = make(warm_start=True).fit(*toy)
    with pytest.raises(DivergenceError):
        clf.set_params(lr=1e30).fit(toy[0] + 1, toy[1])
    assert has_out_of_bag(clf.set_params(lr="auto").fit(*toy))


def through_joblib(clf):
    buffer = io.BytesIO()
    joblib.dump(clf, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


def through_skops(clf):
    data = skops.io.dumps(clf)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


@pytest.mark.parametrize(
    "through",
    [lambda clf: pickle.loads(pickle.dumps(clf)), copy.deepcopy, through_joblib, through_skops],
    ids=["pickle", "deepcopy", "joblib", "skops"],
)
@pytest.mark.parametrize("calibration", ["auto", "isotonic"])
def test_a_reloaded_model_has_the_scores_out_of_bag(toy, make, through, calibration):
    clf = make(calibration=calibration, class_weight="balanced").fit(*toy)
    other = through(clf)
    np.testing.assert_array_equal(other.oob_decision_function_, clf.oob_decision_function_)
    assert (other.oob_score_, other.offset_) == (clf.oob_score_, clf.offset_)
    assert getattr(other, "best_score_", None) == getattr(clf, "best_score_", None)
    np.testing.assert_array_equal(other.predict_proba(toy[0]), clf.predict_proba(toy[0]))
    np.testing.assert_array_equal(
        other.fit(*toy).oob_decision_function_, clf.fit(*toy).oob_decision_function_
    )


class Failing(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise RuntimeError("full disk")


@pytest.mark.parametrize(
    ("changes", "given", "error"),
    [
        ({"callbacks": [Failing()]}, {}, RuntimeError),
        ({"lr": 1e38, "optimizer__adaptive": False}, {}, DivergenceError),
        ({"class_weight": {9: 1.0}}, {}, ValueError),
        ({"module": nn.Linear(4, 1), "calibration": "isotonic"}, {}, ValueError),
        ({}, {"groups": [1, 2]}, ValueError),
    ],
    ids=str,
)
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(toy, make, changes, given, error):
    clf = make().fit(*toy)
    clf.set_params(**changes)
    before = dict(vars(clf))
    with pytest.raises(error):
        clf.fit(*toy, **given)
    assert vars(clf) == before
    clf = make(**changes)
    before = dict(vars(clf))
    with pytest.raises(error):
        clf.fit(*toy, **given)
    assert vars(clf) == before


def test_gaps_are_welcome_and_infinite_values_are_not(toy, make):
    X, y = toy
    gaps = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    clf = make().fit(gaps, y)
    assert np.isfinite(clf.oob_decision_function_).all()
    assert np.isfinite(clf.decision_function(gaps)).all()
    with pytest.raises(ValueError, match="infinity"):
        make().fit(np.where(np.isnan(gaps), np.inf, gaps), y)


class Overflowing(TabularMLP):
    """Its scores out of bag overflow."""

    def out_of_bag_decision(self, X, folds):
        return super().out_of_bag_decision(X, folds) * torch.inf


def test_scores_out_of_bag_that_overflow_are_an_error(toy, make):
    with pytest.raises(DivergenceError, match="scores of the training data overflow"):
        make(module=Overflowing).fit(*toy)


@pytest.mark.parametrize("n_positive", [9, 10])
def test_out_of_bag_scores_stop_training_from_ten_examples_of_each_class_on(toy, make, n_positive):
    X, y = toy
    rows = np.r_[np.flatnonzero(y == 1)[:n_positive], np.flatnonzero(y == 0)]
    for labels in (y, 1 - y):
        clf = make(max_epochs=1).fit(X[rows], labels[rows])
        assert hasattr(clf, "best_score_") == (n_positive == 10)


def test_validation_data_stops_training_after_ten_checks_without_an_improvement(toy, make):
    X, y = toy
    clf = make(max_epochs=40, batch_size=8, tol=1.0, cross_fit=False)
    assert clf.fit(X, y, X_val=X, y_val=y).n_iter_ == 1 + 10
