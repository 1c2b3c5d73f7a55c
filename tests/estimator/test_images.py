"""The classifier on images."""

import io
import pickle

import joblib
import numpy as np
import pytest
import torch
from helpers import UserDataset, image_classifier
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from skdam import CompositionalAUCClassifier


def test_the_default_network_learns_from_bytes(digits):
    X_train, X_test, y_train, y_test = digits
    clf = image_classifier(max_epochs=10, module__width=8).fit(X_train, y_train)
    assert roc_auc_score(y_test, clf.predict_proba(X_test)[:, 1]) > 0.9
    assert clf.n_features_in_ == 1


def test_bytes_are_batched_as_bytes_and_train_the_same_model_as_bytes_over_255(few_digits):
    X, y = few_digits
    dtypes = []

    class Look(Callback):
        def on_batch_begin(self, net, batch, **kwargs):
            dtypes.append(batch[0].dtype)

    clf = image_classifier(callbacks=[Look()]).fit(X, y)
    assert set(dtypes) == {torch.uint8}
    fractions = torch.from_numpy(X).float().div(255).numpy()
    other = image_classifier().fit(fractions, y)
    np.testing.assert_array_equal(clf.decision_function(X), other.decision_function(fractions))


def test_predicting_images_of_another_dtype_than_in_fit_is_refused(few_digits):
    X, y = few_digits
    clf = image_classifier().fit(X, y)
    with pytest.raises(ValueError, match=r"become float32 and was uint8.*divided by 255"):
        clf.predict(X.astype(np.float64))
    clf.fit(X.astype(np.int64), y)
    with pytest.raises(ValueError, match="become uint8 and was float32"):
        clf.predict(X)


@pytest.mark.parametrize("container", [torch.from_numpy, list])
def test_tensors_and_lists_of_bytes_are_bytes(few_digits, container):
    X, y = few_digits
    clf = image_classifier().fit(container(X), y)
    np.testing.assert_array_equal(
        clf.decision_function(X), image_classifier().fit(X, y).decision_function(container(X))
    )


def test_tables_of_bytes_are_tables_of_numbers(few_digits):
    X, y = few_digits
    table = X.reshape(len(X), -1)
    clf = CompositionalAUCClassifier(max_epochs=2, random_state=0)
    np.testing.assert_array_equal(
        clf.fit(table, y).decision_function(table),
        clf.fit(table.astype(float), y).decision_function(table.astype(float)),
    )
    np.testing.assert_array_equal(
        clf.decision_function(UserDataset(table)), clf.decision_function(table)
    )


def test_the_seed_determines_the_model_and_global_generators_are_unchanged(
    few_digits, untouched_generators
):
    with untouched_generators():
        first, second, other = (
            image_classifier(random_state=seed).fit(*few_digits).decision_function(few_digits[0])
            for seed in (0, 0, 1)
        )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.transpose(0, 2, 3, 1), r"X\.transpose\(0, 3, 1, 2\)"),
        (lambda X: X[:, 0], r"X\[:, None\]"),
        (lambda X: np.where(X == 0, np.nan, X), "NaN"),
    ],
)
def test_images_in_a_wrong_layout_or_with_nan_are_refused(few_digits, change, message):
    with pytest.raises(ValueError, match=message):
        image_classifier().fit(change(few_digits[0]), few_digits[1])


def test_predicting_images_of_another_size_than_in_fit_is_refused(few_digits):
    X, y = few_digits
    clf = image_classifier().fit(X, y)
    with pytest.raises(ValueError, match=r"examples of shape \(1, 8, 8\) as in fit"):
        clf.predict(np.pad(X, ((0, 0), (0, 0), (1, 1), (1, 1))))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_members": 4}, r"n_members=4 needs a module class with a parameter of that name"),
        (
            {"module__dropout": 0.5},
            "dropout is not a parameter of ResNet20.*allowed are augmentation, width",
        ),
        ({"module__in_channels": 3}, "in_channels is not a parameter of ResNet20"),
        ({"module__augmentation": "rotate"}, "augmentation must be one of"),
    ],
)
def test_wrong_parameters_of_the_network_are_refused(few_digits, parameters, message):
    with pytest.raises(ValueError, match=message):
        image_classifier(**parameters).fit(*few_digits)


def test_a_custom_module_is_told_the_number_of_channels(few_digits):
    class Small(nn.Module):
        def __init__(self, in_channels, n_filters=3):
            super().__init__()
            self.convolve = nn.Conv2d(in_channels, n_filters, 3)
            self.last = nn.Linear(n_filters, 1)

        def forward(self, X):
            assert X.dtype == torch.float32
            return self.last(self.convolve(X).mean((2, 3)))

    X, y = few_digits
    clf = CompositionalAUCClassifier(Small, max_epochs=1, random_state=0)
    clf.fit(np.concatenate([X, X], axis=1), y)
    assert clf.net_.module_.convolve.in_channels == 2


def test_pickle_and_clone_of_a_grid_search_with_early_stopping_score_the_same(few_digits):
    X, y = few_digits
    search = GridSearchCV(
        image_classifier(early_stopping=True), {"module__width": [1, 2]}, scoring="roc_auc", cv=2
    ).fit(X, y)
    scores = search.decision_function(X)
    for copied in (
        pickle.loads(pickle.dumps(search.best_estimator_)),
        clone(search.best_estimator_).fit(X, y),
    ):
        np.testing.assert_array_equal(copied.decision_function(X), scores)


def test_memory_mapped_images_train_the_same_model(few_digits, tmp_path):
    X, y = few_digits
    joblib.dump(X, tmp_path / "X")
    mapped = joblib.load(tmp_path / "X", mmap_mode="r")
    np.testing.assert_array_equal(
        image_classifier().fit(mapped, y).decision_function(mapped),
        image_classifier().fit(X, y).decision_function(X),
    )


@pytest.mark.parametrize(("n", "expected"), [(100, [64, 128]), (30_000, [128, 312])])
def test_automatic_batches_are_smaller_than_those_of_tables(n, expected):
    sizes = []

    class Look(Callback):
        def on_train_begin(self, net, **kwargs):
            sizes.append(net.batch_size)
            raise StopIteration

    y = np.arange(n) % 2
    for X in (np.zeros((n, 1, 8, 8), dtype=np.uint8), np.zeros((n, 2))):
        with pytest.raises(StopIteration):
            CompositionalAUCClassifier(callbacks=[Look()]).fit(X, y)
    assert sizes == expected


def test_a_saved_model_of_images_gives_the_same_scores(few_digits):
    X, y = few_digits
    clf = image_classifier().fit(X, y)
    file = io.BytesIO()
    joblib.dump(clf, file)
    loaded = joblib.load(io.BytesIO(file.getvalue()))
    np.testing.assert_array_equal(loaded.decision_function(X), clf.decision_function(X))
    np.testing.assert_array_equal(loaded.embed(X), clf.embed(X))
