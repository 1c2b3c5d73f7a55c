"""The estimator on images, and on datasets that yield one example at a time."""

import io
import os
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from skdam import CompositionalAUCClassifier
from skdam.datasets import make_imbalanced


def make(**parameters):
    defaults = {"max_epochs": 2, "random_state": 0, "module__width": 2}
    return CompositionalAUCClassifier(**(defaults | parameters))


@pytest.fixture(scope="module")
def digits():
    """Handwritten digits as grey images of bytes, the eights positive and rare."""
    X, y = load_digits(return_X_y=True)
    X = (X.reshape(-1, 1, 8, 8) * 15).astype(np.uint8)
    X, y = make_imbalanced(X, (y == 8).astype(int), 0.05, random_state=0)
    return train_test_split(X, y, stratify=y, random_state=0)


@pytest.fixture(scope="module")
def few(digits):
    X, _, y, _ = digits
    rows = np.r_[np.flatnonzero(y == 1)[:20], np.flatnonzero(y == 0)[:80]]
    return X[rows], y[rows]


class Items(Dataset):
    """A dataset that counts how often each item is read."""

    def __init__(self, X, y=None):
        self.X, self.labels = X, y
        self.n_reads = np.zeros(len(X), dtype=int)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        self.n_reads[index] += 1
        return self.X[index] if self.labels is None else (self.X[index], self.labels[index])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(())


class TestImages:
    def test_the_default_learns_from_bytes(self, digits):
        X_train, X_test, y_train, y_test = digits
        clf = make(max_epochs=10, module__width=8).fit(X_train, y_train)
        assert roc_auc_score(y_test, clf.predict_proba(X_test)[:, 1]) > 0.9
        assert clf.n_features_in_ == 1

    def test_bytes_stay_bytes_and_train_as_their_fractions_do(self, few):
        X, y = few
        dtypes = []

        class Look(Callback):
            def on_batch_begin(self, net, batch, **kwargs):
                dtypes.append(batch[0].dtype)

        clf = make(callbacks=[Look()]).fit(X, y)
        assert set(dtypes) == {torch.uint8}
        fractions = torch.from_numpy(X).float().div(255).numpy()
        other = make().fit(fractions, y)
        np.testing.assert_array_equal(clf.decision_function(X), other.decision_function(fractions))

    def test_bytes_and_other_numbers_are_not_mixed_up(self, few):
        X, y = few
        clf = make().fit(X, y)
        with pytest.raises(ValueError, match=r"become float32 and was uint8.*divided by 255"):
            clf.predict(X.astype(np.float64))
        clf.fit(X.astype(np.int64), y)
        with pytest.raises(ValueError, match="become uint8 and was float32"):
            clf.predict(X)

    @pytest.mark.parametrize("container", [torch.from_numpy, list])
    def test_bytes_are_bytes_in_any_container(self, few, container):
        X, y = few
        clf = make().fit(container(X), y)
        np.testing.assert_array_equal(
            clf.decision_function(X), make().fit(X, y).decision_function(container(X))
        )

    def test_tables_of_bytes_are_numbers(self, few):
        X, y = few
        table = X.reshape(len(X), -1)
        clf = CompositionalAUCClassifier(max_epochs=2, random_state=0)
        np.testing.assert_array_equal(
            clf.fit(table, y).decision_function(table),
            clf.fit(table.astype(float), y).decision_function(table.astype(float)),
        )
        np.testing.assert_array_equal(
            clf.decision_function(Items(table)), clf.decision_function(table)
        )

    def test_same_seed_same_model_and_no_global_generator(self, few, untouched_generators):
        with untouched_generators():
            first, second, other = (
                make(random_state=seed).fit(*few).decision_function(few[0]) for seed in (0, 0, 1)
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
    def test_images_of_another_form(self, few, change, message):
        with pytest.raises(ValueError, match=message):
            make().fit(change(few[0]), few[1])

    def test_other_images_than_in_fit(self, few):
        X, y = few
        clf = make().fit(X, y)
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
    def test_parameters_of_another_network(self, few, parameters, message):
        with pytest.raises(ValueError, match=message):
            make(**parameters).fit(*few)

    def test_a_custom_module_is_told_its_channels(self, few):
        class Small(nn.Module):
            def __init__(self, in_channels, n_filters=3):
                super().__init__()
                self.convolve = nn.Conv2d(in_channels, n_filters, 3)
                self.last = nn.Linear(n_filters, 1)

            def forward(self, X):
                assert X.dtype == torch.float32
                return self.last(self.convolve(X).mean((2, 3)))

        X, y = few
        clf = CompositionalAUCClassifier(Small, max_epochs=1, random_state=0)
        clf.fit(np.concatenate([X, X], axis=1), y)
        assert clf.net_.module_.convolve.in_channels == 2

    def test_search_persistence_and_early_stopping(self, few):
        X, y = few
        search = GridSearchCV(
            make(early_stopping=True), {"module__width": [1, 2]}, scoring="roc_auc", cv=2
        ).fit(X, y)
        scores = search.decision_function(X)
        for copied in (
            pickle.loads(pickle.dumps(search.best_estimator_)),
            clone(search.best_estimator_).fit(X, y),
        ):
            np.testing.assert_array_equal(copied.decision_function(X), scores)

    def test_memory_mapped_images(self, few, tmp_path):
        X, y = few
        joblib.dump(X, tmp_path / "X")
        mapped = joblib.load(tmp_path / "X", mmap_mode="r")
        np.testing.assert_array_equal(
            make().fit(mapped, y).decision_function(mapped),
            make().fit(X, y).decision_function(X),
        )

    @pytest.mark.parametrize("n", [100, 30_000])
    def test_automatic_batches_are_smaller_than_those_of_tables(self, n):
        sizes = []

        class Look(Callback):
            def on_train_begin(self, net, **kwargs):
                sizes.append(net.batch_size)
                raise StopIteration

        y = np.arange(n) % 2
        for X in (np.zeros((n, 1, 8, 8), dtype=np.uint8), np.zeros((n, 2))):
            with pytest.raises(StopIteration):
                CompositionalAUCClassifier(callbacks=[Look()]).fit(X, y)
        assert sizes == ([64, 64] if n == 100 else [128, 234])


class OpenedLate(Items):
    """Opens its file when it is first read, as one should, and for itself alone."""

    opened_by = None

    def __getitem__(self, index):
        if self.opened_by is None:
            self.opened_by = os.getpid()
        assert self.opened_by == os.getpid(), "two processes would share a file"
        return super().__getitem__(index)


class Noisy(Items):
    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return image + torch.rand(image.shape), label


class TestDataset:
    def test_workers_and_the_main_process_open_files_apart(self, few):
        X, y = few
        clf = make(early_stopping=True, iterator_train__num_workers=1)
        clf.fit(OpenedLate(X, y)).predict(OpenedLate(X))

    def test_random_items_leave_the_global_generators_alone(self, few, untouched_generators):
        X, y = few
        images = torch.from_numpy(X).float()
        with untouched_generators():
            first, second = (make().fit(Noisy(images, y)) for _ in range(2))
        assert first.offset_ == second.offset_
        np.testing.assert_array_equal(
            first.decision_function(images), second.decision_function(images)
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda X: [*X[:-1], X[-1] / 255], "example 99 .* dtype float32, .*uint8"),
            (lambda X: [*X[:-1], X[-1, :, :, 1:]], r"example 99 .* shape \(1, 8, 7\)"),
        ],
    )
    def test_examples_that_differ_are_named(self, few, change, message):
        X, y = few
        with pytest.raises(ValueError, match=message):
            make().fit(Items(change(X), y))
        with pytest.raises(ValueError, match=message):
            make().fit(X, y).predict(Items(change(X)))

    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_trains_as_the_same_array_does(self, few, num_workers):
        X, y = few
        parameters = {
            "iterator_train__num_workers": num_workers,
            "iterator_valid__num_workers": num_workers,
        }
        clf = make(**parameters).fit(Items(X, y))
        array = make().fit(X, y)
        np.testing.assert_array_equal(clf.decision_function(X), array.decision_function(X))
        for method in ("decision_function", "predict_proba", "predict", "embed"):
            np.testing.assert_array_equal(getattr(clf, method)(Items(X)), getattr(array, method)(X))

    def test_statistics_of_a_table_are_of_all_its_training_rows(self):
        class Look(nn.Linear):
            def __init__(self, n_features):
                super().__init__(n_features, 1)

            def fit_statistics(self, X, y):
                self.n_rows = len(X), y.sum().item()

        y = np.arange(12_000) % 10 == 0
        clf = CompositionalAUCClassifier(Look, max_epochs=1, early_stopping=True)
        clf.fit(np.zeros((12_000, 2)), y)
        assert clf.net_.module_.n_rows == (10_800, 1080)

    def test_tables_and_early_stopping(self, toy):
        X, y = toy
        parameters = {"early_stopping": True, "max_epochs": 3, "random_state": 0}
        clf = CompositionalAUCClassifier(**parameters).fit(Items(X.astype(float), y))
        array = CompositionalAUCClassifier(**parameters).fit(X, y)
        np.testing.assert_allclose(
            clf.decision_function(X), array.decision_function(X), rtol=1e-4, atol=1e-4
        )
        assert clf.best_score_ == pytest.approx(array.best_score_)

    def test_labels_are_read_once_and_not_if_they_are_passed(self, few):
        X, y = few
        n_reads = []
        for dataset, labels in ((Items(X, y), None), (Items(X), y)):
            make().fit(dataset, labels)
            n_reads.append(dataset.n_reads)
        # what else reads the items draws the same ones in both fits
        np.testing.assert_array_equal(n_reads[0], n_reads[1] + 1)

    def test_any_labels(self, few):
        X, y = few
        names = np.array(["fine", "fault"])[y]
        clf = make().fit(Items(X, names))
        assert list(clf.classes_) == ["fault", "fine"]
        np.testing.assert_array_equal(clf.predict(X), make().fit(X, names).predict(X))
        tensors = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
        assert list(make().fit(tensors).classes_) == [0, 1]

    def test_partial_fit(self, few):
        X, y = few
        clf, array = make(), make()
        for _ in range(2):
            clf.partial_fit(Items(X, y), classes=[0, 1])
            array.partial_fit(X, y)
        np.testing.assert_array_equal(clf.decision_function(X), array.decision_function(X))

    def test_after_a_frame_there_are_no_names(self, cancer, few):
        clf = CompositionalAUCClassifier(max_epochs=1).fit(*cancer)
        clf.fit(Items(*few))
        assert not hasattr(clf, "feature_names_in_")
        assert clf.n_features_in_ == 1

    @pytest.mark.parametrize(
        ("dataset", "error", "message"),
        [
            (lambda X, y: Items(X), TypeError, r"must yield pairs \(x, y\), unless y is passed"),
            (lambda X, y: Items(X[:0]), ValueError, "0 examples"),
            (lambda X, y: Items(X[:, 0, 0, 0], y), TypeError, "arrays or tensors"),
            (lambda X, y: Items(list("ab" * 50), y), TypeError, "arrays or tensors.*got str"),
            (lambda X, y: Items(X[:, :, :3], y), ValueError, "at least 8 x 8 pixels"),
            (lambda X, y: Items(X, np.zeros(len(X))), ValueError, "two classes"),
            (lambda X, y: Items(X, np.arange(len(X))), ValueError, "Only binary"),
            (lambda X, y: Stream(), TypeError, "map-style"),
            (lambda X, y: Items(X + 1j, y), TypeError, "complex"),
            (lambda X, y: Items(X, np.stack([y, y], 1)), ValueError, "one label for each"),
        ],
    )
    def test_datasets_that_are_of_no_use(self, few, dataset, error, message):
        clf = make().fit(*few)
        before = clf.decision_function(few[0])
        with pytest.raises(error, match=message):
            clf.fit(dataset(*few))
        np.testing.assert_array_equal(clf.decision_function(few[0]), before)

    def test_labels_of_another_length(self, few):
        X, y = few
        with pytest.raises(ValueError, match="y has 99 labels, the Dataset has 100"):
            make().fit(Items(X), y[:-1])

    def test_examples_of_another_kind_than_in_fit(self, few):
        X, y = few
        clf = make().fit(Items(X, y))
        with pytest.raises(ValueError, match="become float32 and was uint8"):
            clf.predict(Items(X.astype(float)))
        with pytest.raises(ValueError, match="as in fit"):
            clf.predict(Items(np.concatenate([X, X], axis=1)))


class TestEmbed:
    def test_the_last_layer_makes_the_scores_of_the_features(self, few):
        X, y = few
        clf = make().fit(X, y)
        features = clf.embed(X)
        assert features.shape == (100, 8)
        assert features.dtype == np.float32
        last = clf.net_.module_.last
        with torch.no_grad():
            logits = last(torch.from_numpy(features)).squeeze(1).numpy()
        np.testing.assert_allclose(logits - clf.offset_, clf.decision_function(X), atol=1e-5)

    def test_rows_do_not_depend_on_their_batch(self, few):
        X, y = few
        clf = make().fit(X, y)
        np.testing.assert_allclose(clf.embed(X)[:3], clf.embed(X[:3]), atol=1e-5)

    def test_a_probe_of_the_default_for_tables(self, cancer):
        X, y = cancer
        clf = CompositionalAUCClassifier(max_epochs=5, random_state=0).fit(X, y)
        features = clf.embed(X)
        assert features.shape[0] == len(X)
        probe = LogisticRegression(max_iter=5000).fit(features, y)
        assert roc_auc_score(y, probe.decision_function(features)) > 0.95

    def test_of_a_custom_module_it_is_the_input_of_the_last_linear_layer(self, toy):
        network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
        clf = CompositionalAUCClassifier(network, max_epochs=1, random_state=0).fit(*toy)
        first, last = clf.net_.module_[0], clf.net_.module_[2]
        with torch.no_grad():
            expected = first(torch.from_numpy(toy[0])).tanh()
        np.testing.assert_allclose(clf.embed(toy[0]), expected, atol=1e-5)
        assert not last._forward_pre_hooks

    def test_a_layer_of_that_name_is_not_the_features(self, toy):
        class Named(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Linear(4, 5)
                self.last = nn.Linear(5, 1)

            def forward(self, X):
                return self.last(input=self.embed(X).relu())

        clf = CompositionalAUCClassifier(Named, max_epochs=1).fit(*toy)
        features = clf.embed(toy[0])
        assert features.shape == (200, 5)
        assert features.min() == 0

    def test_a_module_that_has_none_says_so(self, toy):
        class Sum(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.ones(4))

            def forward(self, X):
                return X @ self.weight

        clf = CompositionalAUCClassifier(Sum, max_epochs=1).fit(*toy)
        with pytest.raises(ValueError, match=r"Sum runs no nn\.Linear.*embed\(X\)"):
            clf.embed(toy[0])

    def test_before_fit(self, few):
        with pytest.raises(ValueError, match="not fitted"):
            make().embed(few[0])


def test_a_saved_model_of_images_scores_the_same(few):
    X, y = few
    clf = make().fit(X, y)
    file = io.BytesIO()
    joblib.dump(clf, file)
    loaded = joblib.load(io.BytesIO(file.getvalue()))
    np.testing.assert_array_equal(loaded.decision_function(X), clf.decision_function(X))
    np.testing.assert_array_equal(loaded.embed(X), clf.embed(X))
