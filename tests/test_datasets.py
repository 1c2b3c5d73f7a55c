import numpy as np
import pandas as pd
import pytest

from skdam.datasets import make_imbalanced


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_positives_get_the_given_rate_and_all_negatives_are_kept(rate):
    y = np.repeat([0, 1], [600, 400])
    X = np.arange(1000)[:, None]
    thinned, labels = make_imbalanced(X, y, rate, random_state=0)
    assert labels.mean() == pytest.approx(rate, abs=1 / 1200)
    assert (labels == 0).sum() == 600
    np.testing.assert_array_equal(y[thinned[:, 0]], labels)
    assert (np.diff(thinned[:, 0]) > 0).all()


def test_frames_stay_frames_and_labels_can_be_strings():
    X = pd.DataFrame({"a": range(100)})
    y = np.where(np.arange(100) % 2, "fault", "fine")
    thinned, labels = make_imbalanced(X, y, 0.1, positive_label="fault", random_state=0)
    assert list(thinned.columns) == ["a"]
    assert (labels == "fault").sum() == 6


def test_the_seed_determines_the_draw():
    y = np.repeat([0, 1], [50, 50])
    X = np.arange(100)[:, None]
    draws = [make_imbalanced(X, y, 0.1, random_state=s)[0].tolist() for s in (0, 0, 1, None, None)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert draws[3] != draws[4]


@pytest.mark.parametrize("rate", [0, 1, -0.5])
def test_a_rate_out_of_range_is_an_error(rate):
    with pytest.raises(ValueError, match="positive_rate must be in"):
        make_imbalanced([[0], [1]], [0, 1], rate)


def test_too_few_positives_are_an_error():
    with pytest.raises(ValueError, match="needs 9 examples of 1 for 9 others, there are 1"):
        make_imbalanced(np.zeros((10, 1)), [1] + [0] * 9, 0.5)


def test_labels_without_negatives_are_an_error():
    with pytest.raises(ValueError, match="all labels are 1; there must be other ones"):
        make_imbalanced([[0], [1]], [1, 1], 0.5)
