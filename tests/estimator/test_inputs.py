"""Arrays, frames and Datasets as input."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from skdam import ResNet20, TabularMLP
from skdam.data.examples import ExampleDataset
from skdam.data.memory import InMemoryDataset
from skdam.estimator.inputs import InputSpec, as_array_like, naming_columns
from skdam.estimator.tables import TableSpec


def test_frames_train_as_their_arrays_do(cancer, make):
    X, y = cancer
    clf = make().fit(X, y)
    assert list(clf.feature_names_in_) == list(X.columns)
    np.testing.assert_array_equal(
        clf.decision_function(X), make().fit(X.to_numpy(), y).decision_function(X.to_numpy())
    )


def test_the_memory_layout_of_arrays_does_not_matter(toy, make):
    X, y = toy
    frozen = X.copy()
    frozen.setflags(write=False)
    expected = make().fit(X, y).decision_function(X)
    for other in (frozen, np.asfortranarray(X), X.repeat(2, axis=1)[:, ::2], X.tolist()):
        np.testing.assert_array_equal(make().fit(other, y).decision_function(other), expected)
    for other in (X[::-1], pd.DataFrame(X).iloc[::-1].to_numpy()):
        assert make().fit(other, y[::-1]).predict(other).shape == (200,)
    frame = pd.DataFrame(X, columns=list("abcd")).iloc[::-1]
    assert make().fit(frame, y[::-1]).predict(frame).shape == (200,)


def test_fit_does_not_change_the_data(toy, make):
    X, y = toy

    class InPlace(nn.Linear):
        def __init__(self):
            super().__init__(4, 1)

        def forward(self, X):
            return super().forward(torch.relu_(X))

    before = X.copy()
    make(module=InPlace).fit(X, y).predict(X)
    np.testing.assert_array_equal(X, before)


def with_value(X, value):
    X = X.copy()
    X[3, 2] = value
    return X


BAD_DATA = {
    "one class": (lambda X, y: (X, np.ones_like(y)), "must hold two classes, got one class"),
    "three classes": (
        lambda X, y: (X, np.arange(len(y)) % 3),
        "Only binary classification is supported.*multiclass, with 3 distinct",
    ),
    "infinity": (lambda X, y: (with_value(X, np.inf), y), r"infinity(.|\n)*  2: infinite values;"),
    "too large": (
        lambda X, y: (with_value(X.astype(float), 1e300), y),
        r"infinity or a value too large(.|\n)*  2: values too large for float32; rescale",
    ),
    "infinity in a frame": (
        lambda X, y: (pd.DataFrame(with_value(X, -np.inf), columns=list("abcd")), y),
        r"cannot be read:\n  'c': infinite values; replace them",
    ),
    "too large in a frame": (
        lambda X, y: (pd.DataFrame(with_value(X.astype(float), 1e300), columns=list("abcd")), y),
        r"'c': values too large for float32; rescale",
    ),
    "text in an array": (
        lambda X, y: (np.where(X > 9, X, "Rome"), y),
        r"convert string to float(.|\n)*  0: strings; encode them",
    ),
    "sparse": (
        lambda X, y: (csr_array(X), y),
        r"X is a sparse csr_array.*X\.toarray\(\).*sparse_output=False",
    ),
    "3-D": (lambda X, y: (X[:, :, None], y), r"take X of shape \(n, n_features\).*module="),
    "lengths": (lambda X, y: (X[:-1], y), "inconsistent numbers of samples"),
    "dates": (
        lambda X, y: (pd.DataFrame({"a": X[:, 0], "t": pd.Timestamp("2020-01-01")}), y),
        r"'t': dates; encode them as numbers, such as X\['t'\]\.dt\.dayofweek",
    ),
    "objects": (
        lambda X, y: (pd.DataFrame(X, columns=list("abcd")).assign(o=[{}] * len(X)), y),
        r"'o': lists or structs; make columns",
    ),
    "quantized": (
        lambda X, y: (quantized(X), y),
        r"X is a quantized tensor.*pass \.dequantize\(\)",
    ),
    "sparse tensor": (
        lambda X, y: (torch.from_numpy(X).to_sparse(), y),
        r"X is a sparse tensor.*pass \.to_dense\(\)",
    ),
    "complex tensor": (lambda X, y: (torch.from_numpy(X) + 0j, y), "Complex data not supported"),
    "no data": (lambda X, y: (torch.from_numpy(X).to("meta"), y), "X is a meta tensor"),
    "masked": (
        lambda X, y: (np.ma.masked_array(X, mask=X > 1), y),
        r"X is a masked array.*X\.filled\(np\.nan\)",
    ),
    "loader": (
        lambda X, y: (DataLoader(TensorDataset(torch.from_numpy(X))), y),
        r"X is a DataLoader; pass its dataset",
    ),
    "generator": (lambda X, y: ((row for row in X), y), "X must be an array.*got generator"),
    "dict": (lambda X, y: ({"a": X[:, 0]}, y), "X must be an array.*got dict"),
    "path": (lambda X, y: ("data.csv", y), "X must be an array.*got str"),
    "tensors of several shapes": (
        lambda X, y: ([torch.zeros(4 - (i == 3)) for i in range(len(y))], y),
        "list of tensors of several shapes",
    ),
    "NaN in y": (lambda X, y: (X, np.where(np.arange(len(y)) == 0, np.nan, y)), "y contains NaN"),
}


def quantized(X):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return torch.quantize_per_tensor(torch.from_numpy(X), 0.1, 0, torch.qint8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn], ids=str)
def test_tensors_of_few_bits_are_read_as_float32(toy, dtype, make):
    X, y = toy
    few = torch.from_numpy(X).to(dtype)
    expected = make(max_epochs=1).fit(few.float(), y).decision_function(few.float())
    for data in (few, list(few)):
        clf = make(max_epochs=1).fit(data, y)
        np.testing.assert_array_equal(clf.decision_function(data), expected)


def test_integers_of_128_bits_are_numbers(toy, make):
    y = toy[1]
    whole = np.arange(len(y))
    frames = [pl.DataFrame({"a": pl.Series(whole, dtype=kind)}) for kind in (pl.Int64, pl.Int128)]
    scores = [make(max_epochs=1).fit(X, y).decision_function(X) for X in frames]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_refused_before_training(toy, case, make, assert_refused):
    spoil, message = BAD_DATA[case]
    assert_refused(make(), spoil(*toy), message, toy)


def test_predict_refuses_data_that_differs_from_fit(toy, make):
    X, y = toy
    clf = make().fit(X, y)
    with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 4"):
        clf.predict(X[:, :3])
    with pytest.raises(ValueError, match=r"infinity(.|\n)*  2: infinite values"):
        clf.predict_proba(with_value(X, np.inf))
    # the default network clips what is out of range
    assert np.isfinite(clf.decision_function(with_value(X, 3e38))).all()
    steep = torch.nn.Linear(4, 1)
    torch.nn.init.constant_(steep.weight, 10.0)
    clf = make(module=steep).fit(X, y)
    with pytest.raises(ValueError, match=r"scores of 1 rows of X overflow, the first in row 3"):
        clf.decision_function(with_value(X, 3e38))


IMAGES = np.zeros((2, 1, 8, 8), dtype=np.uint8)


def test_the_spec_of_an_array_is_that_of_a_dataset_of_its_examples():
    images = TensorDataset(torch.from_numpy(IMAGES))
    assert InputSpec.of(IMAGES) == InputSpec.of(images) == InputSpec((1, 8, 8), "uint8")
    table = TensorDataset(torch.zeros(2, 3, dtype=torch.float64))
    assert InputSpec.of(table) == InputSpec((3,), "float32")


def test_the_spec_accepts_what_is_alike_and_names_what_differs():
    spec = InputSpec((1, 8, 8), "uint8")
    spec.check(InputSpec((1, 8, 8), "uint8"))
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8\) as in fit, got \(1, 8, 9\)"):
        spec.check(InputSpec((1, 8, 9), "uint8"))
    with pytest.raises(ValueError, match=r"become float32 and was uint8.*divided by 255"):
        spec.check(InputSpec((1, 8, 8), "float32"))


def test_arrays_are_read_in_memory_and_datasets_by_example(toy):
    X, y = toy
    spec = InputSpec.of(X)
    in_memory = spec.dataset(X, y)
    by_example = spec.dataset(TensorDataset(torch.from_numpy(X)), y)
    assert isinstance(in_memory, InMemoryDataset)
    assert isinstance(by_example, ExampleDataset)
    for dataset in (in_memory, by_example):
        example, target = dataset[19]
        np.testing.assert_array_equal(example, X[19])
        assert target == y[19]


def test_data_to_score_needs_no_targets(toy):
    X, _ = toy
    spec = InputSpec.of(X)
    for new in (X, TensorDataset(torch.from_numpy(X))):
        dataset = spec.dataset(new)
        assert isinstance(dataset, Dataset)
        assert len(dataset) == 200


def test_tensors_and_lists_of_images_become_arrays():
    for images in (torch.from_numpy(IMAGES), list(IMAGES), list(torch.from_numpy(IMAGES))):
        array = as_array_like(images)
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.uint8
    trained = torch.ones(2, 3, requires_grad=True)
    np.testing.assert_array_equal(as_array_like(trained), np.ones((2, 3)))


@pytest.mark.parametrize("dtype", ["datetime64[s]", "timedelta64[s]"])
def test_arrays_of_dates_and_durations_are_refused(dtype):
    with pytest.raises(ValueError, match=r"dates or durations.*64\[s\]; encode them as numbers"):
        as_array_like(np.zeros((2, 2), dtype=dtype))


def test_an_error_names_the_columns_that_are_not_numbers():
    X = np.array([[1, 1, "x", 1e300], [2, np.inf, "y", 0]], dtype=object)
    message = r"what it was(.|\n)*1: infinite(.|\n)*2: strings(.|\n)*3: values too large"
    with pytest.raises(TypeError, match=message), naming_columns(X):
        raise TypeError("what it was")


def test_an_error_names_gaps_where_there_may_be_none():
    X = np.array([[1, np.nan], [2, 3]])
    with (
        pytest.raises(ValueError, match=r"what it was(.|\n)*  1: gaps; fill them"),
        naming_columns(X),
    ):
        raise ValueError("what it was")
    with pytest.raises(ValueError, match=r"^what it was$"), naming_columns(X, gaps=True):
        raise ValueError("what it was")


def test_an_error_about_finite_data_stays_as_it_is():
    with pytest.raises(ValueError, match=r"^what it was$"), naming_columns(np.ones((2, 2))):
        raise ValueError("what it was")


def test_arrays_with_gaps_are_for_modules_that_take_them(toy, make):
    X, y = toy
    with_gap = with_value(X, np.nan)
    assert np.isfinite(make().fit(with_gap, y).decision_function(with_gap)).all()
    for module in (nn.Linear(4, 1), nn.Linear):
        clf = make(module=module)
        if module is nn.Linear:
            clf.set_params(module__in_features=4, module__out_features=1)
        with pytest.raises(ValueError, match=r"contains NaN(.|\n)*  2: gaps; fill them"):
            clf.fit(with_gap, y)
    images = np.zeros((20, 1, 8, 8))
    images[3, 0, 2, 2] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        make().fit(images, np.arange(20) % 2)


def test_gaps_of_any_kind_are_the_same_in_arrays(toy, make):
    X, y = toy
    expected = make().fit(with_value(X, np.nan), y).decision_function(X)
    for gap in (None, pd.NA, pd.NaT):
        objects = with_value(X.astype(object), gap)
        np.testing.assert_array_equal(make().fit(objects, y).decision_function(X), expected)


def test_the_tag_says_whether_gaps_are_allowed(make):
    assert make().__sklearn_tags__().input_tags.allow_nan
    assert make(module=TabularMLP).__sklearn_tags__().input_tags.allow_nan
    assert not make(module=nn.Linear).__sklearn_tags__().input_tags.allow_nan
    assert not make(module=ResNet20).__sklearn_tags__().input_tags.allow_nan


def test_times_keep_their_digits(toy, make):
    X, y = toy
    rng = np.random.default_rng(0)
    seconds = np.round(X[:, 0] * 1000 + rng.normal(size=len(X))).astype(np.float64)
    low = np.sort(seconds)[(len(X) - 1) // 20]
    centred, times = (np.column_stack([X[:, 1], seconds - o]) for o in (low, -1.7e9))
    expected = make().fit(centred, y).decision_function(centred)
    for kind in (object, str, bytes):
        data = times.astype(kind)
        np.testing.assert_array_equal(make().fit(data, y).decision_function(data), expected)
    for data in (times, times.tolist(), pd.DataFrame(times)):
        np.testing.assert_array_equal(make().fit(data, y).decision_function(data), expected)
    clf = make().partial_fit(times, y).partial_fit(times[::-1], y[::-1])
    other = make().partial_fit(centred, y).partial_fit(centred[::-1], y[::-1])
    np.testing.assert_array_equal(clf.decision_function(times), other.decision_function(centred))


def test_times_keep_their_digits_beside_a_placeholder():
    times = 1.7e9 + np.arange(100.0)
    times[7] = 0
    spec = TableSpec.of_numbers(times[:, None])
    read = spec.less_offsets(times[:, None])
    assert read.dtype == np.float32
    assert len(np.unique(read)) == 100


def test_one_outlier_does_not_hide_the_rest_of_a_small_table(make):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 3))
    y = X[:, 0] + rng.normal(scale=0.5, size=900) > 1
    with_outlier = X[:400].copy()
    with_outlier[0, 0] = 1e6
    scores = [make(max_epochs=20).fit(t, y[:400]).score(X[400:], y[400:])
              for t in (X[:400], with_outlier)]  # fmt: skip
    assert scores[1] > scores[0] - 0.02


def test_a_placeholder_does_not_hide_the_other_half_of_a_column(make):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 3))
    y = X[:, 0] + rng.normal(scale=0.5, size=900) > 1
    X[rng.random(900) < 0.5, 0] = -999
    with_gaps = np.where(X == -999, np.nan, X)
    scores = [make(max_epochs=20).fit(t[:400], y[:400]).score(t[400:], y[400:])
              for t in (X, with_gaps)]  # fmt: skip
    assert scores[0] > scores[1] - 0.01 > 0.7


@pytest.mark.parametrize("last", [20240265, 20240266])
def test_whole_numbers_stay_whole(last):
    days = np.arange(20240101.0, last)[:, None]
    spec = TableSpec.of_numbers(days)
    assert spec.offsets
    assert not (spec.less_offsets(days) % 1).any()


def test_custom_modules_get_numbers_as_they_are(make):
    seen = []

    class Spy(nn.Linear):
        def forward(self, X):
            seen.append(X.detach().clone())
            return super().forward(X)

    times = 1.7e9 + np.arange(40.0)[:, None]
    make(module=Spy(1, 1), lr=1e-12, max_epochs=1).fit(times, np.arange(40) % 2)
    assert min(X.min() for X in seen) >= 1.7e9 - 128


def test_ordinary_numbers_have_no_offset():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)) * [1, 1e-9, 1e6, 0] + [0, 1e-7, 1e8, 0.1]
    assert TableSpec.of_numbers(X) == TableSpec()
    X[:, 2] += 1e10
    assert TableSpec.of_numbers(X).offsets[:2] == (0, 0)
    assert TableSpec.of_numbers(X).offsets[2] in X[:, 2]
    assert TableSpec.of_numbers(X.astype(np.float32)) == TableSpec()
    X[5, 2] = np.nan
    assert 1e10 < TableSpec.of_numbers(X).offsets[2] < 1.1e10


@pytest.mark.parametrize("kind", ["table", "map", "images", "bytes"])
def test_arrays_of_the_right_dtype_are_not_copied(toy, few_digits, make, tmp_path, kind):
    seen = []

    class Look(Callback):
        def on_train_begin(self, net, X, **kwargs):
            seen.append(X.X.data_ptr())
            raise StopIteration

    X, y = toy if kind in ("table", "map") else few_digits
    if kind == "images":
        X = X.astype(np.float32)
    if kind == "map":
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    with pytest.raises(StopIteration):
        make(callbacks=[Look()], cross_fit=kind != "map").fit(X, y)
    assert seen == [X.ctypes.data]
