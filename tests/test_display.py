import sys

import numpy as np
import pytest
from matplotlib import pyplot
from sklearn.exceptions import NotFittedError

from skdam import CompositionalAUCClassifier, TrainingHistoryDisplay


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def test_curves_show_the_history(toy):
    clf = CompositionalAUCClassifier(max_epochs=4, early_stopping=True, random_state=0).fit(*toy)
    display = TrainingHistoryDisplay.from_estimator(clf)
    assert set(display.lines_) == {"inner_loss", "outer_loss", "valid_roc_auc"}
    for name, line in display.lines_.items():
        # the ROC AUC is checked once, at the end
        epochs = np.array([4] if name == "valid_roc_auc" else [1, 2, 3, 4])
        np.testing.assert_array_equal(line.get_xdata(), epochs)
        np.testing.assert_array_equal(line.get_ydata(), clf.history_[name][epochs - 1])
    assert display.auc_ax_.get_ylabel() == "ROC AUC"
    assert display.figure_ is display.ax_.figure


def test_given_axes_and_line_options_are_used():
    _, ax = pyplot.subplots()
    display = TrainingHistoryDisplay({"outer_loss": [0.5, 0.4]}).plot(ax=ax, linestyle=":")
    assert display.ax_ is ax
    assert display.auc_ax_ is None
    assert display.lines_["outer_loss"].get_linestyle() == ":"


def test_an_unfitted_estimator_is_refused():
    with pytest.raises(NotFittedError):
        TrainingHistoryDisplay.from_estimator(CompositionalAUCClassifier())


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"skdam\[plot\]"):
        TrainingHistoryDisplay({"outer_loss": [0.5]}).plot()
