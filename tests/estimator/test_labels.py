"""Labels, targets, and the split for validation."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.utils.data import TensorDataset

from skdam.estimator.labels import dataset_labels, encode_labels, split_by_class, two_classes


@pytest.mark.parametrize(
    "labels", [(0, 1), (-1, 1), ("fine", "fault"), (False, True), (2.0, 1.0)], ids=str
)
def test_any_two_labels_are_classes(toy, labels, make):
    X, y = toy
    labels = np.array(labels)
    clf = make(max_epochs=20).fit(X, labels[y.astype(int)])
    np.testing.assert_array_equal(clf.classes_, np.sort(labels))
    scores = clf.decision_function(X)
    probabilities = clf.predict_proba(X)
    assert scores.shape == (200,)
    assert scores.dtype == probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_array_equal(np.argsort(probabilities[:, 1]), np.argsort(scores))
    expected = clf.classes_[(scores > 0).astype(int)]
    np.testing.assert_array_equal(clf.predict(X), expected)
    np.testing.assert_array_equal(clf.classes_[probabilities.argmax(1)], expected)
    positive = labels[y.astype(int)] == clf.classes_[1]
    assert roc_auc_score(positive, scores) > 0.8


NAMES = np.array(["ill", "well"], dtype=object)
PLACES = {
    "fit": lambda clf, X, y: clf.fit(X, y),
    "partial_fit": lambda clf, X, y: clf.partial_fit(X, y),
    "validation": lambda clf, X, y: clf.fit(X, np.arange(len(X)) % 2, X_val=X, y_val=y),
    "dataset": lambda clf, X, y: clf.fit(TensorDataset(torch.from_numpy(X)), y),
    "score": lambda clf, X, y: clf.fit(X, np.arange(len(X)) % 2).score(X, y),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("gap", [pd.NA, None, np.nan, pd.NaT, "series", "nullable", "category"])
def test_a_missing_label_is_refused_with_its_row(toy, make, gap, place):
    X, y = toy
    labels = NAMES[y.astype(int)]
    labels[7] = None if isinstance(gap, str) else gap
    if isinstance(gap, str):
        dtype = {"series": "object", "nullable": "string", "category": "category"}[gap]
        labels = pd.Series(labels, dtype=dtype)
    with pytest.raises(ValueError, match="y contains NaN, None or NA in 1 rows, the first in row"):
        PLACES[place](make(max_epochs=1), X, labels)


@pytest.mark.parametrize("place", PLACES)
def test_labels_of_several_types_are_refused(toy, make, place):
    X, y = toy
    labels = np.array([0, "ill"], dtype=object)[y.astype(int)]
    for mixed in (labels, labels.tolist()):
        with pytest.raises(ValueError, match="y holds numbers and strings; make them of one type"):
            PLACES[place](make(max_epochs=1), X, mixed)


@pytest.mark.parametrize("kind", ["float", "date"])
def test_gaps_in_numbers_and_dates_are_no_labels(toy, make, kind):
    X, y = toy
    labels = np.where(y == 1, 1.0, np.nan)
    if kind == "date":
        labels = np.where(y == 1, np.datetime64("2020-01-01"), np.datetime64("NaT"))
    with pytest.raises(ValueError, match="y contains NaN, None or NA in 170 rows"):
        make().fit(X, labels)


def test_a_mask_of_labels_is_not_lost(toy, make):
    X, y = toy
    with pytest.raises(TypeError, match="y is a masked array"):
        make().fit(X, np.ma.masked_array(y, mask=np.arange(len(y)) == 3))


@pytest.mark.parametrize(
    ("convert", "expected"),
    [
        (lambda y: y.astype(int).astype(object), int),
        (lambda y: (y == 1).astype(object), bool),
        (lambda y: pd.Series(y.astype(int), dtype="Int64"), int),
        (lambda y: pd.Series(y == 1, dtype="boolean"), bool),
        (lambda y: pd.Series(y.astype(int), dtype="category"), int),
        (lambda y: torch.from_numpy(y).bfloat16(), np.float32),
        (lambda y: torch.from_numpy(y).requires_grad_(), np.float32),
    ],
    ids=str,
)
def test_labels_keep_their_type_whatever_holds_them(toy, make, convert, expected):
    X, y = toy
    clf = make(max_epochs=1).fit(X, convert(y))
    assert clf.classes_.dtype == expected
    assert clf.predict(X).dtype == expected
    np.testing.assert_array_equal(
        clf.decision_function(X), make(max_epochs=1).fit(X, y).decision_function(X)
    )


def test_partial_fit_learns_the_classes_from_the_first_call(toy, make):
    X, y = toy
    names = np.where(y == 1, "ill", "well")
    clf = make().partial_fit(X, names, classes=["well", "ill"])
    assert list(clf.classes_) == ["ill", "well"]
    with pytest.raises(ValueError, match=r"y holds unknown labels \['dead'\]; the classes are"):
        clf.partial_fit(X, np.where(y == 1, "dead", "well"))
    with pytest.raises(ValueError, match="Only binary classification"):
        make().partial_fit(X, names, classes=["well", "ill", "dead"])


def test_the_second_label_in_sorted_order_is_the_positive_class():
    classes, targets = encode_labels(np.array(["well", "ill", "well"]))
    assert classes.tolist() == ["ill", "well"]
    assert targets.tolist() == [1, 0, 1]
    assert targets.dtype == np.float32


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 1], r"must hold two classes, got one class: \[1\]"),
        ([0, 1, 2], "Only binary classification .* multiclass, with 3 distinct"),
        ([0.5, 1.5, 2.5], "Only binary classification .* continuous, with 3 distinct"),
        ([[0, 1], [1, 0]], "Only binary classification .* multilabel-indicator"),
    ],
)
def test_other_than_two_classes_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        two_classes(np.array(y))


def test_known_classes_stay_and_unknown_labels_are_named():
    known = np.array(["ill", "well"])
    classes, targets = encode_labels(np.array(["well", "ill"]), known=known)
    assert classes is known
    assert targets.tolist() == [1, 0]
    with pytest.raises(
        ValueError, match=r"y holds unknown labels \['dead'\]; the classes are \['ill', 'well'\]"
    ):
        encode_labels(np.array(["well", "dead"]), known=known)
    with pytest.raises(ValueError, match=r"classes holds unknown labels \['dead'\]"):
        encode_labels(np.array(["well", "ill"]), classes=["dead", "ill"], known=known)
    with pytest.raises(ValueError, match=r"y holds unknown labels \['dead'\]"):
        encode_labels(np.array(["well", "dead"]), classes=["well", "ill"])


def test_labels_of_a_dataset_are_those_passed_or_those_of_its_items():
    dataset = TensorDataset(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    assert dataset_labels(dataset, None).tolist() == [0, 1, 1]
    assert dataset_labels(dataset, ["a", "b", "a"]).tolist() == ["a", "b", "a"]
    with pytest.raises(ValueError, match="y has 2 labels, the Dataset has 3 examples"):
        dataset_labels(dataset, [0, 1])


@pytest.mark.parametrize(
    ("fraction", "n_valid"), [(0.001, (1, 1)), (0.2, (34, 6)), (0.99, (168, 29))]
)
def test_both_parts_of_a_split_hold_both_classes(toy, fraction, n_valid):
    _, y = toy  # 170 negatives, 30 positives
    train, valid = split_by_class(y, fraction, np.array([0, 1]), np.random.RandomState(0))
    assert ((y[valid] == 0).sum(), (y[valid] == 1).sum()) == n_valid
    assert set(y[train]) == {0, 1}
    np.testing.assert_array_equal(np.sort(np.r_[train, valid]), np.arange(200))


def test_a_class_of_one_example_cannot_be_split():
    classes = np.array(["ill", "well"])
    with pytest.raises(ValueError, match="at least 2 examples of each class, got 1 of 'ill'"):
        split_by_class(np.array([0, 1, 1]), 0.5, classes, np.random.RandomState(0))


def test_a_list_of_strings_has_labels_of_a_dtype_of_strings(toy, make):
    X, y = toy
    labels = ["sick" if target else "healthy" for target in y]
    clf = make().fit(X, labels)
    assert clf.classes_.dtype.kind == clf.predict(X).dtype.kind == "U"
    as_objects = make().fit(X, np.array(labels, dtype=object))
    assert as_objects.classes_.dtype == object
