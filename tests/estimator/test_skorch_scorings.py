"""skorch's scorings of an epoch are those of the net at its end, whatever it was trained on."""

import numpy as np
import pytest
from helpers import Members, make_net
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    log_loss,
    roc_auc_score,
)
from skorch.callbacks import Callback, EpochScoring
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import Dataset

from skdam import CompositionalAUCNet
from skdam.data.examples import labels_of


class Truth(Callback):
    """Records the metric of the scores of both datasets at the end of each epoch."""

    def __init__(self, metric):
        self.metric = metric

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        for name, dataset in (("train", dataset_train), ("valid", dataset_valid)):
            if dataset is not None:
                value = self.metric(net, dataset, labels_of(dataset))
                net.history.record(f"{name}_truth", value)


METRICS = {
    "roc_auc": lambda net, X, y: roc_auc_score(y, net.decision_function(X)),
    "average_precision": lambda net, X, y: average_precision_score(y, net.decision_function(X)),
    "neg_log_loss": lambda net, X, y: -log_loss(y, net.predict_proba(X)),
    "accuracy": lambda net, X, y: accuracy_score(y, net.predict(X)),
}


def scorings(scoring="roc_auc", **parameters):
    """The scorings of both datasets, and the truth."""
    named = {"scoring": scoring, "lower_is_better": False} | parameters
    return [
        Truth(METRICS[scoring]),
        ("of_train", EpochScoring(**named, on_train=True, name="train_score")),
        ("of_valid", EpochScoring(**named, name="valid_score")),
    ]


def assert_true(history, *names):
    for name in names:
        scores, truth = history[f"{name}_score"], history[f"{name}_truth"]
        assert len(scores) == 3
        # a sum of logarithms is rounded in another way
        np.testing.assert_allclose(scores, truth, rtol=1e-14)


@pytest.fixture
def data(toy):
    """With three of ten positive, so that batches of halves differ from it."""
    X, y = toy
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(y))
    return X[rows], y[rows]


class Rows(Dataset):
    """Examples of a Dataset, with or without an attribute that holds the labels."""

    def __init__(self, X, y):
        self.pairs = list(zip(X, y, strict=True))

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        return self.pairs[index]


@pytest.mark.parametrize("scoring", METRICS)
@pytest.mark.parametrize("use_caching", [True, False])
def test_scores_of_a_classifier_are_true(data, make, scoring, use_caching):
    """An ensemble with dropout, cross-fitted, on batches of which half is positive."""
    clf = make(callbacks=scorings(scoring, use_caching=use_caching)).fit(*data)
    assert_true(clf.history_, "train")


@pytest.mark.parametrize("scoring", ["roc_auc", "neg_log_loss"])
def test_scores_are_true_with_validation_data(data, make, scoring):
    X, y = data
    parameters = {"early_stopping": True, "variant": "lookahead", "callbacks": scorings(scoring)}
    assert_true(make(**parameters).fit(X, y).history_, "train", "valid")
    parameters["early_stopping"] = False
    clf = make(**parameters).fit(X, y, X_val=X[:50], y_val=y[:50])
    assert_true(clf.history_, "train", "valid")
    if scoring == "roc_auc":
        np.testing.assert_allclose(clf.history_["valid_score"], clf.history_["valid_roc_auc"])


def test_scores_are_true_with_weights(data, make):
    X, y = data
    weights = np.where(np.arange(len(y)) % 4, 2.0, 0.0)
    assert_true(make(callbacks=scorings()).fit(X, y, sample_weight=weights).history_, "train")


def test_scores_of_a_training_that_goes_on_are_those_of_the_joint_vote(data, make):
    """There the kernel machine has a share."""
    X, y = data
    clf = make(callbacks=scorings(), warm_start=True, max_epochs=1)
    for _ in range(3):
        clf.fit(X, y)
    assert clf.net_.module_.shares[1] > 0
    assert_true(clf.history_, "train")


@pytest.mark.parametrize("use_caching", [True, False])
def test_scores_of_datasets_are_true(data, make, use_caching):
    callbacks = scorings(use_caching=use_caching)
    clf = make(callbacks=callbacks, early_stopping=True)
    assert_true(clf.fit(Rows(*data)).history_, "train", "valid")


def columns_of(net):
    return {name: net.history[:, name] for name in net.history[-1]}


@pytest.mark.parametrize("module", [nn.Linear, Members])
@pytest.mark.parametrize("as_dataset", [True, False])
def test_scores_of_a_net_are_true(data, module, as_dataset):
    parameters = {"callbacks": scorings(), "max_epochs": 3}
    parameters["train_split"] = ValidSplit(4, stratified=not as_dataset)
    if module is Members:
        net = CompositionalAUCNet(Members, random_state=0, verbose=0, **parameters)
    else:
        net = make_net(**parameters)
    net.fit(Rows(*data), None) if as_dataset else net.fit(*data)
    assert_true(columns_of(net), "train", "valid")
    np.testing.assert_allclose(net.history[:, "valid_score"], net.history[:, "valid_roc_auc"])


def test_scores_of_a_module_that_decides_itself_are_its_decisions(data):
    class Decides(Members):
        def decision_function(self, X):
            return self(X)[:, 0] + 100 * X[:, 1]

    parameters = {"callbacks": scorings(), "train_split": ValidSplit(4, stratified=True)}
    net = CompositionalAUCNet(Decides, max_epochs=3, random_state=0, verbose=0, **parameters)
    assert_true(columns_of(net.fit(*data)), "train", "valid")


def test_the_best_score_is_the_best_one_in_either_direction(data):
    for lower_is_better, best in ((True, np.minimum), (False, np.maximum)):
        scoring = EpochScoring("roc_auc", lower_is_better, on_train=True, name="score")
        net = make_net(callbacks=[scoring], max_epochs=6, lr=0.5).fit(*data)
        scores = net.history[:, "score"]
        is_best = np.r_[True, best.accumulate(scores)[1:] != best.accumulate(scores)[:-1]]
        np.testing.assert_array_equal(net.history[:, "score_best"], is_best)


def test_labels_are_read_once_for_all_epochs(data):
    X, y = data
    reads = []

    class Reads(Rows):
        def __getitem__(self, index):
            reads.append(index)
            return super().__getitem__(index)

    def n_reads(epochs):
        net = make_net(callbacks=[EpochScoring("roc_auc", on_train=True)], batch_size=len(y))
        reads.clear()
        net.partial_fit(Reads(X, y), epochs=epochs)
        return len(reads)

    # an epoch trains and scores
    assert n_reads(3) - n_reads(2) == n_reads(2) - n_reads(1) <= 3 * len(y)


def test_scoring_does_not_change_the_model(data, make):
    X, y = data
    alone = make().fit(X, y)
    scored = make(callbacks=[EpochScoring("roc_auc", on_train=True)]).fit(X, y)
    np.testing.assert_array_equal(scored.decision_function(X), alone.decision_function(X))


def test_outputs_of_training_cannot_be_scored():
    assert make_net(use_caching="auto").use_caching is False
    with pytest.raises(ValueError, match="use_caching must be False or 'auto'"):
        CompositionalAUCNet(nn.Linear, use_caching=True)


def test_callbacks_get_datasets_that_work_as_before(data):
    seen = []

    class Look(Callback):
        def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
            seen.append(len(dataset_train))
            seen.append(list(dataset_valid.indices))
            seen.append(dataset_train[3])
            seen.append(net.decision_function(dataset_valid).tolist())

    rows, split = Rows(*data), ValidSplit(4, stratified=False)
    net = make_net(callbacks=[Look()], train_split=split, max_epochs=1).fit(rows, None)
    train, valid = split(rows)
    expected = [len(train), list(valid.indices), train[3], net.decision_function(valid).tolist()]
    assert [seen[0], seen[1], seen[3]] == [expected[0], expected[1], expected[3]]
    np.testing.assert_array_equal(seen[2][0], expected[2][0])
