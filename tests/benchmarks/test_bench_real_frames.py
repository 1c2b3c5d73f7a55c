"""Frames of real tables, and the columns that models take from them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from benchmarks.models import frames
from benchmarks.models.columns import (
    NativeColumns,
    gaps_as_text,
    imputed,
    numbers_and_text,
    one_hot,
)
from benchmarks.real.frames import MAX_CATEGORIES, count_kinds, with_dtypes


@pytest.fixture
def mixed():
    """90 rows of every kind of column, with gaps; the labels follow from two of the columns."""
    rng = np.random.default_rng(0)
    size = 90
    number = rng.normal(size=size)
    colour = rng.choice(["red", "green", "blue"], size)
    y = (number + (colour == "red") > 0.8).astype(int)
    X = pd.DataFrame(
        {
            "number": np.where(rng.random(size) < 0.2, np.nan, number),
            "whole": rng.integers(9, size=size),
            "whole_with_gap": np.where(np.arange(size) % 7, np.arange(size) % 5, np.nan),
            "colour": pd.Series(colour, dtype=object).where(rng.random(size) > 0.1),
            "text": [f"word {i}" for i in range(size)],
            "answer": rng.choice(["Yes", "No"], size),
            "answer_with_gap": pd.Series(rng.choice(["yes", "no"], size), dtype=object).where(
                np.arange(size) != 3
            ),
        }
    )
    return with_dtypes(X), y


class TestDtypes:
    def test_of_each_kind(self, mixed):
        assert mixed[0].dtypes.astype(str).to_dict() == {
            "number": "float64",
            "whole": "int64",
            "whole_with_gap": "Int64",
            "colour": "category",
            "text": "string",
            "answer": "bool",
            "answer_with_gap": "boolean",
        }
        assert count_kinds(mixed[0]) == {"booleans": 2, "numbers": 3, "categories": 1, "strings": 1}

    def test_many_values_stay_text(self):
        text = pd.DataFrame({"text": [str(i) for i in range(MAX_CATEGORIES + 1)]})
        assert with_dtypes(text)["text"].dtype == "string"
        assert with_dtypes(text[1:])["text"].dtype == "category"


class TestColumns:
    def test_numbers_and_text(self, mixed):
        columns = numbers_and_text(mixed[0])
        assert columns.dtypes.astype(str).value_counts().to_dict() == {"float64": 5, "string": 2}
        np.testing.assert_array_equal(columns.isna(), mixed[0].isna())
        assert set(columns["answer"]) == {0.0, 1.0}
        assert numbers_and_text(np.ones((2, 3), np.float32)).shape == (2, 3)

    def test_gaps_as_text(self, mixed):
        columns = gaps_as_text(mixed[0])
        assert (columns["colour"] == "(gap)").tolist() == mixed[0]["colour"].isna().tolist()
        assert columns["number"].isna().tolist() == mixed[0]["number"].isna().tolist()

    def test_unknown_categories_are_gaps(self):
        train = pd.DataFrame({"c": pd.Series(["a", "b", None], dtype="string")})
        test = pd.DataFrame({"c": pd.Series(["b", "new", None], dtype="category")})
        columns = NativeColumns().fit(train).transform(test)["c"]
        assert list(columns.cat.categories) == ["a", "b"]
        assert columns.isna().tolist() == [False, True, True]

    def test_rare_categories_share_one(self):
        train = pd.DataFrame({"c": pd.Series([*"aaabbcdd"], dtype="string")})
        for order in (train, train[::-1]):
            columns = NativeColumns(3).fit(order).transform(train)["c"]
            assert columns.tolist() == [*"aaabb", "(rare)", "(rare)", "(rare)"]
        assert NativeColumns(4).fit(train).transform(train)["c"].tolist() == [*"aaabbcdd"]

    def test_imputed_keeps_categories(self, mixed):
        columns = clone(imputed()).fit_transform(mixed[0])
        numbers = columns.select_dtypes("number")
        assert not numbers.isna().to_numpy().any()
        # two numbers and a boolean have gaps
        assert numbers.shape[1] == 5 + 3
        assert set(columns.select_dtypes("category")) == {"colour", "text"}

    def test_one_hot(self, mixed):
        columns = one_hot().fit(mixed[0][:80]).transform(mixed[0])
        # numbers, their indicators of gaps, colours with a gap, words
        assert columns.shape == (90, 5 + 3 + 4 + 80)
        assert np.isfinite(columns).all()
        assert (columns[80:, -80:] == 0).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", frames.MODELS)
def test_models_take_frames(name, mixed):
    if not frames.MODELS[name].is_available:
        pytest.skip(f"{frames.MODELS[name].needs} is absent")
    X, y = mixed
    model = frames.create(name, 0).fit(X[:70], y[:70])
    p = model.predict_proba(X[70:])
    assert p.shape == (20, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X[70:]), p[:, 1] > 0.5)
