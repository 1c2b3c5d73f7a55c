"""Fitting, predicting and loading in threads of Python."""

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import joblib
import numpy as np
import pytest
import torch
from helpers import UserDataset, image_classifier
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from skdam import CompositionalAUCClassifier
from skdam._threads import n_torch_threads, threads


class Perceptron(nn.Sequential):
    """Draws from torch's global generator, as modules of users do."""

    def __init__(self, n_features):
        last = nn.Linear(8, 1)
        super().__init__(nn.Linear(n_features, 8), nn.ReLU(), nn.Dropout(0.5), last)


class Noisy(UserDataset):
    """Adds noise to each example."""

    def __getitem__(self, index):
        X, y = super().__getitem__(index)
        return X + torch.randn(len(X)).numpy(), y


def through_joblib(clf):
    file = io.BytesIO()
    joblib.dump(clf, file)
    return lambda: joblib.load(file)


def through_pickle(clf):
    saved = pickle.dumps(clf)
    return lambda: pickle.loads(saved)


LOADS = [through_joblib, through_pickle, lambda clf: lambda: copy.deepcopy(clf)]


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as executor:
        yield executor


def classifier(kind, seed=0):
    parameters = {"max_epochs": 2, "random_state": seed}
    if kind == "images":
        return image_classifier(**parameters)
    if kind == "custom":
        return CompositionalAUCClassifier(Perceptron, **parameters)
    return CompositionalAUCClassifier(**parameters)


def data_of(kind, toy, few_digits):
    return few_digits if kind == "images" else toy


@pytest.mark.parametrize("kind", ["table", "custom", "images"])
def test_eight_fits_in_threads_are_those_of_one(kind, toy, few_digits, pool, untouched_generators):
    X, y = data_of(kind, toy, few_digits)
    seeds = [0, 0, 0, 1, 1, 2, 3, 4]
    alone = {seed: classifier(kind, seed).fit(X, y).decision_function(X) for seed in set(seeds)}
    fitted = classifier(kind).fit(X, y)
    load = through_pickle(fitted)
    all_ready = Barrier(12)

    def fit(seed):
        all_ready.wait()
        return classifier(kind, seed).fit(X, y).decision_function(X)

    def predict():
        all_ready.wait()
        return [fitted.decision_function(X) for _ in range(20)]

    def load_and_predict():
        all_ready.wait()
        return [load().decision_function(X) for _ in range(20)]

    with untouched_generators():
        others = [pool.submit(call) for call in (predict, load_and_predict) for _ in range(2)]
        in_threads = list(pool.map(fit, seeds))
        others = [scores for other in others for scores in other.result()]
    for seed, scores in zip(seeds, in_threads, strict=True):
        np.testing.assert_array_equal(scores, alone[seed])
    for scores in others:
        np.testing.assert_array_equal(scores, alone[0])


def test_fits_of_a_random_dataset_in_threads_are_those_of_one(toy, pool, untouched_generators):
    def fit(seed):
        clf = classifier("custom", seed).fit(Noisy(*toy))
        return clf.decision_function(toy[0])

    seeds = [0, 1, 2, 0]
    alone = [fit(seed) for seed in seeds]
    with untouched_generators():
        np.testing.assert_array_equal(list(pool.map(fit, seeds)), alone)


@pytest.mark.parametrize("kind", ["table", "custom"])
def test_a_search_in_threads_finds_what_a_serial_one_finds(kind, toy, untouched_generators):
    def search(n_jobs):
        grid = {"lr": [0.001, 0.003]}
        return GridSearchCV(classifier(kind), grid, cv=2, n_jobs=n_jobs).fit(*toy)

    serial = search(1).cv_results_
    with untouched_generators(), joblib.parallel_backend("threading"):
        in_threads = search(4).cv_results_
    for name in serial:
        if name.startswith("split"):
            np.testing.assert_array_equal(in_threads[name], serial[name])


class Slow(nn.Linear):
    """Stops half way through its initialisation if it is told to."""

    started, go_on = Event(), Event()

    def __init__(self, n_features):
        super().__init__(n_features, 1)
        self.started.set()
        assert self.go_on.wait(10)


@pytest.mark.parametrize("saved", LOADS)
def test_loading_does_not_touch_what_another_thread_draws(saved, toy, pool, seeded):
    Slow.go_on.set()
    load = saved(CompositionalAUCClassifier(Slow, max_epochs=1, random_state=0).fit(*toy))
    Slow.go_on.clear()
    Slow.started.clear()
    loaded = pool.submit(load)
    try:
        assert Slow.started.wait(10)
        first = torch.rand(5)
    finally:
        Slow.go_on.set()
    loaded.result()
    expected = torch.rand(10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.cat([first, torch.rand(5)]), expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["table", "custom", "images"])
def test_sixteen_threads_predict_with_one_model(kind, toy, few_digits, pool):
    X, y = data_of(kind, toy, few_digits)
    clf = classifier(kind).fit(X, y)
    methods = [clf.decision_function, clf.embed, clf.predict_proba, clf.predict]
    calls = [(method, X[i : i + 60]) for i in range(0, 40, 5) for method in methods]
    expected = [method(rows) for method, rows in calls]
    for _ in range(3):
        found = pool.map(lambda call: call[0](call[1]), calls)
        for some, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(some, other)


def test_embedding_in_two_threads_sees_the_own_input_alone(toy, pool):
    X, y = toy

    class Waiting(nn.Sequential):
        barrier = None

        def __init__(self, n_features):
            super().__init__(nn.Linear(n_features, 3), nn.Tanh(), nn.Linear(3, 1))

        def forward(self, X):
            if self.barrier is None:
                return super().forward(X)
            self.barrier.wait(10)
            output = super().forward(X)
            self.barrier.wait(10)
            return output

    clf = CompositionalAUCClassifier(Waiting, max_epochs=1, random_state=0).fit(X, y)
    halves = X[:100], X[100:]
    expected = [clf.embed(half) for half in halves]
    Waiting.barrier = Barrier(2)
    np.testing.assert_array_equal(list(pool.map(clf.embed, halves)), expected)


def test_embedding_by_a_module_that_cannot_be_copied_says_what_to_do(toy):
    class Locked(nn.Linear):
        def __init__(self, n_features):
            super().__init__(n_features, 1)
            self.file = io.TextIOWrapper(io.BytesIO())

    clf = CompositionalAUCClassifier(Locked, max_epochs=1).fit(*toy)
    with pytest.raises(ValueError, match=r"Locked cannot be copied.*method embed\(X\)"):
        clf.embed(toy[0])


def test_a_module_embeds_though_it_keeps_what_it_computed(toy):
    class Keeping(Perceptron):
        def forward(self, X):
            self.hidden = self[0](X)
            return self[3](self.hidden)

    clf = CompositionalAUCClassifier(Keeping, max_epochs=1).fit(*toy)
    clf.net_.module_(torch.from_numpy(toy[0]))  # with a graph
    assert clf.embed(toy[0]).shape == (200, 8)


@pytest.fixture
def four_torch_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_contexts_that_overlap_leave_the_number_of_torch_threads(four_torch_threads, pool):
    first_is_in, second_is_in, first_is_out = Event(), Event(), Event()

    def first():
        with threads(1):
            first_is_in.set()
            assert second_is_in.wait(10)
            assert torch.get_num_threads() == 1
        first_is_out.set()
        return torch.get_num_threads()

    def second():
        assert first_is_in.wait(10)
        assert n_torch_threads() == 4
        with threads(2):
            second_is_in.set()
            assert first_is_out.wait(10)
            assert torch.get_num_threads() == 2
        return torch.get_num_threads()

    calls = [pool.submit(first), pool.submit(second)]
    assert [call.result(10) for call in calls] == [4, 4]
    assert torch.get_num_threads() == 4
    with ThreadPoolExecutor(1) as new:
        assert new.submit(torch.get_num_threads).result() == 4


def test_fits_in_threads_leave_the_number_of_torch_threads(toy, pool, four_torch_threads):
    clf = CompositionalAUCClassifier(max_epochs=1)
    list(pool.map(lambda _: clone(clf).fit(*toy), range(8)))
    assert torch.get_num_threads() == 4
    with ThreadPoolExecutor(1) as new:
        assert new.submit(torch.get_num_threads).result() == 4
