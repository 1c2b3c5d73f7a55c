"""Whatever table comes: a clear error before training, or scores that keep what is promised.

Examples are drawn by Hypothesis. The profile ``fast`` is for each change, ``long`` for
``make test-long``; see ``conftest.py``.
"""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback

from skdam import CompositionalAUCClassifier, CompositionalAUCLoss
from skdam._targets import Targets


class Spy(Callback):
    """Knows whether training has begun."""

    def on_train_begin(self, net, **kwargs):
        Spy.has_begun = True


def classifier(**parameters):
    small = {
        "max_epochs": 1,
        "n_members": 2,
        "module__hidden_layer_sizes": (4,),
        "module__n_landmarks": 8,
        "random_state": 0,
        "callbacks": [Spy()],
    }
    return CompositionalAUCClassifier(**(small | parameters))


def fitted(X, y, **parameters):
    """Return a fitted classifier, or None if it has refused the data before training."""
    Spy.has_begun = False
    try:
        return classifier(**parameters).fit(X, y)
    except (ValueError, TypeError):
        if Spy.has_begun:
            raise
        return None


def check_promises(clf, X):
    """Check what holds for all data, and return the scores."""
    scores = clf.decision_function(X)
    probabilities = clf.predict_proba(X)
    labels = clf.predict(X)
    assert scores.shape == labels.shape == (len(X),)
    assert scores.dtype == probabilities.dtype == np.float64
    assert np.isfinite(scores).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-15)
    assert (np.diff(probabilities[np.argsort(scores), 1]) >= 0).all()
    np.testing.assert_array_equal(labels, clf.classes_[(scores > 0).astype(int)])
    assert labels.dtype == clf.classes_.dtype
    return scores


# --- what is drawn

DTYPES = ["bool", "int8", "uint8", "int16", "int64", "uint64", "float16", "float32", "float64"]
SIZES = [1e-30, 1e-20, 1e-5, 1.0, 1e5, 1e20, 1e30]


@st.composite
def targets(draw, least=2, most=60):
    """Labels 0 and 1, at least ``least`` of each, mostly few ones."""
    n_positive = draw(st.integers(least, 8))
    n_negative = draw(st.integers(least, most))
    y = np.repeat([1, 0], [n_positive, n_negative])
    return np.random.default_rng(draw(st.integers(0, 2**16))).permutation(y)


@st.composite
def numbers(draw, y, dtype=None):
    """A column of numbers: of any size, constant, of few values, or far from 0."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(["normal", "constant", "few values", "heavy tails", "far from 0"]))
    values = rng.normal(size=len(y)) + y * draw(st.sampled_from([0.0, 1.0, 100.0]))
    if kind == "constant":
        values = np.full(len(y), values[0])
    elif kind == "few values":
        values = np.round(values)
    elif kind == "heavy tails":
        values = np.sign(values) * np.abs(values) ** draw(st.sampled_from([5, 30]))
    elif kind == "far from 0":
        values = values + draw(st.sampled_from([1e3, 1e9, -1e15]))
    dtype = np.dtype(dtype or draw(st.sampled_from(DTYPES)))
    if dtype.kind == "f":
        largest = float(min(np.finfo(dtype).max, np.finfo(np.float32).max)) / 2
        values = values * draw(st.sampled_from(SIZES))
        return np.clip(values, -largest, largest).astype(dtype)
    if dtype.kind == "b":
        return values > 0
    least = np.iinfo(dtype).min
    return np.clip(values, least, np.iinfo(dtype).max / 2).astype(dtype)


@st.composite
def arrays(draw, **options):
    """A matrix of one dtype and its labels; columns may be equal."""
    y = draw(targets(**options))
    dtype = draw(st.sampled_from(DTYPES))
    columns = draw(st.lists(numbers(y, dtype), min_size=1, max_size=4))
    if draw(st.booleans()):
        columns.append(columns[0])
    return np.column_stack(columns), y


@st.composite
def categories(draw, n, kind):
    """A list of n categories, or booleans, with gaps; some of them are rare."""
    some = {
        "strings": ["a", "b", "", "Ünïcode", "nan", " a", "1"],
        "booleans": [True, False],
        "integers": [0, 1, 7, -3, 10**6],
    }[kind]
    values = draw(st.lists(st.sampled_from(some), min_size=1, max_size=4, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    gaps = rng.random(n) < draw(st.sampled_from([0.0, 0.2, 1.0]))
    codes = rng.integers(len(values), size=n)
    return [None if gap else values[code] for gap, code in zip(gaps, codes, strict=True)]


def converted(frame, **options):
    """The frame in nullable dtypes."""
    with warnings.catch_warnings():
        # pandas 2.2 tries whether numbers are whole that no integer holds
        warnings.filterwarnings("ignore", "invalid value encountered in cast", RuntimeWarning)
        return frame.convert_dtypes(**options)


def as_frames(columns):
    """Return columns, as lists with None for gaps, as frames of all libraries and kinds."""
    frame = pd.DataFrame(
        {name: pd.Series(values, dtype=object) for name, values in columns.items()}
    )
    return {
        "objects": frame,
        "nullable": converted(frame),
        "arrow": converted(frame, dtype_backend="pyarrow"),
        "polars": pl.DataFrame(columns),
        "pyarrow": pa.table(columns),
    }


@st.composite
def tables(draw):
    """Columns of numbers, strings and booleans as lists, with gaps, and labels."""
    y = draw(targets())
    columns = {}
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["strings", "booleans", "integers", "floats"]))
        if kind == "floats":
            values = draw(numbers(y, "float64"))
            rng = np.random.default_rng(draw(st.integers(0, 2**16)))
            gaps = rng.random(len(y)) < draw(st.sampled_from([0.0, 0.3]))
            values = [None if gap else float(v) for gap, v in zip(gaps, values, strict=True)]
        else:
            values = draw(categories(len(y), kind))
        columns[f"{kind} {number}"] = values
    return columns, y


# --- what holds for arrays


@given(arrays(least=1))
def test_an_array_is_refused_before_training_or_scored(data):
    X, y = data
    clf = fitted(X, y)
    assert clf is not None
    check_promises(clf, X)
    # new rows may be anything within the dtype
    check_promises(clf, X[::-1][: len(X) // 2 + 1])


@given(arrays(), st.sampled_from(["none", "lookahead", "exact", "focal", "isotonic", "one member"]))
def test_other_configurations_keep_the_promises_too(data, kind):
    X, y = data
    parameters = {
        "none": {"module__encoding": "piecewise-linear", "cross_fit": False},
        "lookahead": {"variant": "lookahead"},
        "exact": {"variant": "lookahead", "hypergradient": "exact"},
        "focal": {"inner_loss": "focal", "strategy": "two-stage", "max_epochs": 2},
        "isotonic": {"calibration": "isotonic", "module__encoding": "piecewise-linear"},
        "one member": {"n_members": 1, "early_stopping": True},
    }[kind]
    clf = fitted(X, y, **parameters)
    if clf is not None:
        check_promises(clf, X)


@given(arrays(), st.data())
def test_the_order_of_rows_does_not_matter_at_prediction(data, draws):
    X, y = data
    clf = fitted(X, y)
    scores = clf.decision_function(X)
    order = np.array(draws.draw(st.permutations(range(len(X)))))
    np.testing.assert_array_equal(clf.decision_function(X[order]), scores[order])
    one = draws.draw(st.integers(0, len(X) - 1))
    np.testing.assert_allclose(
        clf.decision_function(X[one : one + 1])[0], scores[one], rtol=1e-4, atol=1e-5
    )


@given(arrays(), st.sampled_from(["F", "strided", "reversed", "frozen", "map", "list", "swapped"]))
def test_the_memory_of_an_array_does_not_matter(tmp_path_factory, data, kind):
    X, y = data
    expected = fitted(X, y).decision_function(X)
    if kind == "map":
        path = tmp_path_factory.mktemp("map") / "X.npy"
        np.save(path, X)
        other = np.load(path, mmap_mode="r")
    else:
        other = {
            "F": lambda: np.asfortranarray(X),
            "strided": lambda: X.repeat(2, axis=0)[::2],
            "reversed": lambda: np.ascontiguousarray(X[::-1])[::-1],
            "frozen": lambda: X.copy(),
            "list": lambda: X.tolist(),
            "swapped": lambda: X.astype(X.dtype.newbyteorder()),
        }[kind]()
    if kind == "frozen":
        other.setflags(write=False)
    np.testing.assert_array_equal(fitted(other, y).decision_function(other), expected)


@given(targets(), st.data())
def test_the_dtype_of_equal_numbers_does_not_matter(y, draws):
    X = np.column_stack([draws.draw(numbers(y, "int8")) for _ in range(2)])
    expected = fitted(X, y).decision_function(X)
    dtype = draws.draw(st.sampled_from(["int64", "float16", "float32", "float64", "object"]))
    np.testing.assert_array_equal(
        fitted(X.astype(dtype), y).decision_function(X.astype(dtype)), expected
    )


LABELS = [
    (False, True), (0, 1), (-1, 1), (2, 10**12), (0.0, 1.0), (-2.5, 1.0), ("a", "b"), ("", "é"),
]  # fmt: skip


@given(
    arrays(),
    st.sampled_from(LABELS),
    st.sampled_from(["array", "list", "objects", "series", "nullable", "category", "polars"]),
)
def test_names_and_kinds_of_labels_do_not_matter(data, labels, kind):
    X, y = data
    assume(not isinstance(labels[0], float) or float(labels[0]).is_integer())
    named = np.array(labels)[y]
    given_as = {
        "array": lambda: named,
        "list": lambda: named.tolist(),
        "objects": lambda: named.astype(object),
        "series": lambda: pd.Series(named, index=np.arange(len(y))[::-1]),
        "nullable": lambda: pd.Series(named).convert_dtypes(),
        "category": lambda: pd.Series(named).astype(
            pd.CategoricalDtype(list(labels)[::-1], ordered=True)
        ),
        "polars": lambda: pl.Series(named.tolist()),
    }[kind]()
    clf = fitted(X, given_as)
    assert clf.classes_.tolist() == list(labels)
    np.testing.assert_array_equal(
        check_promises(clf, X), fitted(X, y).decision_function(X), strict=True
    )


@given(arrays())
def test_swapping_the_labels_mirrors_batches_and_offset(data):
    """The scores themselves are alike on average only: other batches and folds are drawn."""
    X, y = data
    parameters = {"calibration": None, "batch_size": 4}
    clf, other = (fitted(X, labels, **parameters) for labels in (y, 1 - y))
    sampler, mirrored = clf.net_.sampler_, other.net_.sampler_
    assert sampler.n_positive == mirrored.n_negative
    assert sampler.n_negative == mirrored.n_positive
    assert clf.offset_ == pytest.approx(-other.offset_, abs=1e-5)
    assert (clf.n_iter_, clf.net_.lr) == (other.n_iter_, other.net_.lr)


@given(targets(), st.sampled_from(["cross-entropy", "focal"]), st.data())
def test_swapping_the_labels_mirrors_the_losses(y, inner_loss, draws):
    rng = np.random.default_rng(draws.draw(st.integers(0, 2**16)))
    logits = torch.from_numpy(rng.normal(size=len(y)) * draws.draw(st.sampled_from([0.1, 1, 30])))
    weights = torch.from_numpy(rng.integers(1, 5, size=len(y)).astype(float))
    loss = CompositionalAUCLoss(saddle="batch", inner_loss=inner_loss)
    for phase in ("inner", "outer"):
        value, mirrored = (
            loss(sign * logits, Targets.of(torch.from_numpy(labels.astype(float)), weights), phase)
            for sign, labels in ((1, y), (-1, 1 - y))
        )
        assert mirrored.item() == pytest.approx(value.item(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("n_positive", "least"), [(20, 0.7), (200, 0.9)])
def test_swapping_the_labels_turns_the_ranking_round(n_positive, least):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(800, 4)), np.arange(800) % (400 // n_positive) == 0
    X[y, 0] += 1.5
    scores, mirrored = (
        classifier(max_epochs=20, n_members=4).fit(X[:400], labels[:400]).decision_function(X[400:])
        for labels in (y, ~y)
    )
    assert spearmanr(scores, -mirrored)[0] > least
    assert roc_auc_score(y[400:], -mirrored) == pytest.approx(
        roc_auc_score(y[400:], scores), abs=0.03
    )


# its logits out of bag differ by so little that some scores are equal
NEARLY_TIED = (
    np.repeat(
        [
            0, -1, -1, 2, 0, -5, 0, 0, 0, 4, -1, 0, 5, 0, 2, 4, 0, 0, 0, 0, 0, 0, -2, 0, 0, 0, 0, 0,
            0, 0, 0, 0, -10, 0, 0, 0, 17, 0, 0, 5, 0, -13, 2, 0, 0, 43, -1, 0, -17, 0, -3, 0, 3, 0,
            2, 0, -10,
        ],
        2,
    ).reshape(-1, 2),
    np.isin(np.arange(57), [30, 43, 45, 54, 55]).astype(int),
)  # fmt: skip


@given(arrays(least=3), st.sampled_from(["sigmoid", "isotonic"]))
@example(NEARLY_TIED, "sigmoid")
def test_scores_out_of_bag_are_on_the_scale_of_the_scores(data, calibration):
    X, y = data
    clf = fitted(X, y, calibration=calibration)
    if clf is not None:
        assert clf.oob_decision_function_.shape == y.shape
        assert np.isfinite(clf.oob_decision_function_).all()
        assert clf.oob_score_ == roc_auc_score(y, clf.oob_decision_function_)


@given(arrays(), st.data())
def test_weights_of_any_scale_give_the_same_model(data, draws):
    X, y = data
    rng = np.random.default_rng(draws.draw(st.integers(0, 2**16)))
    weights = rng.integers(1, 4, size=len(y)) * 2.0 ** draws.draw(st.sampled_from([-900, 0, 900]))
    plain = classifier().fit(X, y, sample_weight=weights / weights.max())
    scores = check_promises(classifier().fit(X, y, sample_weight=weights), X)
    np.testing.assert_array_equal(scores, plain.decision_function(X))


@pytest.mark.parametrize("n", [2_000, 20_000])
def test_two_rare_examples_in_many(n):
    X = np.random.default_rng(0).normal(size=(n, 3))
    y = np.zeros(n, dtype=int)
    y[[n // 3, n // 2]] = 1
    X[y == 1] += 3
    for labels in (y, 1 - y):
        clf = fitted(X, labels, max_epochs=2)
        scores = check_promises(clf, X)
        assert 0 < clf.predict_proba(X)[:, int(labels.mean() < 0.5)].mean() < 0.5
        assert roc_auc_score(labels, scores) > 0.5


# --- what holds for frames


@given(tables(), st.sampled_from(["objects", "nullable", "arrow", "polars", "pyarrow"]))
def test_a_frame_is_refused_before_training_or_scored(data, library):
    columns, y = data
    X = as_frames(columns)[library]
    clf = fitted(X, y)
    if clf is not None:
        check_promises(clf, X)


@given(tables())
def test_the_library_of_a_frame_does_not_matter(data):
    columns, y = data
    frames = as_frames(columns)
    scores = {}
    for library, X in frames.items():
        clf = fitted(X, y)
        scores[library] = None if clf is None else clf.decision_function(X)
    first = scores.pop("polars")
    assert first is not None
    for library, other in scores.items():
        np.testing.assert_array_equal(other, first, err_msg=library)


@given(targets(), st.data())
def test_the_order_of_categories_does_not_matter(y, draws):
    values = draws.draw(categories(len(y), "strings"))
    number = draws.draw(numbers(y, "float32"))
    present = sorted({value for value in values if value is not None})
    scores = []
    for order in (present, draws.draw(st.permutations([*present, "unused"]))):
        column = pd.Categorical(values, categories=order)
        X = pd.DataFrame({"c": column, "n": number})
        scores.append(check_promises(fitted(X, y), X))
    np.testing.assert_array_equal(*scores)


@given(targets(), st.data())
def test_an_unknown_category_is_a_gap(y, draws):
    values = draws.draw(categories(len(y), "strings"))
    assume(any(value is not None for value in values))
    X = pd.DataFrame({"c": values, "n": draws.draw(numbers(y, "float64"))})
    clf = fitted(X, y)
    scores = [
        check_promises(clf, X.assign(c=pd.Series([value] * len(y), dtype=object)))
        for value in ("never seen", None)
    ]
    np.testing.assert_array_equal(*scores)
