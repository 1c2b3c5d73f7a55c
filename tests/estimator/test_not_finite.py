"""Examples of a Dataset that are not finite: errors name them."""

import numpy as np
import pytest
import torch
from helpers import UserDataset, image_classifier, make_net
from torch import nn
from torch.utils.data import Subset

from skdam import CompositionalAUCClassifier, DivergenceError


class Spoilt(UserDataset):
    """One example holds a number that is not finite."""

    def __init__(self, X, y, row, value=np.nan):
        super().__init__(X.astype(np.float32), y)
        self.X[row].flat[0] = value


@pytest.mark.parametrize("workers", [0, 1])
def test_training_names_the_example(few_digits, workers):
    clf = image_classifier(iterator_train__num_workers=workers)
    with pytest.raises(DivergenceError, match=r"epoch 1: .* X has NaN in example 61\.") as caught:
        clf.fit(Spoilt(*few_digits, 61))
    assert "smaller lr" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("module", [None, nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Tanh())])
def test_an_infinite_value_is_refused_when_it_is_read(few_digits, workers, module):
    clf = image_classifier(iterator_train__num_workers=workers)
    if module is not None:
        clf = CompositionalAUCClassifier(
            module, max_epochs=9, random_state=0, iterator_train__num_workers=workers
        )
    with pytest.raises(ValueError, match=r"X has an infinite value in example 61\.$"):
        clf.fit(Spoilt(*few_digits, 61, -np.inf))


def test_training_that_goes_on_names_the_example(few_digits):
    X, y = few_digits
    clf = image_classifier().fit(UserDataset(X.astype(np.float32), y))
    scores = clf.decision_function(X.astype(np.float32))
    with pytest.raises(DivergenceError, match=r"X has NaN in example 3\."):
        clf.partial_fit(Spoilt(X, y, 3))
    np.testing.assert_array_equal(clf.decision_function(X.astype(np.float32)), scores)


def test_the_number_is_that_of_the_user(few_digits):
    X, y = few_digits
    weights = (np.arange(len(y)) % 3 > 0).astype(float)
    with pytest.raises(DivergenceError, match=r"X has NaN in example 61\."):
        image_classifier().fit(Spoilt(X, y, 61), sample_weight=weights)
    for row in (2, 7, 33, 61, 99):  # of training or of validation
        with pytest.raises(DivergenceError, match=rf"X has NaN in example {row}\."):
            image_classifier(early_stopping=True).fit(Spoilt(X, y, row))
    # a Subset of the user is the user's Dataset
    subset = Subset(Spoilt(X, y, 61), range(11, 100))
    with pytest.raises(DivergenceError, match=r"X has NaN in example 50\."):
        image_classifier().fit(subset)


def test_validation_names_the_example(few_digits):
    X, y = few_digits
    good, bad = UserDataset(X.astype(np.float32), y), Spoilt(X, y, 42)
    with pytest.raises(DivergenceError, match=r"validation data .* X has NaN in example 42\."):
        image_classifier().fit(good, X_val=bad)


@pytest.mark.parametrize("method", ["decision_function", "predict_proba", "predict", "score"])
@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (np.inf, "an infinite value")])
def test_prediction_names_the_example(few_digits, method, value, what):
    X, y = few_digits
    clf = image_classifier().fit(UserDataset(X.astype(np.float32), y))
    spoilt = Spoilt(X, y, 61, value)
    with pytest.raises(ValueError, match=f"^X has {what} in example 61\\.$"):
        getattr(clf, method)(spoilt)
    # twice for the labels and the scores, and the example once more
    assert spoilt.n_reads.sum() <= 2 * len(y) + 2


def test_gaps_that_the_network_takes_are_not_to_blame(toy, make):
    X, y = toy
    spoilt = Spoilt(X, y, 7)
    assert np.isfinite(make().fit(spoilt).decision_function(spoilt)).all()
    spoilt.X[9, 0] = np.inf
    with pytest.raises(ValueError, match=r"^X has an infinite value in example 9\.$"):
        make().fit(spoilt)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_net_names_the_row_of_an_array(toy, workers):
    X, y = toy
    X[33, 2] = np.nan
    with pytest.raises(DivergenceError, match=r"X has NaN in example 33\."):
        make_net(iterator_train__num_workers=workers).fit(X, y)


def test_finite_data_leaves_the_rate_to_blame(few_digits):
    X, y = few_digits
    clf = image_classifier(lr=1e38, clip_value=1e30)
    with pytest.raises(DivergenceError, match="Use a smaller lr"):
        clf.fit(UserDataset(X.astype(np.float32), y))


def test_data_that_cannot_be_searched_leaves_the_rate_to_blame(toy):
    """Batches of a shape that only the user knows."""
    X, y = toy
    X[33, 2] = np.nan

    def collate(items):
        return {"input": torch.stack([x for x, _ in items])}, torch.stack([t for _, t in items])

    pairs = [(torch.from_numpy(x), torch.tensor(t)) for x, t in zip(X, y, strict=True)]

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return len(pairs)

        def __getitem__(self, index):
            return pairs[index]

    net = make_net(iterator_train__collate_fn=collate, iterator_valid__collate_fn=collate)
    with pytest.raises(DivergenceError, match="Use a smaller lr"):
        net.fit(Pairs(), None)
