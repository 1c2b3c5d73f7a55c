"""Folds: what is alike stays together, and each class is spread evenly."""

import numpy as np
import pytest

from skdam.estimator.folds import as_groups, assign_folds, fingerprint

F = 5


@pytest.fixture
def data():
    """Rows, all different, and rare positives."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(403, 6)).astype(np.float32), (np.arange(403) % 13 == 0).astype(int)


def counts(folds, rows=slice(None), n_folds=F):
    return np.bincount(folds[rows], minlength=n_folds)


def test_classes_and_rows_are_spread_evenly(data):
    X, y = data
    folds = assign_folds(X, y, F)
    assert folds.dtype == np.int64
    for rows in (y == 1, y == 0, slice(None)):
        assert np.ptp(counts(folds, rows)) <= 1


@pytest.mark.parametrize("n_folds", [2, 8, 40])
def test_few_positives_are_in_different_folds(data, n_folds):
    X, _ = data
    y = np.zeros(len(X))
    y[[5, 77, 200]] = 1
    folds = assign_folds(X, y, n_folds)
    assert counts(folds, y == 1, n_folds).max() == -(-3 // n_folds)
    assert np.ptp(counts(folds, slice(None), n_folds)) <= 1


def test_permuted_rows_have_permuted_folds(data):
    X, y = data
    order = np.random.default_rng(1).permutation(len(X))
    folds = assign_folds(X, y, F)
    np.testing.assert_array_equal(assign_folds(X[order], y[order], F), folds[order])
    np.testing.assert_array_equal(assign_folds(np.asfortranarray(X), y, F), folds)
    np.testing.assert_array_equal(assign_folds(X[::-1], y[::-1], F), folds[::-1])


def test_permuted_rows_and_groups_have_permuted_folds(data):
    X, y = data
    groups = np.arange(len(X)) // 3
    order = np.random.default_rng(1).permutation(len(X))
    folds = assign_folds(X, y, F, groups)
    np.testing.assert_array_equal(assign_folds(X[order], y[order], F, groups[order]), folds[order])


def test_the_order_of_the_data_does_not_tell_the_fold():
    X = np.arange(1000, dtype=np.float32).reshape(-1, 1)
    folds = assign_folds(X, (np.arange(1000) % 2).astype(int), F)
    same = (folds[:-2] == folds[2:]).mean()  # of one class
    assert 0.1 < same < 0.3


def test_duplicates_share_a_fold_whatever_their_class(data):
    X, y = data
    rng = np.random.default_rng(0)
    copies = rng.integers(len(X), size=300)
    folds = assign_folds(np.concatenate([X, X[copies]]), np.r_[y, rng.integers(2, size=300)], F)
    np.testing.assert_array_equal(folds[403:], folds[copies])


def test_signs_of_zero_and_payloads_of_nan_make_no_difference(data):
    X, y = data
    X[:, 2], X[:, 4] = 0, np.nan
    other = X.copy()
    other[:, 2] = -0.0
    other.view(np.uint32)[:, 4] = 0xFFC00123
    assert np.isnan(other[:, 4]).all()
    folds = assign_folds(np.concatenate([X, other]), np.r_[y, y], F)
    np.testing.assert_array_equal(folds[:403], folds[403:])


def test_rows_that_differ_in_one_value_are_different(data):
    X, y = data
    X[:] = X[0]
    X[:, 3] = np.nextafter(np.float32(1), np.float32(2)) * np.arange(403) * 1e-20
    assert np.ptp(counts(assign_folds(X, y, F), y == 1)) <= 1
    # columns are not exchangeable
    X = np.array([[0, 1], [1, 0]] * 2, dtype=np.float32)
    assert assign_folds(X, np.array([1, 0, 0, 1]), 2) is not None


def test_rows_of_a_group_share_a_fold(data):
    X, y = data
    groups = np.random.default_rng(0).choice(["a", "b", "cc", "d", "e", "f", "g"], size=len(X))
    folds = assign_folds(X, y, F, groups)
    fold_of_group = {group: set(folds[groups == group]) for group in np.unique(groups)}
    assert all(len(found) == 1 for found in fold_of_group.values())
    assert set.union(*fold_of_group.values()) == set(range(F))


def test_groups_of_one_class_are_spread_evenly(data):
    X, y = data
    groups = np.where(y == 1, -1 - np.arange(403), np.arange(403) // 2)
    folds = assign_folds(X, y, F, groups)
    for label in (0, 1):
        _, first = np.unique(groups[y == label], return_index=True)
        assert np.ptp(counts(folds[y == label], first)) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_every_member_sees_both_classes_where_groups_hold_both(seed):
    """All negatives are in two of the groups, which have to be in different folds."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(12), 4))
    y = np.ones(48)
    for group in rng.choice(12, 2, replace=False):
        y[np.flatnonzero(groups == group)[: rng.integers(1, 5)]] = 0
    X = rng.normal(size=(48, 2)).astype(np.float32)
    folds = assign_folds(X, y, 4, groups)
    for fold in range(4):
        assert set(y[folds != fold]) == {0, 1}


@pytest.mark.parametrize("label", [0, 1])
def test_there_are_no_folds_with_fewer_than_two_different_rows_of_a_class(data, label):
    X, _ = data
    y = np.full(len(X), 1 - label)
    y[7] = label
    assert assign_folds(X, y, F) is None
    y[8] = label
    assert assign_folds(X, y, F) is not None
    X[8] = X[7]
    assert assign_folds(X, y, F) is None
    assert assign_folds(X, y, F, np.arange(len(X))) is not None
    y[20:30] = label
    assert assign_folds(X, y, F, y) is None


def test_groups_of_another_length_are_refused(data):
    X, _ = data
    with pytest.raises(ValueError, match=r"groups must have shape \(403,\)"):
        as_groups(np.arange(402), X)


@pytest.mark.parametrize("seed", range(10))
def test_groups_of_mixed_classes_are_spread_evenly(seed):
    rng = np.random.default_rng(seed)
    groups = np.arange(300) // 4
    y = (rng.random(300) < rng.choice([0, 0.5, 1], 75).repeat(4)).astype(int)
    folds = assign_folds(rng.normal(size=(300, 2)).astype(np.float32), y, F, groups)
    for label in (0, 1):
        _, first = np.unique(groups[y == label], return_index=True)
        assert np.ptp(counts(folds[y == label], first)) <= 1


def test_the_fingerprint_is_that_of_the_rows_and_their_folds(data):
    X, y = data
    folds = assign_folds(X, y, F)
    expected = fingerprint(X, folds)
    assert isinstance(expected, str)
    order = np.random.default_rng(1).permutation(len(X))
    assert fingerprint(X[order], folds[order]) == expected
    assert fingerprint(np.tile(X, (2, 1)), np.tile(folds, 2)) == expected
    X[0, 0] = 0.0
    with_zero = fingerprint(X, folds)
    X[0, 0] = -0.0
    assert fingerprint(X, folds) == with_zero != expected
    changed = X.copy()
    changed[7, 3] = np.nan
    moved = folds.copy()
    moved[7] = (moved[7] + 1) % F
    expected = with_zero
    others = [(X[1:], folds[1:]), (changed, folds), (X, moved), (X[:, ::-1], folds)]
    assert len({expected, *(fingerprint(*other) for other in others)}) == 5


def test_equal_rows_far_apart_in_a_large_table_share_a_fold():
    X = np.arange(140_000, dtype=np.float32).reshape(70_000, 2)
    X[-100:] = X[:100]
    targets = np.arange(len(X)) % 10 == 0
    folds = assign_folds(X, targets, 8)
    assert np.array_equal(folds[-100:], folds[:100])
