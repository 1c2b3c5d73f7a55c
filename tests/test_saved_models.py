"""Models that were saved by each release still load, and predict as they did."""

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import skdam
from skdam.persistence import InconsistentVersionWarning

FOLDERS = sorted((Path(__file__).parent / "fixtures").glob("models-*"))
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*.joblib"))]


def load(path):
    version = path.parent.name.removeprefix("models-")
    if version == skdam.__version__:
        return joblib.load(path)
    with pytest.warns(InconsistentVersionWarning, match=version):
        return joblib.load(path)


@pytest.fixture(params=FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def saved(request):
    """A model from a file, its training data, and the probabilities when it was saved."""
    known = json.loads(request.param.with_suffix(".json").read_text())
    if known["dtype"] == "frame":
        X = pd.DataFrame(known["X"]["data"], columns=known["X"]["columns"])
    else:
        X = np.array(known["X"], dtype=known["dtype"])
    return load(request.param), X, np.array(known["y"]), np.array(known["probabilities"])


def test_there_are_files_of_this_version():
    assert f"models-{skdam.__version__}" in [folder.name for folder in FOLDERS]
    assert len(FILES) == 4 * len(FOLDERS)


def test_a_saved_model_predicts_as_it_did(saved):
    clf, X, _, probabilities = saved
    assert np.ptp(probabilities) > 0.05
    np.testing.assert_allclose(clf.predict_proba(X)[:, 1], probabilities, rtol=1e-4, atol=1e-5)


def test_a_saved_model_has_parameters_that_fit(saved):
    clf, X, y, probabilities = saved
    again = clone(clf).fit(X, y)
    np.testing.assert_array_equal(again.classes_, clf.classes_)
    assert again.predict_proba(X).shape == (len(probabilities), 2)


def test_a_saved_model_goes_on_training_unless_it_was_trimmed(saved, request):
    clf, X, y, _ = saved
    if "table" in request.node.name:
        with pytest.raises(ValueError, match="trimmed for prediction"):
            clf.partial_fit(X, y)
    else:
        # isotonic calibration needs scores out of bag, and partial_fit has none
        assert clf.set_params(calibration="auto").partial_fit(X, y).n_iter_ == 4
