"""Pickle, joblib, deepcopy, skops and clone."""

import copy
import importlib
import io
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import skops.io
import torch
from helpers import image_classifier
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EpochScoring
from torch import nn

from skdam import SKOPS_TRUSTED_TYPES, CompositionalAUCClassifier
from skdam.callbacks import EarlyStoppingAUC, StageSchedule


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
def test_reloaded_models_predict_and_continue_training_bit_for_bit(toy, parameters, make):
    X, y = toy
    clf = make(**parameters).fit(X, y)
    probabilities = clf.predict_proba(X)
    before = torch.get_rng_state()
    others = {way: reloaded(clf) for way, reloaded in WAYS.items()}
    assert torch.equal(torch.get_rng_state(), before)
    for way, other in others.items():
        np.testing.assert_array_equal(other.predict_proba(X), probabilities, err_msg=way)
        assert other.history_.keys() == clf.history_.keys()
        assert other.n_iter_ == clf.n_iter_
    expected = clf.partial_fit(X, y).predict_proba(X)
    for way, other in others.items():
        continued = other.partial_fit(X, y).predict_proba(X)
        np.testing.assert_array_equal(continued, expected, err_msg=way)


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


def assert_skops_trusts(clf, X, trusted):
    data = skops.io.dumps(clf)
    assert set(skops.io.get_untrusted_types(data=data)) <= set(trusted)
    other = skops.io.loads(data, trusted=trusted)
    np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    return other


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"early_stopping": True},
        {"cross_fit": False},
        {"calibration": "isotonic"},
        {"inner_loss": "focal", "strategy": "two-stage"},
        {"random_state": np.random.RandomState(0), "class_weight": {0: 1.0, 1: 2.0}},
        {"verbose": 2},
        {"callbacks": [StageSchedule(), EarlyStoppingAUC(monitor="train_loss")]},
    ],
    ids=str,
)
def test_skops_needs_no_list_by_hand(toy, parameters, make, capsys):
    X, y = toy
    clf = make(**parameters).fit(*toy)
    other = assert_skops_trusts(clf, X, SKOPS_TRUSTED_TYPES)
    for one in (clf, other):
        one.set_params(calibration="auto").partial_fit(X, y)
    np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))


def test_skops_needs_no_list_for_images_frames_and_trimmed_models(few_digits, cancer, make):
    images, y = few_digits
    clf = image_classifier(max_epochs=1).fit(images, y)
    assert_skops_trusts(clf, images, SKOPS_TRUSTED_TYPES)
    X, y = cancer
    X = X.assign(size=np.where(X["mean radius"] > 14, "large", None))
    clf = make(max_epochs=1).fit(X, y)
    assert_skops_trusts(clf, X, SKOPS_TRUSTED_TYPES)
    assert_skops_trusts(clf.trim_for_prediction(), X, SKOPS_TRUSTED_TYPES)
    pipeline = make_pipeline(StandardScaler(), make(max_epochs=1)).fit(X.iloc[:, :5], y)
    assert_skops_trusts(pipeline, X.iloc[:, :5], SKOPS_TRUSTED_TYPES)


class Perceptron(nn.Sequential):
    def __init__(self, n_features):
        super().__init__(nn.Linear(n_features, 3), nn.ReLU(), nn.Linear(3, 1))


def test_for_skops_a_custom_module_is_a_class_that_is_added_to_the_list(toy, make):
    clf = make(module=Perceptron).fit(*toy)
    name = f"{Perceptron.__module__}.Perceptron"
    assert_skops_trusts(clf, toy[0], [*SKOPS_TRUSTED_TYPES, name])
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException, match=name):
        skops.io.loads(skops.io.dumps(clf), trusted=SKOPS_TRUSTED_TYPES)


def test_the_types_to_trust_exist(toy):
    for name in SKOPS_TRUSTED_TYPES:
        module, _, kind = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), kind), type)


def test_the_block_of_tensors_is_read_by_the_restricted_unpickler(toy, monkeypatch, make):
    """Otherwise a file that skops considers safe could run code."""
    clf = make().fit(*toy)
    save = torch.save
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", lambda state, f: save({"module": nn.Linear(1, 1)}, f))
        data = pickle.dumps(clf)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        pickle.loads(data)


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


def test_weights_travel_by_safetensors(toy, tmp_path, make):
    """The recipe of docs/persistence.rst."""
    safetensors = pytest.importorskip("safetensors.torch")
    X, _ = toy
    clf = make().fit(*toy)
    safetensors.save_file(clf.net_.module_.state_dict(), tmp_path / "weights.safetensors")
    module = type(clf.net_.module_)(**clf.net_.get_params_for("module"))
    module.load_state_dict(safetensors.load_file(tmp_path / "weights.safetensors"))
    with torch.inference_mode():
        logits = module.eval().decision_function(torch.from_numpy(X)).double().numpy()
    np.testing.assert_array_equal(logits, clf.net_.decision_function(X))
