"""Pickle, joblib, deepcopy, skops and clone."""

import copy
import io
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EpochScoring
from torch import nn

from skdam import CompositionalAUCClassifier

# the list of docs/persistence.rst
TRUSTED = [
    "skdam.CompositionalAUCClassifier",
    "skdam.data.memory.InMemoryDataset",
    "skdam.CompositionalAUCLoss",
    "skdam.TabularMLP",
    "skdam.CompositionalAUCNet",
    "skdam.PDSCA",
    "torch.utils.data.dataloader.DataLoader",
]
STOPPING = "skdam.callbacks.EarlyStoppingAUC"
OUT_OF_BAG = "skdam.training.outofbag.OutOfBagScoring"


class Convolution(nn.Module):
    """A module with batch normalisation, which has buffers besides its weights."""

    def __init__(self, channels=3):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, channels, 2), nn.BatchNorm1d(channels), nn.ReLU(), nn.Flatten()
        )
        self.last = nn.Linear(3 * channels, 1)

    def forward(self, X):
        return self.last(self.layers(X.unsqueeze(1)))


class Loud(Callback):
    def on_epoch_end(self, net, **kwargs):
        self.epochs_ = len(net.history)


def through_joblib(estimator):
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


WAYS = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "joblib": through_joblib,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"variant": "lookahead", "hypergradient": "exact"},
        {"strategy": "two-stage", "module__dropout": 0.2},
        {"early_stopping": True},
        {"module": Convolution, "module__channels": 5},
        {"module": nn.Linear(4, 1)},
        {"callbacks": [Loud()]},
        {"optimizer__adaptive": True, "lr": 0.01},
    ],
    ids=str,
)
def test_reloaded_models_predict_and_continue_training_bit_for_bit(toy, way, parameters, make):
    X, y = toy
    clf = make(**parameters).fit(*toy)
    before = torch.get_rng_state()
    other = WAYS[way](clf)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    assert other.history_.keys() == clf.history_.keys()
    assert other.n_iter_ == clf.n_iter_
    for one in (clf, other):
        one.partial_fit(X, y)
    np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))


def test_a_copy_is_independent(toy, make):
    X, y = toy
    clf = make().fit(*toy)
    scores = clf.decision_function(X)
    copy.deepcopy(clf).partial_fit(X, y)
    np.testing.assert_array_equal(clf.decision_function(X), scores)


def test_clone_is_unfitted_and_equal_in_parameters(toy, make):
    clf = make(module__dropout=0.1).fit(*toy)
    other = clone(clf)
    assert other.get_params() == clf.get_params()
    assert not hasattr(other, "net_")


def test_the_data_is_not_saved_with_the_model(toy, make):
    X, y = toy
    many = np.tile(X, (100, 1)), np.tile(y, 100)
    # of the data, the landmarks and the out-of-bag scores are saved
    sizes = {"module__n_landmarks": 20, "module__n_bins": 16}
    sizes["module__encoding"] = "piecewise-linear"
    for parameters in ({"early_stopping": True}, {}):
        small, large = (make(**parameters, **sizes).fit(*data) for data in (toy, many))
        small, large = (
            len(pickle.dumps(clf)) - clf.oob_decision_function_.nbytes for clf in (small, large)
        )
        assert large - small < 10_000 < many[0].nbytes


def test_a_pipeline_reloads_in_a_new_process(tmp_path, cancer):
    X, y = cancer
    pipeline = make_pipeline(
        StandardScaler(), CompositionalAUCClassifier(max_epochs=3, random_state=0)
    ).fit(X, y)
    joblib.dump(pipeline, tmp_path / "model.joblib")
    X.to_pickle(tmp_path / "X.pkl")
    program = (
        "import sys, joblib, numpy as np, pandas as pd, torch\n"
        "torch.set_num_threads(1)\n"
        "model = joblib.load(sys.argv[1] + '/model.joblib')\n"
        "X = pd.read_pickle(sys.argv[1] + '/X.pkl')\n"
        "np.save(sys.argv[1] + '/scores.npy', model.decision_function(X))\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), pipeline.decision_function(X))


@pytest.mark.parametrize(
    ("parameters", "added"),
    [
        ({}, [OUT_OF_BAG, STOPPING]),
        ({"early_stopping": False}, [OUT_OF_BAG]),
        ({"early_stopping": True}, [STOPPING]),
        ({"cross_fit": False}, []),
    ],
    ids=str,
)
def test_skops_needs_the_documented_types_only(toy, parameters, added, make):
    X, y = toy
    clf = make(**parameters).fit(*toy)
    data = skops.io.dumps(clf)
    trusted = sorted([*TRUSTED, *added])
    assert sorted(skops.io.get_untrusted_types(data=data)) == trusted
    other = skops.io.loads(data, trusted=trusted)
    np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    for one in (clf, other):
        one.partial_fit(X, y)
    np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))


def test_the_block_of_tensors_is_read_by_the_restricted_unpickler(toy, monkeypatch, make):
    """Otherwise a file that skops considers safe could run code."""
    state = make().fit(*toy).net_.__getstate__()
    evil = io.BytesIO()
    torch.save({"module": nn.Linear(1, 1)}, evil)
    state["fitted"]["training_state"] = evil.getvalue()
    net = object.__new__(type(make().fit(*toy).net_))
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        net.__setstate__(state)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a host without CUDA")
@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:3"])
def test_a_model_saved_with_cuda_loads_without_cuda(toy, monkeypatch, device, make):
    """Tag the tensors of the file with a CUDA device, as a host with CUDA does."""
    X, y = toy
    clf = make().fit(*toy)
    scores = clf.decision_function(X)
    clf.set_params(device=device)
    clf.net_.device = "cuda:3" if device == "cuda:3" else "cuda"
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        data = pickle.dumps(clf)
    with pytest.raises((RuntimeError, pickle.UnpicklingError), match="CUDA"):
        torch.load(io.BytesIO(block_of(data)), weights_only=True)
    other = pickle.loads(data)
    assert other.net_.device == "cpu"
    np.testing.assert_array_equal(other.decision_function(X), scores)
    if device == "auto":
        other.partial_fit(X, y)
    else:
        with pytest.raises(ValueError, match="is not there"):
            other.fit(X, y)


def block_of(data):
    """Return the block of tensors in a pickle."""
    blocks = []

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            if name == "CompositionalAUCNet":
                return Catcher
            return super().find_class(module, name)

    class Catcher:
        def __setstate__(self, state):
            blocks.append(state["fitted"]["training_state"])

    Reader(io.BytesIO(data)).load()
    return blocks[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_model_on_cuda_reloads_there_and_is_reproducible(toy, make):
    X, y = toy
    clf = make(device="cuda").fit(*toy)
    other = pickle.loads(pickle.dumps(clf))
    assert other.net_.device == "cuda"
    np.testing.assert_array_equal(other.decision_function(X), clf.decision_function(X))
    again = make(device="cuda").fit(*toy)
    np.testing.assert_allclose(again.decision_function(X), clf.decision_function(X), atol=1e-4)


def test_models_with_scoring_callbacks_can_be_pickled(toy, make):
    clf = make(callbacks=[EpochScoring(count, on_train=True, name="count")]).fit(*toy)
    assert WAYS["pickle"](clf).history_["count"].tolist() == [1.0, 1.0, 1.0]


def count(net, X, y):
    return 1.0
