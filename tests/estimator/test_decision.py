"""The decision threshold: scores, probabilities and labels."""

import numpy as np
import pytest
import torch

from skdam import DivergenceError
from skdam.data.memory import InMemoryDataset
from skdam.estimator.decision import Decision


def test_the_threshold_is_midway_between_the_mean_probabilities_of_the_classes(toy, make):
    X, y = toy
    clf = make(max_epochs=20).fit(X, y)
    raw = 1 / (1 + np.exp(-clf.net_.decision_function(X)))
    middle = (raw[y == 1].mean() + raw[y == 0].mean()) / 2
    np.testing.assert_array_equal(clf.predict(X) == 1, raw > middle)


def test_overflowing_scores_of_the_training_data_are_an_error(toy, make):
    X, y = toy
    far = np.full_like(X, -3e38)
    far[0] = 3e38
    clf = make().fit(X, y)
    with pytest.raises(DivergenceError, match=r"overflow|diverged"):
        clf.fit(far, y)
    assert np.isfinite(clf.decision_function(X)).all()


def first_column(dataset):
    """A network that returns the first column as logits."""
    return np.array([dataset[i][0][0] for i in range(len(dataset))], dtype=np.float64)


def dataset_of(logits, targets):
    columns = torch.tensor(logits, dtype=torch.float32).unsqueeze(1)
    return InMemoryDataset(columns, torch.tensor(targets, dtype=torch.float32))


def test_the_offset_is_midway_in_probability_whatever_the_share_of_positives():
    logits = np.log([1 / 9, 1 / 9, 1 / 9, 4])  # probabilities 0.1 and 0.8
    decision = Decision.learn(first_column, dataset_of(logits, [0, 0, 0, 1]))
    assert decision.offset == pytest.approx(np.log(0.45 / 0.55))


def test_the_offset_of_many_rows_is_that_of_a_sample():
    n_scored = []

    def logits_of(dataset):
        n_scored.append(len(dataset))
        return first_column(dataset)

    targets = np.arange(6_000) < 3_000
    decision = Decision.learn(logits_of, dataset_of(np.where(targets, 1.0, -1.0), targets))
    assert n_scored == [1_500, 1_500]
    assert decision.offset == pytest.approx(0)


def test_the_offset_is_finite_where_probabilities_saturate():
    decision = Decision.learn(first_column, dataset_of([900, 900], [0, 1]))
    assert np.isfinite(decision.offset)


def test_training_logits_that_are_not_a_number_are_an_error():
    with pytest.raises(DivergenceError, match="scores of the training data overflow"):
        Decision.learn(first_column, dataset_of([np.nan, 0], [0, 1]))


def test_scores_probabilities_and_labels_agree():
    scores = Decision(0.5).scores(np.array([-1, 0.5, 2]))
    assert scores.tolist() == [-1.5, 0, 1.5]
    assert Decision.labels(scores, np.array(["a", "b"])).tolist() == ["a", "a", "b"]
    probabilities = Decision.probabilities(scores)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-scores)))


def test_scores_that_overflow_are_an_error_that_names_the_rows():
    with pytest.raises(ValueError, match="scores of 2 rows of X overflow, the first in row 1"):
        Decision(0.0).scores(np.array([0, np.inf, np.nan]))


def test_the_offset_may_be_set_by_the_user(toy, make):
    X, y = toy
    clf = make().fit(X, y)
    scores = clf.decision_function(X)
    clf.offset_ += scores.max()
    assert not clf.predict(X).any()
