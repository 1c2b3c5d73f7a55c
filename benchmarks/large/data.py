"""Tables for the large benchmark: generated ones of any size, and two from scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

N_FEATURES = 30
POSITIVE_RATE = 0.02

Table = tuple[np.ndarray, np.ndarray]


def _breast_cancer() -> Table:
    X, y = load_breast_cancer(return_X_y=True)
    return X.astype(np.float32), 1 - y


def _digits_8() -> Table:
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), (y == 8).astype(int)


_BUNDLED: dict[str, tuple[int, Callable[[], Table]]] = {
    "breast-cancer": (569, _breast_cancer),
    "digits-8": (1797, _digits_8),
}
_GENERATED = "synthetic-"
NAMES = (*_BUNDLED, *(f"{_GENERATED}{size}" for size in ("1e4", "1e5", "1e6")))


def n_rows(name: str) -> int:
    """Return the number of rows of a table, without making it.

    Raises
    ------
    ValueError
        If there is no table of this name.
    """
    if name in _BUNDLED:
        return _BUNDLED[name][0]
    if name.startswith(_GENERATED):
        return int(float(name.removeprefix(_GENERATED)))
    raise ValueError(f"{name!r} is none of {', '.join(NAMES)}.")


def load(name: str) -> Table:
    """Return the features and the labels of a table, always the same for a name."""
    return _BUNDLED[name][1]() if name in _BUNDLED else generate(n_rows(name))


def generate(size: int, random_state: int = 0) -> Table:
    r"""Return a table with 2 % positives that no linear model ranks well.

    Columns 0 to 9 are normal with correlations, 10 to 19 heavy-tailed (Student's t with two
    degrees of freedom, some of them exponentiated), 20 to 29 codes of 3 to 48 categories, the
    rare ones rarer. With :math:`z` the normal columns, :math:`h` the signed logarithms of the
    heavy ones and :math:`e_j(c)` an effect for each category, the positives are the rows with
    the largest

    .. math:: z_0 z_1 + \sin(2 z_2) + 1[|z_3| > 1.5] + h_0 1[z_4 > 0] + |h_1|
        + e_0(c_0) + e_1(c_1) z_5 + e_2(c_2) e_3(c_3) + \epsilon,

    :math:`\epsilon` logistic noise. The other columns are irrelevant.

    Parameters
    ----------
    size : int
        Rows.
    random_state : int, default=0

    Returns
    -------
    X : ndarray of shape (size, 30), float32
    y : ndarray of shape (size,)
    """
    rng = np.random.default_rng(random_state)
    X = np.empty((size, N_FEATURES), dtype=np.float32)
    shared = rng.standard_normal(size, dtype=np.float32)
    for column in range(10):
        X[:, column] = 0.8 * rng.standard_normal(size, dtype=np.float32) + 0.6 * shared
    for column in range(10, 20):
        X[:, column] = rng.standard_t(2, size)
    signal = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + (np.abs(X[:, 3]) > 1.5)
    heavy = [np.sign(X[:, column]) * np.log1p(np.abs(X[:, column])) for column in (10, 11)]
    signal += heavy[0] * (X[:, 4] > 0) + np.abs(heavy[1])
    X[:, 10:20:3] = np.exp(np.clip(X[:, 10:20:3], -10, 10))

    effects = []
    for column, n_categories in enumerate(range(3, 53, 5), start=20):
        frequencies = 1 / np.arange(1, n_categories + 1)
        codes = rng.choice(n_categories, size, p=frequencies / frequencies.sum())
        X[:, column] = rng.permutation(n_categories)[codes]
        effects.append(rng.standard_normal(n_categories).astype(np.float32)[codes])
    signal += effects[0] + effects[1] * X[:, 5] + effects[2] * effects[3]
    signal += rng.logistic(scale=0.5, size=size).astype(np.float32)

    y = np.zeros(size, dtype=int)
    y[np.argsort(signal)[-round(POSITIVE_RATE * size) :]] = 1
    return X, y
