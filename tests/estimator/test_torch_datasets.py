"""The classifier on torch Datasets, which yield one example at a time."""

import os
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import Stream, UserDataset, image_classifier
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from skdam import CompositionalAUCClassifier


class OpenedLate(UserDataset):
    """Opens its file on the first read, and fails if another process reads it."""

    opened_by = None

    def __getitem__(self, index):
        if self.opened_by is None:
            self.opened_by = os.getpid()
        assert self.opened_by == os.getpid(), "two processes would share a file"
        return super().__getitem__(index)


class Noisy(UserDataset):
    """Adds noise from torch's global generator to each image."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return image + torch.rand(image.shape), label


def test_workers_and_the_main_process_open_files_separately(few_digits):
    X, y = few_digits
    clf = image_classifier(early_stopping=True, iterator_train__num_workers=1)
    clf.fit(OpenedLate(X, y)).predict(OpenedLate(X))


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda dataset: Subset(dataset, range(len(dataset))),
        lambda dataset: ConcatDataset([dataset]),
    ],
)
def test_wrapped_datasets_open_files_separately(few_digits, wrapped):
    clf = image_classifier(early_stopping=True, iterator_train__num_workers=1)
    clf.fit(wrapped(OpenedLate(*few_digits)))
    weights = np.arange(len(few_digits[1])) % 7
    clf.fit(OpenedLate(*few_digits), sample_weight=weights)


class HoldsAFile(UserDataset):
    """Opens a file on the first read, which cannot be pickled."""

    file = None

    def __getitem__(self, index):
        if self.file is None:
            self.file = open(__file__)  # noqa: SIM115
            weakref.finalize(self, self.file.close)
        return super().__getitem__(index)


def test_workers_may_be_new_processes(few_digits):
    """They get a pickled dataset, before which the main process has read its first items."""
    X, y = few_digits
    workers = {"num_workers": 1, "multiprocessing_context": "spawn"}
    clf = image_classifier(**{f"iterator_train__{k}": v for k, v in workers.items()})
    assert clf.fit(HoldsAFile(X, y), y).n_iter_


def test_datasets_may_refer_to_each_other(few_digits):
    dataset = UserDataset(*few_digits)
    dataset.other = UserDataset(*few_digits)
    dataset.other.other = dataset
    assert image_classifier().fit(dataset).n_iter_


def test_fits_on_random_items_are_equal_and_leave_global_generators_unchanged(
    few_digits, untouched_generators
):
    X, y = few_digits
    images = torch.from_numpy(X).float()
    with untouched_generators():
        first, second = (image_classifier().fit(Noisy(images, y)) for _ in range(2))
    assert first.offset_ == second.offset_
    np.testing.assert_array_equal(first.decision_function(images), second.decision_function(images))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: [*X[:-1], X[-1] / 255], "example 99 .* dtype float32, .*uint8"),
        (lambda X: [*X[:-1], X[-1, :, :, 1:]], r"example 99 .* shape \(1, 8, 7\)"),
    ],
)
def test_an_example_of_another_shape_or_dtype_is_named(few_digits, change, message):
    X, y = few_digits
    with pytest.raises(ValueError, match=message):
        image_classifier().fit(UserDataset(change(X), y))
    with pytest.raises(ValueError, match=message):
        image_classifier().fit(X, y).predict(UserDataset(change(X)))


def test_an_example_is_named_as_in_the_dataset_of_the_user(few_digits):
    X, y = few_digits
    weights = np.arange(len(y)) >= 10
    with pytest.raises(ValueError, match=r"example 99 .* dtype float32"):
        image_classifier().fit(UserDataset([*X[:-1], X[-1] / 255], y), sample_weight=weights)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_dataset_trains_the_same_model_as_its_array(few_digits, num_workers):
    X, y = few_digits
    parameters = {
        "iterator_train__num_workers": num_workers,
        "iterator_valid__num_workers": num_workers,
    }
    clf = image_classifier(**parameters).fit(UserDataset(X, y))
    array = image_classifier().fit(X, y)
    np.testing.assert_array_equal(clf.decision_function(X), array.decision_function(X))
    for method in ("decision_function", "predict_proba", "predict", "embed"):
        np.testing.assert_array_equal(
            getattr(clf, method)(UserDataset(X)), getattr(array, method)(X)
        )


def test_a_dataset_of_table_rows_trains_with_early_stopping_like_its_array(toy):
    X, y = toy
    # a Dataset is not cross-fitted
    parameters = {"early_stopping": True, "max_epochs": 3, "random_state": 0, "cross_fit": False}
    clf = CompositionalAUCClassifier(**parameters).fit(UserDataset(X.astype(float), y))
    array = CompositionalAUCClassifier(**parameters).fit(X, y)
    np.testing.assert_allclose(
        clf.decision_function(X), array.decision_function(X), rtol=1e-4, atol=1e-4
    )
    assert clf.best_score_ == pytest.approx(array.best_score_)


def test_labels_are_read_once_if_y_is_not_passed(few_digits):
    X, y = few_digits
    n_reads = []
    for dataset, labels in ((UserDataset(X, y), None), (UserDataset(X), y)):
        image_classifier().fit(dataset, labels)
        n_reads.append(dataset.n_reads)
    # all other reads are of the same items in both fits
    np.testing.assert_array_equal(n_reads[0], n_reads[1] + 1)


def test_labels_of_any_type(few_digits):
    X, y = few_digits
    names = np.array(["fine", "fault"])[y]
    clf = image_classifier().fit(UserDataset(X, names))
    assert list(clf.classes_) == ["fault", "fine"]
    np.testing.assert_array_equal(clf.predict(X), image_classifier().fit(X, names).predict(X))
    tensors = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    assert list(image_classifier().fit(tensors).classes_) == [0, 1]


def test_partial_fit_on_a_dataset_equals_partial_fit_on_its_array(few_digits):
    X, y = few_digits
    clf, array = image_classifier(), image_classifier()
    for _ in range(2):
        clf.partial_fit(UserDataset(X, y), classes=[0, 1])
        array.partial_fit(X, y)
    np.testing.assert_array_equal(clf.decision_function(X), array.decision_function(X))


def test_a_dataset_after_a_frame_has_no_feature_names(cancer, few_digits):
    clf = CompositionalAUCClassifier(max_epochs=1).fit(*cancer)
    clf.fit(UserDataset(*few_digits))
    assert not hasattr(clf, "feature_names_in_")
    assert clf.n_features_in_ == 1


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [
        (lambda X, y: UserDataset(X), TypeError, r"must yield pairs \(x, y\), unless y is passed"),
        (lambda X, y: UserDataset(X[:0]), ValueError, "0 examples"),
        (lambda X, y: UserDataset(X[:, 0, 0, 0], y), TypeError, "arrays or tensors"),
        (lambda X, y: UserDataset(list("ab" * 50), y), TypeError, "arrays or tensors.*got str"),
        (lambda X, y: UserDataset(X[:, :, :3], y), ValueError, "at least 8 x 8 pixels"),
        (lambda X, y: UserDataset(X, np.zeros(len(X))), ValueError, "two classes"),
        (lambda X, y: UserDataset(X, np.arange(len(X))), ValueError, "Only binary"),
        (lambda X, y: Stream(), TypeError, "map-style"),
        (lambda X, y: UserDataset(X + 1j, y), TypeError, "complex"),
        (lambda X, y: UserDataset(X, np.stack([y, y], 1)), ValueError, "one label for each"),
    ],
)
def test_an_unusable_dataset_is_refused_and_the_fitted_model_is_kept(
    few_digits, dataset, error, message
):
    clf = image_classifier().fit(*few_digits)
    before = clf.decision_function(few_digits[0])
    with pytest.raises(error, match=message):
        clf.fit(dataset(*few_digits))
    np.testing.assert_array_equal(clf.decision_function(few_digits[0]), before)


def test_labels_of_another_length_are_refused(few_digits):
    X, y = few_digits
    with pytest.raises(ValueError, match="y has 99 labels, the Dataset has 100"):
        image_classifier().fit(UserDataset(X), y[:-1])


def test_predicting_examples_of_another_shape_or_dtype_is_refused(few_digits):
    X, y = few_digits
    clf = image_classifier().fit(UserDataset(X, y))
    with pytest.raises(ValueError, match="become float32 and was uint8"):
        clf.predict(UserDataset(X.astype(float)))
    with pytest.raises(ValueError, match="as in fit"):
        clf.predict(UserDataset(np.concatenate([X, X], axis=1)))


WEIGHTS = np.arange(100) % 7


def stacked(items):
    """Collate pairs as users write it."""
    examples, labels = zip(*items, strict=True)
    return torch.stack(examples), torch.stack(labels)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_function_that_collates_examples_makes_the_batches(few_digits, weights, n_workers):
    dataset = UserDataset(*few_digits)
    expected = image_classifier().fit(dataset, sample_weight=weights)
    clf = image_classifier(
        iterator_train__collate_fn=stacked,
        iterator_valid__collate_fn=stacked,
        iterator_train__num_workers=n_workers,
    ).fit(dataset, sample_weight=weights)
    np.testing.assert_array_equal(
        clf.decision_function(dataset), expected.decision_function(dataset)
    )


@pytest.mark.parametrize("kind", ["times", "categories"])
def test_a_dataset_is_refused_after_a_table_of_times_or_categories(toy, make, kind):
    y = toy[1]
    X = pd.DataFrame({"time": 1.7e9 + 100.0 * np.arange(200), "digit": np.arange(200) % 9})
    X = X[["time"]] if kind == "times" else X[["digit"]].astype("category")
    dataset = TensorDataset(torch.tensor(X.to_numpy(np.float64)), torch.from_numpy(y))
    clf = make(warm_start=True).fit(X, y)
    scores = clf.decision_function(X)
    calls = [
        lambda: clf.predict(dataset),
        lambda: clf.fit(X, y, X_val=dataset),
        lambda: clf.partial_fit(dataset),
        lambda: clf.fit(dataset),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="X is a Dataset, and in fit it was a table with"):
            call()
    np.testing.assert_array_equal(clf.decision_function(X), scores)


def test_infinite_values_in_a_dataset_are_refused(toy, make):
    X, y = toy
    clf = make().fit(X, y)
    X = X.copy()
    X[[5, 9], 1] = np.inf
    with pytest.raises(ValueError, match="X has an infinite value in example 5"):
        clf.predict_proba(UserDataset(X))
    with pytest.raises(ValueError, match="X has an infinite value in example 5"):
        make().fit(UserDataset(X, y), sample_weight=np.r_[0, np.ones(199)])
