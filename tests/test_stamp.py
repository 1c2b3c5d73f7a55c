"""Versions and checksums in saved models."""

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pytest
import sklearn.exceptions
import torch
from helpers import fit, make_net
from torch import nn

import skdam
from skdam import CompositionalAUCClassifier
from skdam.persistence import InconsistentVersionWarning


@pytest.fixture
def clf(toy):
    """A small model with all kinds of fitted attributes."""
    return CompositionalAUCClassifier(
        max_epochs=2,
        random_state=0,
        calibration="isotonic",
        n_members=2,
        module__hidden_layer_sizes=(4,),
        module__n_landmarks=10,
    ).fit(*toy)


def of_another_version(monkeypatch, obj):
    """Return the pickle that another version of skdam makes of an object."""
    with monkeypatch.context() as patch:
        patch.setattr("skdam._stamp.__version__", "0.0.9")
        return pickle.dumps(obj)


def test_the_same_version_loads_without_a_warning(clf):
    pickle.loads(pickle.dumps(clf))
    copy.deepcopy(clf)


def test_another_version_warns(clf, toy, monkeypatch):
    data = of_another_version(monkeypatch, clf)
    with pytest.warns(InconsistentVersionWarning, match=r"saved with skdam 0\.0\.9") as caught:
        other = pickle.loads(data)
    np.testing.assert_array_equal(other.predict_proba(toy[0]), clf.predict_proba(toy[0]))
    warning = caught[-1].message
    assert warning.estimator_name == "CompositionalAUCClassifier"
    assert warning.saved_by["skdam"] == "0.0.9"
    assert warning.loaded_by["skdam"] == skdam.__version__
    assert warning.saved_by["torch"] == warning.loaded_by["torch"] == str(torch.__version__)
    assert {"numpy", "scikit-learn", "skorch"} < warning.saved_by.keys()


def test_the_warning_is_one_of_scikit_learn_and_is_shown_once(clf, monkeypatch):
    data = of_another_version(monkeypatch, clf)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        pickle.loads(data)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn.exceptions.InconsistentVersionWarning)
        pickle.loads(data)


def test_unfitted_estimators_and_nets_warn_too(toy, monkeypatch):
    for obj in (CompositionalAUCClassifier(), fit(make_net(), toy)):
        with pytest.warns(InconsistentVersionWarning):
            pickle.loads(of_another_version(monkeypatch, obj))


def test_another_version_of_torch_is_no_reason_to_warn(clf, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("torch.__version__", "2.0.0")
        data = pickle.dumps(clf)
    pickle.loads(data)


class Resizable(nn.Linear):
    n_out = 1

    def __init__(self):
        super().__init__(4, self.n_out)


def test_an_error_in_loading_says_which_versions_differ(toy, monkeypatch):
    clf = CompositionalAUCClassifier(Resizable, max_epochs=1).fit(*toy)
    with monkeypatch.context() as patch:
        patch.setattr("torch.__version__", "2.0.0")
        data = pickle.dumps(clf)
    monkeypatch.setattr(Resizable, "n_out", 2)
    with pytest.raises(RuntimeError, match="size mismatch") as caught:
        pickle.loads(data)
    (note,) = caught.value.__notes__
    assert "torch 2.0.0" in note
    assert "skdam" not in note


@pytest.mark.parametrize("number", [0, 99])
def test_another_format_is_refused(clf, toy, monkeypatch, number):
    for obj in (clf, clf.net_):
        with monkeypatch.context() as patch:
            patch.setattr("skdam._stamp.FORMAT", number)
            data = of_another_version(monkeypatch, obj)
        with pytest.raises(ValueError, match=rf"0\.0\.9, in format {number}.*pip install"):
            pickle.loads(data)


def test_a_model_without_versions_is_refused(clf):
    state = {k: v for k, v in clf.__getstate__().items() if k in vars(clf)}
    with pytest.raises(ValueError, match="development version of skdam before"):
        object.__new__(CompositionalAUCClassifier).__setstate__(state)


class WithCache(CompositionalAUCClassifier):
    """A subclass that leaves an attribute out of its pickles, and adds one."""

    def __getstate__(self):
        state = super().__getstate__()
        state.pop("cache_", None)
        return state | {"note_": "saved"}


def test_a_subclass_may_change_which_attributes_are_saved(toy):
    clf = WithCache(max_epochs=1, random_state=0).fit(*toy)
    clf.cache_ = np.zeros(3)
    other = pickle.loads(pickle.dumps(clf))
    assert other.note_ == "saved"
    assert not hasattr(other, "cache_")


def flipped(data, position, bit):
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return io.BytesIO(bytes(changed))


def loaded(data):
    """Return what is in a file, or None if loading fails or warns."""
    try:
        return joblib.load(data)
    except Exception:
        # MemoryError is one as well: a length may have changed
        return None


def test_a_changed_bit_is_an_error_or_without_effect(clf, toy):
    # no frame: NumPy itself crashes on some damaged arrays of objects, such as column names
    X = toy[0]
    buffer = io.BytesIO()
    joblib.dump(clf, buffer)
    data = buffer.getvalue()
    probabilities = clf.predict_proba(X)
    rng = np.random.default_rng(0)
    n_errors = 0
    for position, bit in rng.integers((len(data), 8), size=(150, 2)):
        other = loaded(flipped(data, position, bit))
        if other is None:
            n_errors += 1
            continue
        np.testing.assert_array_equal(other.predict_proba(X), probabilities)
        np.testing.assert_array_equal(other.oob_decision_function_, clf.oob_decision_function_)
        assert other.get_params() == clf.get_params()
        for name, values in clf.history_.items():
            np.testing.assert_array_equal(other.history_[name], values)
    assert n_errors > 75


@pytest.mark.parametrize("part", ["tensors", "scores", "calibration"])
def test_damage_is_named(clf, part):
    data = pickle.dumps(clf)
    weight = clf.net_.module_.layers[-1].weight.detach().numpy()
    wanted = {
        "tensors": (weight.tobytes(), "'fitted' of CompositionalAUCNet"),
        "scores": (clf.oob_decision_function_.tobytes(), "'oob_decision_function_'"),
        "calibration": (np.float64(clf.offset_).byteswap().tobytes(), "of Compositional"),
    }
    place, name = wanted[part]
    with pytest.raises(ValueError, match=f"the saved model is damaged: .*{name}"):
        pickle.load(flipped(data, data.index(place) + 2, 0))
