"""What training prints, line by line, and its progress bar."""

import numpy as np
import pytest
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch import nn

from skdam import CompositionalAUCClassifier, CompositionalAUCNet, DivergenceError
from skdam.callbacks import EarlyStoppingAUC, PrintLog, ProgressBar


class Table:
    """The table that was printed: each column by its name, and the last line."""

    def __init__(self, text):
        header, rule, *rows, self.closing = text.splitlines()
        ends = np.cumsum([len(dashes) + 2 for dashes in rule.split()]) - 2
        starts = [0, *(ends[:-1] + 2)]
        assert all(len(line) == len(rule) for line in (header, *rows))
        self.columns = {
            header[start:end].strip(): [row[start:end].strip() for row in rows]
            for start, end in zip(starts, ends, strict=True)
        }


def fit(toy, callbacks=(), **parameters):
    usual = {"max_epochs": 4, "random_state": 0, "callbacks": list(callbacks)}
    return CompositionalAUCNet(nn.Linear(4, 1), **(usual | parameters)).fit(*toy)


class Interrupt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


class Event(Callback):
    """Records something in the second epoch only."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            net.history.record("event_second", True)
            net.history.record("more", 7)


def test_a_line_for_each_epoch(toy, capsys):
    clf = CompositionalAUCClassifier(max_epochs=12, batch_size=10, random_state=0, verbose=1)
    clf.fit(*toy)
    table = Table(capsys.readouterr().out)
    names = ["epoch", "inner_loss", "outer_loss", "oob_roc_auc", "lr", "dur", "left"]
    assert list(table.columns) == names
    n = clf.n_iter_
    assert table.columns["epoch"] == [f"{epoch}/12" for epoch in range(1, n + 1)]
    for name in names[1:4]:
        values = clf.history_[name]
        shown = ["" if np.isnan(value) else f"{value:.4f}" for value in values]
        assert table.columns[name] == shown
    assert "" in table.columns["oob_roc_auc"]
    assert "" not in table.columns["left"]
    CompositionalAUCClassifier(max_epochs=1, random_state=0).fit(*toy)
    assert capsys.readouterr().out == ""


def test_columns_do_not_shift_between_the_stages(toy, capsys):
    fit(toy, strategy="two-stage", verbose=1)
    table = Table(capsys.readouterr().out)
    assert list(table.columns) == ["epoch", "inner_loss", "outer_loss", "lr", "dur", "left"]
    for name, shown in (("inner_loss", [1, 1, 0, 0]), ("outer_loss", [0, 0, 1, 1])):
        assert [bool(cell) for cell in table.columns[name]] == [bool(it) for it in shown]


def test_validation_scores_are_shown(toy, capsys):
    split = ValidSplit(4, stratified=True)
    net = fit(toy, [EarlyStoppingAUC()], train_split=split, batch_size=10)
    table = Table(capsys.readouterr().out)
    expected = ["" if np.isnan(auc) else f"{auc:.4f}" for auc in net.history[:, "valid_roc_auc"]]
    assert table.columns["valid_roc_auc"] == expected
    assert set(map(bool, expected)) == {True, False}


def test_what_callbacks_record_has_columns_from_then_on(toy, capsys):
    fit(toy, [Event()])
    lines = capsys.readouterr().out.splitlines()
    headers = [line for line in lines if "epoch " in line and "dur" in line]
    assert ["more" in header.split() for header in headers] == [False, True]
    row = dict(zip(headers[1].split(), lines[lines.index(headers[1]) + 2].split(), strict=True))
    assert (row["epoch"], row["more"], row["event_second"]) == ("2/4", "7", "+")


def test_epochs_are_counted_on_in_a_second_training(toy, capsys):
    net = fit(toy, max_epochs=2, verbose=0)
    net.set_params(verbose=1).partial_fit(*toy, epochs=3)
    assert Table(capsys.readouterr().out).columns["epoch"] == ["3/5", "4/5", "5/5"]


@pytest.mark.parametrize("verbose", [1, 2])
@pytest.mark.parametrize("window", [1, 2])
def test_the_last_line_says_why_training_ended_and_what_is_kept(toy, capsys, window, verbose):
    stop = EarlyStoppingAUC(2, tol=0.5, window=window)
    split = ValidSplit(4, stratified=True)
    callbacks = [stop, ProgressBar()][:verbose]
    net = fit(toy, callbacks, train_split=split, batch_size=6, max_epochs=9)
    table = Table(capsys.readouterr().out)
    # the epoch at which it stopped has a line too
    assert table.columns["epoch"] == ["1/9", "2/9", "3/9"]
    assert table.closing.startswith(
        "Stopped after epoch 3 of 9: valid_roc_auc stalled for 2 checks. "
        f"Kept the weights of epoch {stop.best_epoch_}: valid_roc_auc {stop.best_score_:.4f}"
    )
    assert ("(mean of the last 2 checks)" in table.closing) == (window == 2)
    assert len(net.history) == 3


def test_the_last_line_without_early_stopping(toy, capsys):
    fit(toy)
    assert Table(capsys.readouterr().out).closing == "Trained to the last epoch, 4 of 4."
    fit(toy, [Interrupt(2)])
    table = Table(capsys.readouterr().out)
    assert table.columns["epoch"] == ["1/4", "2/4"]
    assert table.closing == "Interrupted after epoch 2 of 4."


def test_lines_may_go_elsewhere_and_names_may_be_left_out(toy, capsys):
    lines = []
    log = {"callbacks__print_log__sink": lines.append, "callbacks__print_log__keys_ignored": "lr"}
    fit(toy, verbose=0, **log)
    assert capsys.readouterr().out == ""
    table = Table("\n".join(lines))
    assert list(table.columns) == ["epoch", "inner_loss", "outer_loss", "dur", "left"]


def test_one_bar_for_the_whole_training(toy, capsys):
    CompositionalAUCClassifier(max_epochs=3, batch_size=50, random_state=0, verbose=2).fit(*toy)
    out, err = capsys.readouterr()
    bars = [bar.strip() for bar in err.split("\r") if "batch" in bar]
    assert "0/12" in bars[0]
    assert "12/12" in bars[-1]
    assert bars[-1].startswith("epoch 3/3")
    assert Table(out).columns["epoch"] == ["1/3", "2/3", "3/3"]


def test_a_bar_ends_where_training_does(toy, capsys):
    fit(toy, [Interrupt(2), ProgressBar()], batch_size=50, verbose=0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "8/16" in err.split("\r")[-1]
    with pytest.raises(DivergenceError):
        fit(toy, [ProgressBar()], lr=1e38, optimizer__clip_value=1e30, verbose=0)


def test_verbose_does_not_change_the_model(toy):
    models = [
        CompositionalAUCClassifier(verbose=verbose, max_epochs=40, random_state=0).fit(*toy)
        for verbose in (0, 1, 2)
    ]
    for clf in models[1:]:
        np.testing.assert_array_equal(clf.oob_decision_function_, models[0].oob_decision_function_)
        assert clf.history_.keys() == models[0].history_.keys()
        assert clf.best_score_ == models[0].best_score_


def test_the_log_can_be_left_out(toy, capsys):
    fit(toy, callbacks__print_log=None)
    assert capsys.readouterr().out == ""


def test_the_log_of_skorch_can_be_used_instead(toy, capsys):
    from skorch.callbacks import PrintLog as Theirs

    net = fit(toy, [("theirs", Theirs())], callbacks__print_log=None)
    assert not any(isinstance(callback, PrintLog) for _, callback in net.callbacks_)
    assert "train_loss" in capsys.readouterr().out
