"""Data frames: numbers, categories, strings, booleans and gaps, as they come."""

import datetime
import decimal
import pickle

import narwhals
import narwhals.stable.v1
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import TensorDataset

from skdam import TabularMLP
from skdam.estimator.tables import TableSpec, chosen_columns, columns_of

N = 160
WORDS = ["red", "green", "blue", None]


@pytest.fixture(scope="module")
def raw():
    """Lists of every kind of column, with None for gaps, and the labels."""
    rng = np.random.default_rng(0)
    number = rng.normal(size=N)
    word = rng.choice(4, N)
    answer = rng.choice(3, N)
    y = (number + (word == 0) + (answer == 1) > 1).astype(int)
    columns = {
        "number": [None if i % 9 == 0 else v for i, v in enumerate(number.tolist())],
        "count": rng.integers(9, size=N).tolist(),
        "count with gaps": [None if i % 7 == 0 else i % 5 for i in range(N)],
        "word": [WORDS[i] for i in word],
        "answer": [[False, True, None][i] for i in answer],
        "flag": [bool(i % 2) for i in range(N)],
        "level": [str(i % 3) for i in range(N)],
        "constant": ["same"] * N,
    }
    return columns, y


def as_pandas(columns):
    frame = pd.DataFrame(columns)
    return frame.assign(level=frame["level"].astype("category"))


def as_nullable_pandas(columns):
    return as_pandas(columns).convert_dtypes()


def as_polars(columns):
    pl = pytest.importorskip("polars")
    return pl.DataFrame(columns).with_columns(pl.col("level").cast(pl.Categorical))


def as_pyarrow(columns):
    pa = pytest.importorskip("pyarrow")
    table = pa.table(columns)
    number = table.column_names.index("level")
    return table.set_column(number, "level", table["level"].dictionary_encode())


def as_arrow_pandas(columns):
    pytest.importorskip("pyarrow")
    return pd.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow")


LIBRARIES = [as_pandas, as_nullable_pandas, as_polars, as_pyarrow, as_arrow_pandas]


def matrix(frame, choice=None):
    columns = columns_of(frame)
    spec = TableSpec.of_columns(columns, choice)
    return spec, spec.matrix(columns, gaps=True, expected="")


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_same_table_is_the_same_matrix_in_every_library(raw, library):
    columns, _ = raw
    spec, X = matrix(library(columns))
    assert spec.n_categories == (0, 0, 0, 3, 2, 2, 3, 1)
    assert spec.categories[3:5] == (("blue", "green", "red"), (0.0, 1.0))
    assert X.dtype == np.float32
    assert X.flags.c_contiguous
    expected_spec, expected = matrix(as_pandas(columns))
    assert spec == expected_spec
    np.testing.assert_array_equal(X, expected)
    for number, name in enumerate(columns):
        np.testing.assert_array_equal(np.isnan(X[:, number]), [v is None for v in columns[name]])


@pytest.mark.parametrize("library", [as_polars, as_pyarrow])
def test_the_same_table_is_the_same_model_in_every_library(raw, library, make):
    columns, y = raw
    clf, expected = make().fit(library(columns), y), make().fit(as_pandas(columns), y)
    assert list(clf.feature_names_in_) == list(columns)
    scores = expected.decision_function(as_pandas(columns))
    for frame in (library(columns), as_pandas(columns)):
        np.testing.assert_array_equal(clf.decision_function(frame), scores)


def test_codes_order_and_unused_categories_have_no_effect(raw, make):
    columns, y = raw
    frame = as_pandas(columns)
    other = frame.assign(
        level=pd.Categorical(columns["level"], categories=["9", "2", "0", "1"]),
        word=pd.Categorical(columns["word"], categories=["red", "x", "green", "blue"]),
    )
    clf = make().fit(frame, y)
    scores = clf.decision_function(frame)
    np.testing.assert_array_equal(make().fit(other, y).decision_function(frame), scores)
    np.testing.assert_array_equal(clf.decision_function(other), scores)
    np.testing.assert_allclose(clf.decision_function(other[::-1])[::-1], scores, rtol=1e-5)


def test_an_unknown_category_is_a_gap(raw, make):
    columns, y = raw
    frame = as_pandas(columns)
    clf = make().fit(frame, y)
    unknown, gap = (frame.assign(word=[value] * N) for value in ("mauve", None))
    np.testing.assert_array_equal(clf.decision_function(unknown), clf.decision_function(gap))


def test_a_gap_may_appear_at_prediction_only(raw, make):
    columns, y = raw
    frame = as_pandas(columns)
    clf = make().fit(frame, y)
    new = as_pandas({name: [None, *values[1:]] for name, values in columns.items()})
    assert new["flag"].dtype == object
    assert new["count"].dtype == float
    scores = clf.decision_function(new)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[1:], clf.decision_function(frame)[1:], rtol=1e-5)


def test_columns_without_information_do_no_harm(make):
    y = np.arange(60) % 2
    frame = pd.DataFrame(
        {
            "x": y + 0.5,
            "constant": 3,
            "only gaps": np.nan,
            "no object": pd.Series([None] * 60, dtype=object),
            "no text": pd.Series([None] * 60, dtype="string"),
            "one answer": True,
        }
    )
    clf = make(max_epochs=20).fit(frame, y)
    assert clf.score(frame, y) == 1
    # there was nothing to tell them from, so whatever they hold is unknown
    changed = frame.assign(**{"no object": "a", "no text": "b"})
    np.testing.assert_array_equal(clf.decision_function(changed), clf.decision_function(frame))


def test_objects_that_are_numbers_are_numbers():
    values = [1, None, np.nan, pd.NA, decimal.Decimal("2.5"), np.float32(3)]
    spec, X = matrix(pd.DataFrame({"a": pd.Series(values, dtype=object)}))
    assert spec == TableSpec()
    np.testing.assert_array_equal(X[:, 0], [1, np.nan, np.nan, np.nan, 2.5, 3])


@pytest.mark.parametrize(("fitted", "later"), [("float64", "float32"), ("float32", "float64")])
@pytest.mark.parametrize("among", [[], ["a"]])
def test_categories_that_are_fractions_come_back_in_another_precision(fitted, later, among):
    values = [0.1, 0.2, 2.5, 2.0**53, *among]

    def frame(kind):
        numbers = [value if value == "a" else np.dtype(kind).type(value) for value in values]
        return pd.DataFrame({"a": pd.Series(numbers, dtype=object if among else kind)})

    spec, X = matrix(frame(fitted), [0])
    again = spec.matrix(columns_of(frame(later)), gaps=True, expected="")
    np.testing.assert_array_equal(again, X)
    assert not np.isnan(X).any()


def test_categories_are_sorted_by_type_and_value():
    values = ["10", 10, "9", 9.5, True, pd.Interval(0, 1), None, np.nan]
    spec, X = matrix(pd.DataFrame({"a": pd.Series(values, dtype=object)}))
    assert spec.categories == ((1.0, 9.5, 10.0, "(0, 1]", "10", "9"),)
    np.testing.assert_array_equal(X[:, 0], [4, 2, 5, 1, 0, 3, np.nan, np.nan])
    assert all(type(c) in (float, str) for c in spec.categories[0])


@pytest.mark.parametrize("categories", [[1, 2, 3], [1.5, 2.5, 3.5], pd.interval_range(0, 3)])
def test_a_categorical_of_anything_is_a_category(categories):
    values = pd.Categorical.from_codes([2, 0, -1, 2], categories=categories)
    spec, X = matrix(pd.DataFrame({"a": values}))
    assert spec.n_categories == (2,)
    np.testing.assert_array_equal(X[:, 0], [1, 0, np.nan, 1])
    dates = pd.Categorical(pd.to_datetime(["2021-01-01", "2020-01-01", None]))
    np.testing.assert_array_equal(matrix(pd.DataFrame({"a": dates}))[1][:, 0], [1, 0, np.nan])


@pytest.mark.parametrize("values", [pd.to_datetime(["2021-01-01", "2020-01-01"]),
                                    pd.to_timedelta([90, 1], unit="min")])  # fmt: skip
def test_a_category_is_the_same_in_another_unit_of_time(values):
    units = [pd.DataFrame({"a": pd.Categorical(values.as_unit(unit))}) for unit in ("s", "ns")]
    spec, X = matrix(units[0])
    assert set(X[:, 0]) == {0, 1}
    np.testing.assert_array_equal(spec.matrix(columns_of(units[1]), gaps=True, expected=""), X)


@pytest.mark.parametrize("values", [np.array([2**60, 2**60 + 1]), [2**60, "a"], [-(2**70), 1]])
def test_categories_beyond_double_precision_are_refused(values, make):
    column = pd.Series(values).astype("category")
    X, y = pd.DataFrame({"id": pd.concat([column] * 20, ignore_index=True)}), [0, 1] * 20
    with pytest.raises(ValueError, match=r"'id': categories beyond 2\*\*53; .*X\['id'\]\.astype"):
        make().fit(X, y)
    assert make().fit(X.astype(str), y).score(X.astype(str), y) == 1


def test_large_integers_may_be_categories_as_long_as_they_are_exact():
    spec, _ = matrix(pd.DataFrame({"id": pd.Categorical([2**53, 2**53 - 1, -(2**53)])}))
    assert spec.n_categories == (3,)


def test_a_dictionary_of_pyarrow_keeps_its_gaps():
    pa = pytest.importorskip("pyarrow")
    chunks = [pa.array(values).dictionary_encode() for values in (["b", None], ["a", "b"])]
    numbers = pa.array([7, 5, None, 7]).dictionary_encode()
    spec, X = matrix(pa.table({"text": pa.chunked_array(chunks), "numbers": numbers}))
    assert spec.categories == (("a", "b"), (5.0, 7.0))
    np.testing.assert_array_equal(X.T, [[1, np.nan, 0, 1], [1, 0, np.nan, 1]])


@pytest.mark.parametrize("values", [[True, False, None], [1, 0, None], [1.0, 0.0, np.nan]])
def test_booleans_and_the_numbers_0_and_1_are_the_same_category(values):
    spec, _ = matrix(pd.DataFrame({"a": [True, False, True]}))
    for dtype in (None, object):
        columns = columns_of(pd.DataFrame({"a": pd.Series(values, dtype=dtype)}))
        X = spec.matrix(columns, gaps=True, expected="")
        np.testing.assert_array_equal(X[:, 0], [1, 0, np.nan])


def test_booleans_may_stand_for_numbers(make):
    X = pd.DataFrame({"a": np.arange(40) % 2, "b": np.arange(40.0)})
    y = np.arange(40) // 4 % 2
    clf = make().fit(X, y)
    scores = clf.decision_function(X.assign(a=X["a"] == 1))
    np.testing.assert_array_equal(scores, clf.decision_function(X))


UNREADABLE = {
    "day": ([datetime.datetime(2020, 1, 1)], r"dates; .*X\['day'\]\.dt\.dayofweek.*skrub\.tabular"),
    "date": ([datetime.date(2020, 1, 1)], r"dates; "),
    "span": ([datetime.timedelta(1)], r"durations; .*X\['span'\]\.dt\.total_seconds\(\)"),
    "list": ([[1, 2]], "lists or structs; make columns"),
    "dict": ([{"a": 1}], "lists or structs; make columns"),
    "bytes": ([b"x"], "bytes; decode them"),
    "infinite": ([np.inf], "infinite values; replace them"),
    "large": ([1e300], "values too large for float32; rescale"),
}


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_one_error_names_all_columns_that_cannot_be_read(raw, library, make, assert_refused):
    columns, y = raw
    data = {"count": columns["count"]} | {name: v[0] * N for name, v in UNREADABLE.items()}
    frame = {
        "pandas": lambda: pd.DataFrame(data),
        "polars": lambda: pytest.importorskip("polars").DataFrame(data),
        "pyarrow": lambda: pytest.importorskip("pyarrow").table(data),
    }[library]()
    lines = [rf"'{name}': {message}" for name, (_, message) in UNREADABLE.items()]
    message = "X has columns that cannot be read:" + "".join(rf"\n  {line}.*" for line in lines)
    assert_refused(make(), (frame, y), message + "$", (as_pandas(columns), y))
    with pytest.raises(ValueError, match=message + "$"):
        make(module=nn.Linear(9, 1)).fit(frame, y)


def test_complex_numbers_and_periods_are_refused():
    frame = pd.DataFrame({"c": [1j, 2], "p": pd.period_range("2020", periods=2, freq="D")})
    with pytest.raises(ValueError, match=r"'c': complex numbers; (.|\n)*'p': dates; "):
        matrix(frame)


def test_a_custom_module_refuses_text_and_gaps(raw, make):
    columns, y = raw
    clf = make(module=nn.Linear(8, 1))
    message = (
        r"'number': gaps; fill them(.|\n)*'count with gaps': gaps(.|\n)*"
        r"'word': strings; this module takes finite numbers; encode them.*skrub(.|\n)*"
        r"'answer': gaps"
    )
    with pytest.raises(ValueError, match=message):
        clf.fit(as_pandas(columns), y)
    numbers = pd.DataFrame({name: columns[name] for name in ("count", "flag")})
    clf.set_params(module=nn.Linear(2, 1)).fit(numbers, y)
    with pytest.raises(ValueError, match="'flag': gaps"):
        clf.predict(numbers.assign(flag=None))
    np.testing.assert_array_equal(
        clf.decision_function(numbers), clf.decision_function(numbers.astype(float))
    )


def test_a_module_says_that_it_takes_gaps(raw, make):
    columns, y = raw
    frame = as_pandas(columns)
    expected = make().fit(frame, y).decision_function(frame)
    scores = make(module=TabularMLP).fit(frame, y).decision_function(frame)
    np.testing.assert_array_equal(scores, expected)

    class Filled(nn.Linear):
        takes_gaps = True

        def forward(self, X):
            return super().forward(X.nan_to_num())

    clf = make(module=Filled, module__in_features=2, module__out_features=1)
    clf.fit(frame[["number", "count with gaps"]], y)
    with pytest.raises(ValueError, match=r"columns \[1\] of X hold categories.*n_categories"):
        clf.fit(frame[["number", "word"]], y)


@pytest.mark.parametrize(
    "choice", [["count", "word"], [1, 3], [False, True, False, True, *[False] * 4]], ids=str
)
def test_columns_may_be_named_as_categories(raw, make, choice):
    columns, y = raw
    frame = as_pandas(columns).drop(columns=["constant", "level"]).assign(a=1, b=2)
    clf = make(categorical_features=choice).fit(frame, y)
    assert clf.net_.module_.n_members == 8
    spec = TableSpec.of_columns(columns_of(frame), chosen_columns(choice, frame.columns, 8))
    assert spec.n_categories == (0, 9, 0, 3, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="'word': strings; categorical_features does not name it"):
        make(categorical_features=["count"]).fit(frame, y)
    with pytest.raises(ValueError, match="'word': strings; categorical_features does not name it"):
        make(categorical_features=None).fit(frame, y)


def test_columns_of_arrays_may_be_categories(toy, make):
    X, y = toy
    codes = np.round(X * 2) + 100
    codes[4, 1] = np.nan
    clf = make(categorical_features=[1, 2]).fit(codes, y)
    renamed = codes.copy()
    renamed[:, 1:3] *= 7
    other = make(categorical_features=[False, True, True, False]).fit(renamed, y)
    scores = clf.decision_function(codes)
    np.testing.assert_array_equal(other.decision_function(renamed), scores)
    texts = renamed.astype(object)
    texts[:, 1] = ["" if np.isnan(v) else f"{v:04.0f}" for v in renamed[:, 1]]
    texts[4, 1] = None
    for data in (texts, texts.tolist()):
        other = make(categorical_features=[1, 2]).fit(data, y)
        np.testing.assert_array_equal(other.decision_function(data), scores)
    assert not np.array_equal(make().fit(codes, y).decision_function(codes), scores)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (["hue"], r"names \['hue'\], which X does not have"),
        ([8], r"indices outside of \[0, 7\]: \[8\]"),
        ([-1], r"indices outside of \[0, 7\]: \[-1\]"),
        ([True], "mask of length 8"),
        ([0.5], "must be 'from_dtype', None, a mask"),
        ("word", "categorical_features.*must be"),
    ],
)
def test_wrong_choices_of_categories_are_refused(raw, make, choice, message):
    columns, y = raw
    with pytest.raises(ValueError, match=message):
        make(categorical_features=choice).fit(as_pandas(columns), y)


def test_categories_are_chosen_only_where_there_are_any(toy, make, few_digits):
    X, y = toy
    with pytest.raises(ValueError, match="X without names"):
        make(categorical_features=["a"]).fit(X, y)
    message = "categorical_features is for tables and for a module that takes categories"
    with pytest.raises(ValueError, match=message):
        make(categorical_features=[0], module=nn.Linear(4, 1)).fit(X, y)
    with pytest.raises(ValueError, match=message):
        make(categorical_features=[0]).fit(*few_digits)
    with pytest.raises(ValueError, match=message):
        make(categorical_features=[0]).fit(TensorDataset(torch.from_numpy(X)), y)


def test_lazy_frames_are_refused(raw, make):
    pl = pytest.importorskip("polars")
    columns, y = raw
    with pytest.raises(TypeError, match=r"LazyFrame.*call X\.collect\(\)"):
        make().fit(pl.LazyFrame(columns), y)


def test_columns_must_be_those_of_fit(raw, make):
    columns, y = raw
    frame = as_pandas(columns)
    clf = make().fit(frame, y)
    with pytest.raises(ValueError, match="must be in the same order"):
        clf.predict(frame[frame.columns[::-1]])
    with pytest.raises(ValueError, match=r"yet now missing:\n- flag"):
        clf.predict(frame.drop(columns="flag"))
    with pytest.raises(ValueError, match="0 sample"):
        clf.predict(frame[:0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clf.fit(frame, y[1:])


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_columns_must_be_of_the_kind_of_fit(raw, make):
    columns, y = raw
    frame = as_pandas(columns)
    clf = make().fit(frame, y)
    changed = frame.assign(
        number="1.5",
        count=pd.Timestamp("2020-01-01"),
        word=1.0,
        flag="yes",
        level=["0", *"1" * 159],
    )
    message = (
        r"'number': strings; it held numbers in fit(.|\n)*'count': dates(.|\n)*"
        r"'word': numbers, and its categories were strings(.|\n)*"
        r"'flag': strings, and its categories were numbers in fit; [^\n]*$"
    )
    for data in (changed, changed.to_numpy(dtype=object)):
        with pytest.raises(ValueError, match=message):
            clf.predict(data)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_infinity_is_refused_at_prediction(raw, make):
    columns, y = raw
    frame = as_pandas(columns)
    clf = make().fit(frame, y)
    for name in ("number", "count", "flag"):
        with pytest.raises(ValueError, match=f"'{name}': infinite values"):
            clf.predict(frame.assign(**{name: np.inf}))


def test_an_array_of_objects_is_read_as_the_frame_of_fit(raw, make):
    columns, y = raw
    frame = as_polars(columns)
    clf = make().fit(frame, y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        scores = clf.decision_function(np.asarray(frame.to_numpy(), dtype=object))
    np.testing.assert_array_equal(scores, clf.decision_function(frame))


def test_partial_fit_keeps_the_categories_of_its_first_call(raw, make):
    columns, y = raw
    frame = as_pandas(columns)
    new, gap = (frame.assign(word=[value] * N) for value in ("mauve", None))
    scores = [
        make().partial_fit(frame, y).partial_fit(second, y).decision_function(frame)
        for second in (new, gap)
    ]
    np.testing.assert_array_equal(*scores)
    warm = make(warm_start=True).fit(frame, y).fit(new, y)
    assert np.isfinite(warm.decision_function(frame)).all()


def test_an_example_without_weight_is_absent(raw, make):
    columns, y = raw
    weights = np.where(np.arange(N) < 100, 1.0, 0.0)
    times = 1.7e9 + np.where(weights > 0, np.arange(N) * 3.0, 1e5)
    frame = as_pandas(columns).assign(time=times)
    frame["word"] = frame["word"].where(weights > 0, "azure")
    clf = make().fit(frame, y, sample_weight=weights)
    expected = make().fit(frame[:100], y[:100])
    np.testing.assert_array_equal(clf.decision_function(frame), expected.decision_function(frame))
    clf = make().fit(times[:, None], y, sample_weight=weights)
    expected = make().fit(times[:100, None], y[:100])
    np.testing.assert_array_equal(
        clf.decision_function(times[:, None]), expected.decision_function(times[:, None])
    )


def test_models_of_frames_are_saved(raw, make):
    columns, y = raw
    frame = as_pandas(columns).assign(time=1.7e9 + np.arange(N) * 60.0)
    clf = make().fit(frame, y)
    skopsed = skops.io.dumps(clf)
    trusted = skops.io.get_untrusted_types(data=skopsed)
    assert not any("estimator" in name for name in trusted)
    for other in (pickle.loads(pickle.dumps(clf)), skops.io.loads(skopsed, trusted=trusted)):
        np.testing.assert_array_equal(other.decision_function(frame), clf.decision_function(frame))
        other.partial_fit(frame, y)
    assert not hasattr(clone(clf), "net_")


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("library", [as_pandas, as_polars])
def test_scikit_learn_inspects_models_of_frames(raw, library, make):
    columns, y = raw
    frame = library(columns)
    clf = make(max_epochs=20).fit(frame, y)
    found = permutation_importance(clf, frame, y, n_repeats=2, random_state=0)
    assert found.importances_mean[list(columns).index("number")] > 0.01
    if library is as_pandas:
        for features in (["number"], ["word"]):
            options = {"categorical_features": ["word"], "kind": "average"}
            known = frame[frame["word"].notna()]
            result = partial_dependence(clf, known, features, **options)
            assert np.isfinite(result["average"]).all()


def test_frames_go_through_pipelines_and_searches(raw, make):
    columns, y = raw
    frame = as_pandas(columns)
    assert (cross_val_score(make(max_epochs=10), frame, y, cv=3) > 0.5).all()
    for kind in ("pandas", "polars"):
        pytest.importorskip(kind)
        scaler = StandardScaler().set_output(transform=kind)
        pipeline = make_pipeline(scaler, make()).fit(frame[["count"]], y)
        assert pipeline[-1].feature_names_in_.tolist() == ["count"]
        assert pipeline.predict(frame[["count"]]).shape == (N,)


def test_frames_of_narwhals_are_the_frames_that_they_wrap(raw, make):
    columns, y = raw
    frame = as_pandas(columns)
    clf = make(max_epochs=1).fit(frame, y)
    for library in (narwhals, narwhals.stable.v1):
        wrapped = library.from_native(frame)
        other = make(max_epochs=1).fit(wrapped, y)
        assert other.feature_names_in_.tolist() == list(columns)
        np.testing.assert_array_equal(other.predict_proba(frame), clf.predict_proba(wrapped))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_tables_that_are_no_frames_are_refused(raw, make):
    columns, y = raw
    with pytest.raises(ValueError, match="X is a frame with 0 columns"):
        make().fit(as_pandas(columns)[[]], y)
    with pytest.raises(TypeError, match=r"np\.matrix, which is not supported; pass np\.asarray"):
        make().fit(np.asmatrix(columns["count"]).T, y)
    arrow = pytest.importorskip("pyarrow")
    batch = arrow.RecordBatch.from_pydict({"count": columns["count"]})
    with pytest.raises(TypeError, match=r"RecordBatch of Arrow, .* pass pyarrow.Table"):
        make().fit(batch, y)


def test_columns_without_names_are_read_by_number(raw, make):
    columns, y = raw
    frame = as_pandas(columns).set_axis(range(8), axis=1)
    clf = make().fit(frame, y)
    assert not hasattr(clf, "feature_names_in_")
    expected = make().fit(as_pandas(columns), y).decision_function(as_pandas(columns))
    np.testing.assert_array_equal(clf.decision_function(frame), expected)
    with pytest.raises(ValueError, match=r"  0: infinite values"):
        clf.predict(frame.replace({0: {np.nan: np.inf}}))
