"""Training in half precision."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

from skdam import CompositionalAUCNet


@pytest.fixture
def data():
    X, y = load_breast_cancer(return_X_y=True)
    return X[:200].astype(np.float32), y[:200]


def test_half_precision_trains_and_predicts_in_full(data, make):
    full, half = (make(max_epochs=3, precision=p).fit(*data) for p in ("float32", "bfloat16"))
    scores = half.decision_function(data[0])
    assert all(p.dtype == torch.float32 for p in half.net_.module_.parameters())
    # eight bits would tie
    assert len(np.unique(scores)) == len(np.unique(data[0], axis=0))
    assert np.corrcoef(scores, full.decision_function(data[0]))[0, 1] > 0.99
    assert not np.array_equal(scores, full.decision_function(data[0]))


def test_precision_is_checked(data, make):
    with pytest.raises(ValueError, match="precision"):
        make(precision="float16").fit(*data)
    with pytest.raises(ValueError, match="precision must be one of"):
        CompositionalAUCNet(nn.Linear(2, 1), precision="half").initialize()
