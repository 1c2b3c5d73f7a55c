"""Fitted classifiers as ONNX files, run by onnxruntime, and as torch modules."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from torch import nn

import skdam
from skdam import CompositionalAUCClassifier
from skdam.export import to_module, to_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}
SMALL = {
    "module__hidden_layer_sizes": (8,),
    # else two epochs leave the perceptrons hardly a vote
    "module__n_landmarks": 0,
    # small data has no encoding by default
    "module__encoding": "piecewise-linear",
}


@pytest.fixture
def session_of(tmp_path):
    """Export a classifier, and open the file in onnxruntime."""

    def export(clf):
        to_onnx(clf, tmp_path / "model.onnx")
        return onnxruntime.InferenceSession(tmp_path / "model.onnx")

    return export


@pytest.fixture
def mixed():
    """A frame with numbers, times, strings, booleans, numbers as categories, and gaps."""
    rng = np.random.default_rng(0)
    n = 300
    X = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n),
            "time": 1.7e9 + rng.integers(0, 10_000, n),
            "city": rng.choice(["Bern", "Genève", "Zug", "rare"], n, p=[0.5, 0.3, 0.19, 0.01]),
            "member": rng.random(n) > 0.5,
            "code": pd.Categorical(rng.integers(0, 30, n)),
            "empty": pd.Series([None] * n, dtype=object),
        }
    )
    y = np.where((X.city == "Zug") | (X.age > 55), "yes", "no")
    X.loc[::7, "age"] = np.nan
    X.loc[::11, "city"] = None
    return X, y


def make(**parameters):
    return CompositionalAUCClassifier(**({"max_epochs": 2, "random_state": 0} | parameters))


def feeds_of(session, X):
    """What a session takes, of an array or a frame."""
    inputs = session.get_inputs()
    if inputs[0].name == "X":
        return {"X": np.asarray(X, dtype=TYPES.get(inputs[0].type, np.uint8))}
    return {node.name: X[[node.name]].to_numpy(TYPES[node.type]) for node in inputs}


def assert_same(session, clf, X):
    """Assert that a session returns what the classifier does, for X and for its first row."""
    for rows in (X, X[:1]):
        label, probabilities, scores = session.run(None, feeds_of(session, rows))
        np.testing.assert_array_equal(label, clf.predict(rows))
        np.testing.assert_allclose(probabilities, clf.predict_proba(rows), rtol=0, atol=1e-5)
        np.testing.assert_allclose(scores, clf.decision_function(rows), rtol=1e-5, atol=1e-5)


class Perceptrons(nn.Module):
    """A module as users write them, with members and layers that differ in training."""

    def __init__(self, n_features, n_members=2):
        super().__init__()
        self.n_members = n_members
        self.layers = nn.Sequential(
            nn.Linear(n_features, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(8, n_members),
        )

    def forward(self, X):
        return self.layers(X)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"n_members": 1},
        {"module__encoding": None, "calibration": None},
        {"calibration": "isotonic", "class_weight": "balanced"},
        {"module": Perceptrons},
        {"module": Perceptrons, "n_members": 1},
    ],
    ids=str,
)
def test_a_file_predicts_as_the_classifier(toy, session_of, parameters):
    X, y = toy
    small = {} if "module" in parameters else SMALL
    clf = make(**(small | parameters)).fit(X, y)
    before = clf.predict_proba(X)
    session = session_of(clf)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    assert_same(session, clf, 2 * X[:37])


def test_the_default_network_with_a_kernel_machine_and_gaps(cancer, session_of):
    X, y = cancer
    clf = make(module__encoding="piecewise-linear").fit(X, y)
    assert clf.net_.module_.shares[1] > 0
    X = X[:50].astype(np.float32)
    X.iloc[0, :5] = np.nan
    X.iloc[1] = np.nan
    X.iloc[2] = np.float32(1e30)
    X.iloc[3] = np.float32(-1e30)
    session = session_of(clf)
    assert_same(session, clf, X)
    # all rows at once are as each alone
    (together,) = session.run(["probabilities"], {"X": X.to_numpy()})
    alone = [session.run(["probabilities"], {"X": X.to_numpy()[i : i + 1]})[0] for i in range(4)]
    np.testing.assert_allclose(np.vstack(alone), together[:4], rtol=0, atol=1e-6)


def test_a_frame_with_strings_has_an_input_for_each_column(mixed, session_of):
    X, y = mixed
    clf = make(**SMALL).fit(X, y)
    session = session_of(clf)
    inputs = {node.name: (node.type, node.shape) for node in session.get_inputs()}
    # float32 would round the times
    numbers = dict.fromkeys(X, ("tensor(double)", ["n", 1]))
    assert inputs == numbers | {"city": ("tensor(string)", ["n", 1])}
    new = X[:40].copy()
    new.loc[1, "city"] = "Basel"
    new.loc[2, "city"] = ""
    new.loc[3, "time"] = 0.0
    new["code"] = new["code"].astype(float)
    new.loc[4, "code"] = 99.0
    new.loc[5, "code"] = np.nan
    assert_same(session, clf, new)
    assert {output.name: output.shape for output in session.get_outputs()} == {
        "label": ["n"],
        "probabilities": ["n", 2],
        "decision_function": ["n"],
    }


def test_categories_that_are_numbers_stay_in_one_matrix(mixed, session_of):
    X, y = mixed
    X = X[["member", "age", "code"]]
    clf = make(**SMALL).fit(X, y)
    session = session_of(clf)
    assert [(node.type, node.shape) for node in session.get_inputs()] == [
        ("tensor(float)", ["n", 3])
    ]
    assert_same(session, clf, X[:9])


def test_categories_that_float32_would_round_are_doubles(mixed, session_of):
    X, y = mixed
    X = np.column_stack([X["age"], X["code"].astype(float) / 10])
    clf = make(categorical_features=[1], **SMALL).fit(X, y)
    session = session_of(clf)
    assert session.get_inputs()[0].type == "tensor(double)"
    assert_same(session, clf, X[:9])


def test_columns_without_names_are_numbered(mixed, session_of):
    X, y = mixed
    X = X[["age", "city"]].to_numpy(object)
    session = session_of(make(categorical_features=[1], **SMALL).fit(X, y))
    assert [(node.name, node.type) for node in session.get_inputs()] == [
        ("x0", "tensor(float)"),
        ("x1", "tensor(string)"),
    ]


def test_images_of_bytes(few_digits, session_of):
    X, y = few_digits
    clf = make(module__width=2).fit(X, y)
    session = session_of(clf)
    assert session.get_inputs()[0].type == "tensor(uint8)"
    assert_same(session, clf, X[:7])


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        (("b", "a"), "tensor(string)"),
        ((False, True), "tensor(bool)"),
        ((1.0, 2.0), "tensor(double)"),
    ],
    ids=str,
)
def test_labels_keep_their_kind(toy, session_of, labels, dtype):
    X, y = toy
    clf = make(module=Perceptrons).fit(X, np.where(y == 1, *labels))
    session = session_of(clf)
    assert session.get_outputs()[0].type == dtype
    assert_same(session, clf, X)


def test_metadata_say_what_goes_in_and_comes_out(mixed, session_of):
    X, y = mixed
    clf = make(**SMALL).fit(X[["city", "age"]], y)
    metadata = session_of(clf).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == ["no", "yes"]
    assert json.loads(metadata["feature_names"]) == ["city", "age"]
    assert json.loads(metadata["categories"]) == [["Bern", "Genève", "Zug", "rare"], None]
    assert metadata["skdam_version"]


def test_a_file_tells_nothing_of_this_machine(toy, tmp_path):
    to_onnx(make(module=Perceptrons).fit(*toy), tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    for path in (skdam.__file__, torch.__file__, __file__):
        assert str(Path(path).parent).encode() not in content


def test_torch_exports_the_module_for_batches_of_any_size(cancer):
    X, y = cancer[0].to_numpy(np.float32), cancer[1]
    clf = make(**SMALL).fit(X, y)
    rows = {0: torch.export.Dim.DYNAMIC}
    example = (torch.tensor(X[:5]),)
    program = torch.export.export(to_module(clf), example, dynamic_shapes=(rows,), strict=False)
    for some in (X, X[:1]):
        probabilities, scores = program.module()(torch.tensor(some))
        np.testing.assert_allclose(probabilities, clf.predict_proba(some), rtol=0, atol=1e-5)
        np.testing.assert_allclose(scores, clf.decision_function(some), rtol=1e-5, atol=1e-5)


def test_a_module_takes_codes_of_categories(mixed):
    X, y = mixed
    X = X[["city", "time"]]
    clf = make(**SMALL).fit(X, y)
    module = to_module(clf)
    assert module.categories == (("Bern", "Genève", "Zug", "rare"), None)
    assert module.dtype == torch.float64
    codes = X["city"].map({name: code for code, name in enumerate(module.categories[0])})
    matrix = torch.tensor(np.column_stack([codes, X["time"]]), dtype=module.dtype)
    np.testing.assert_allclose(module(matrix)[0], clf.predict_proba(X), rtol=0, atol=1e-5)


class FixedRows(Perceptrons):
    def forward(self, X):
        return super().forward(X).reshape(len(X), -1)


class WithoutForm(Perceptrons):
    def forward(self, X):
        bins = torch.searchsorted(torch.zeros(3), X[:, :1].contiguous())
        return super().forward(X) + bins


@pytest.mark.parametrize("module", [FixedRows, WithoutForm])
def test_modules_that_cannot_be_exported_are_refused(toy, tmp_path, module):
    clf = make(module=module).fit(*toy)
    with pytest.raises(ValueError, match="torch cannot export the module"):
        to_onnx(clf, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_columns_that_onnx_lacks_are_refused(mixed, tmp_path):
    X, y = mixed
    X = X[["city", "age"]]
    both = X.assign(city=X["city"].where(X.index % 2 == 0, 1))
    cases = [
        (both, y, "column 'city' has both numbers and strings"),
        (X.rename(columns={"age": "label"}), y, "a column is called 'label'"),
        (X.rename(columns={"age": "codes/0"}), y, "a column is called 'codes/0'"),
    ]
    for frame, labels, message in cases:
        clf = make(max_epochs=1, **SMALL).fit(frame, labels)
        with pytest.raises(ValueError, match=message):
            to_onnx(clf, tmp_path / "model.onnx")


def test_only_a_fitted_classifier_can_be_exported(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(NotFittedError):
        to_onnx(make(), path)
    with pytest.raises(TypeError, match="CompositionalAUCClassifier, got Pipeline"):
        to_onnx(make_pipeline(make()), path)


def test_without_onnx_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'skdam\[onnx\]'"):
        to_onnx(make(), tmp_path / "model.onnx")
