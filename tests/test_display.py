import sys

import numpy as np
import pytest
from matplotlib import pyplot
from sklearn.exceptions import NotFittedError

from skdam import CompositionalAUCClassifier, TrainingHistoryDisplay

NAN = np.nan


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
    # a line of one point shows only by its marker
    assert display.lines_["valid_roc_auc"].get_marker() != "None"
    assert display.auc_ax_.get_ylabel() == "ROC AUC"
    assert display.figure_ is display.ax_.figure


def test_both_auc_share_an_axis():
    history = {"outer_loss": [0.5, 0.4], "oob_roc_auc": [NAN, 0.7], "valid_roc_auc": [0.6, 0.8]}
    display = TrainingHistoryDisplay(history).plot()
    lines = [display.lines_[name] for name in ("oob_roc_auc", "valid_roc_auc")]
    assert [line.axes for line in lines] == [display.auc_ax_] * 2
    colours = {line.get_color() for line in display.lines_.values()}
    assert len(colours) == 3


def places(display):
    return {name: [mark.get_xdata()[0] for mark in marks] for name, marks in display.marks_.items()}


def test_stages_and_the_kept_epoch_are_marked(toy):
    clf = CompositionalAUCClassifier(
        strategy="two-stage", max_epochs=12, milestones=(0.5,), early_stopping=True, batch_size=10,
        random_state=0,
    ).fit(*toy)  # fmt: skip
    display = TrainingHistoryDisplay.from_estimator(clf)
    expected = {"stage": [3.5, 9.5], "switch": [6.5], "kept": [clf.best_epoch_]}
    assert places(display) == expected
    texts = {text.get_text() for text in display.ax_.get_legend().get_texts()}
    assert {"new stage", "switch to the AUC loss", "weights kept"} < texts
    assert "out-of-bag ROC AUC" not in texts


@pytest.mark.parametrize(
    ("rates", "stages"),
    [
        ([1, 1, 0.1, 0.1], [2.5]),
        ([1, 1, 0.1, 0.01], [2.5, 3.5]),
        ([1, 0.5, 0.25, 0.125], []),  # a schedule without stages
        ([1], []),
    ],
)
def test_stages_are_where_the_rate_changes_now_and_then(rates, stages):
    history = {"outer_loss": np.ones(len(rates)), "lr": rates}
    assert places(TrainingHistoryDisplay(history).plot())["stage"] == stages


def test_milestones_of_both_stages_are_marked_beside_the_switch():
    none, loss = [np.nan] * 4, [1.0] * 4
    history = {"inner_loss": loss + none, "outer_loss": none + loss}
    display = TrainingHistoryDisplay(history | {"lr": [1, 1, 0.1, 0.01] * 2}).plot()
    assert places(display)["stage"] == [2.5, 3.5, 6.5, 7.5]
    assert places(display)["switch"] == [4.5]


@pytest.mark.parametrize("size", [(6, 5), (3, 2.5)])
def test_the_legend_is_off_the_curves_and_labels(size):
    history = {"inner_loss": [0.5, 0.4], "outer_loss": [0.5, 0.4], "oob_roc_auc": [0.6, 0.7]}
    figure, ax = pyplot.subplots(figsize=size, layout="constrained")
    display = TrainingHistoryDisplay(history, best_epoch=2).plot(ax=ax)
    ax.set_title("title")
    figure.draw_without_rendering()
    legend = ax.get_legend().get_window_extent()
    for other in (ax, ax.xaxis.label, ax.title):
        assert not legend.overlaps(other.get_window_extent())
    assert legend.y0 >= 0
    assert display.figure_ is figure


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
