"""What a saved model tells of single training rows."""

import pickle

import numpy as np
import pytest
import torch


def rows_found(clf, X):
    """Count the rows of a table that are in the tensors of a model, as they are or standardised.

    The means and deviations are in the model, so whoever has it can undo the standardising.
    """
    module = clf.net_.module_
    n_columns = X.shape[1]
    standardise = module.columns.standardise
    mean, scale = (v[:n_columns].numpy() for v in (standardise.mean, standardise.scale))
    found = np.zeros(len(X), dtype=bool)
    for part in clf.net_.training_state().values():
        for tensor in tensors_in(part):
            values = tensor.double().numpy()
            for axis in range(values.ndim):
                if values.shape[axis] < n_columns:
                    continue
                rows = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])[:, :n_columns]
                for candidates in (rows, rows * scale + mean):
                    distance = np.abs(X[:, None] - candidates).max(2) / scale.max()
                    found |= (distance < 1e-3).any(1)
    return int(found.sum())


def tensors_in(state):
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from tensors_in(value)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    y = (np.arange(120) % 4 == 0).astype(int)
    # within the clipping at three deviations
    return (rng.uniform(-1, 1, size=(120, 6)) + 0.5 * y[:, None]).astype(np.float32), y


def test_the_landmarks_are_training_rows(table, make):
    assert rows_found(make().fit(*table), table[0]) == 120


@pytest.mark.parametrize("without", [{"module__n_landmarks": 0}, {"cross_fit": False}], ids=str)
@pytest.mark.parametrize("trims", [False, True])
def test_without_landmarks_no_training_row_is_in_the_model(table, make, without, trims):
    clf = make(**without, module__encoding="piecewise-linear").fit(*table)
    if trims:
        clf.trim_for_prediction()
    assert rows_found(clf, table[0]) == 0


def test_the_order_of_landmarks_does_not_tell_their_labels(make):
    rng = np.random.default_rng(0)
    y = (rng.random(300) < 0.2).astype(int)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    clf = make(module__n_landmarks=60).fit(X, y)
    module = clf.net_.module_
    landmarks = module.kernel_machine.landmarks
    rows = torch.cdist(module.columns(torch.from_numpy(X)), landmarks).argmin(0).numpy()
    assert (np.diff(rows) > 0).all()
    assert 0 < y[rows].sum() < 60


def test_scores_of_single_rows_are_dropped_by_trimming(table, make):
    clf = make().fit(*table)
    scores = clf.oob_decision_function_.tobytes()
    assert scores in pickle.dumps(clf)
    assert scores not in pickle.dumps(clf.trim_for_prediction())
