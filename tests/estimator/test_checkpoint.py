"""A fit that was stopped goes on from its checkpoint, and ends with the same model."""

import errno
import os
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import UserDataset, image_classifier
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from torch import nn

from skdam import CompositionalAUCClassifier
from skdam.training import checkpoint

KILLING = Path(__file__).parents[1] / "killing.py"


class StoppedError(Exception):
    pass


class Stop(Callback):
    """Stops a fit at the end of an epoch, in the way of a crash; see :func:`stopped`."""

    at = None

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == Stop.at:
            raise StoppedError


class StopWithin(nn.Module):
    """A network with dropout that stops training after some batches."""

    n_calls = 0
    stops_at = None

    def __init__(self, n_features):
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.5), nn.Linear(n_features, 1))

    def forward(self, X):
        if self.training:
            StopWithin.n_calls += 1
            if StopWithin.n_calls == StopWithin.stops_at:
                raise StoppedError
        return self.layers(X)


class Noisy(UserDataset):
    """Examples with noise from torch's generator, or that of a worker of a loader."""

    def __getitem__(self, index):
        X, y = super().__getitem__(index)
        return X + torch.randn(X.shape).numpy(), y


@pytest.fixture(scope="module")
def data():
    return make_classification(120, 5, weights=[0.8], random_state=0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.ckpt"


def small(callbacks=(), **parameters):
    defaults = {
        "n_members": 2,
        "module__hidden_layer_sizes": (8,),
        "max_epochs": 8,
        "batch_size": 20,
        "random_state": 0,
        "callbacks": [*callbacks, Stop()],
    }
    return CompositionalAUCClassifier(**(defaults | parameters))


def stopped(clf, *data, at=4, **named):
    """Return the estimator after a fit that was stopped at the end of an epoch."""
    Stop.at = at
    try:
        with pytest.raises(StoppedError):
            clf.fit(*data, **named)
    finally:
        Stop.at = None
    return clf


def assert_same(clf, other, X):
    np.testing.assert_array_equal(clf.predict_proba(X), other.predict_proba(X))
    assert {*clf.history_} == {*other.history_}
    for name in {*clf.history_} - {"dur"}:
        np.testing.assert_array_equal(clf.history_[name], other.history_[name])
    assert hasattr(clf, "oob_decision_function_") == hasattr(other, "oob_decision_function_")
    if hasattr(clf, "oob_decision_function_"):
        np.testing.assert_array_equal(clf.oob_decision_function_, other.oob_decision_function_)
    weights = other.net_.module_.state_dict()
    for name, tensor in clf.net_.module_.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


VARIATIONS = [
    {},
    {"cross_fit": False},
    {"early_stopping": False},
    {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 30},
    {"n_iter_no_change": 1, "max_epochs": 120, "batch_size": 10},
    {"strategy": "two-stage", "milestones": (0.5,)},
    {"strategy": "auc", "milestones": (0.25, 0.75)},
    {"strategy": "cross-entropy"},
    {"variant": "lookahead"},
    {"variant": "lookahead", "hypergradient": "exact"},
    {"optimizer__adaptive": False, "optimizer__averaging": None, "lr": 0.1},
    {"criterion__version": "v1"},
    {"precision": "bfloat16"},
]


@pytest.mark.parametrize("parameters", VARIATIONS, ids=str)
def test_a_stopped_fit_ends_with_the_model_of_one_that_was_not(data, path, parameters):
    X, y = data
    whole = small(**parameters).fit(X, y)
    clf = stopped(small(checkpoint=path, **parameters), X, y, at=min(7, whole.n_iter_ - 1))
    assert path.exists()
    assert_same(clf.fit(X, y), whole, X)
    assert not list(path.parent.iterdir())


def test_training_goes_on_and_does_not_start_again(data, path, capsys):
    clf = stopped(small(checkpoint=path), *data)
    clf.set_params(verbose=1).fit(*data)
    lines = capsys.readouterr().out.splitlines()
    assert f"Going on from epoch 3 of {path}." in lines
    epochs = [line.split()[0] for line in lines if line.lstrip()[0].isdigit()]
    assert epochs == ["4/8", "5/8", "6/8", "7/8", "8/8"]


def test_a_fit_that_is_stopped_twice(data, path):
    whole = small().fit(*data)
    clf = stopped(stopped(small(checkpoint=path), *data, at=3), *data, at=6)
    assert_same(clf.fit(*data), whole, data[0])


def test_a_fit_without_a_seed_goes_on(data, path):
    # early stopping splits the data at random
    clf = small(checkpoint=path, random_state=None, early_stopping=True)
    stopped(clf, *data)
    copies = []
    for _ in range(2):
        content = path.read_bytes()
        copies.append(clone(clf).fit(*data))
        path.write_bytes(content)
    assert_same(*copies, data[0])


def test_a_fit_that_was_not_stopped_is_the_same_with_a_checkpoint(data, path):
    assert_same(small(checkpoint=path).fit(*data), small().fit(*data), data[0])


def test_partial_fit_writes_nothing_and_goes_on_alike(data, path):
    clf = stopped(small(checkpoint=path), *data).fit(*data)
    whole = small().fit(*data)
    assert_same(clf.partial_fit(*data), whole.partial_fit(*data), data[0])
    assert not path.exists()


# 10 batches are an epoch; of so wide data two are selected together, and only then saved.
# If it always saves, the stops leave 12 and then 16 batches, if after four seconds 10 and 14.
@pytest.mark.parametrize(("seconds", "n_done"), [(0, 16), (4, 14), (100, 10)])
def test_the_middle_of_a_long_epoch_is_saved_too(path, monkeypatch, seconds, n_done):
    clock = SimpleNamespace(time=time.time, monotonic=lambda: StopWithin.n_calls)
    monkeypatch.setattr(checkpoint, "time", clock)  # each batch takes a second
    monkeypatch.setattr(checkpoint, "SECONDS", seconds)
    X = np.random.default_rng(0).normal(size=(100, 12_000)).astype(np.float32)
    y = np.arange(100) % 5 == 0
    clf = CompositionalAUCClassifier(StopWithin, max_epochs=3, batch_size=10, random_state=0)
    whole = clone(clf).fit(X, y)
    clf.set_params(checkpoint=path)
    for stops_at in (14, 6):
        monkeypatch.setattr(StopWithin, "n_calls", 0)
        monkeypatch.setattr(StopWithin, "stops_at", stops_at)
        with pytest.raises(StoppedError):
            clf.fit(X, y)
    monkeypatch.setattr(StopWithin, "n_calls", 0)
    monkeypatch.setattr(StopWithin, "stops_at", None)
    assert_same(clf.fit(X, y), whole, X)
    assert StopWithin.n_calls == 30 - n_done


@pytest.mark.parametrize("n_workers", [0, 2])
def test_datasets_with_random_numbers_and_workers(digits, path, n_workers):
    X, _, y, _ = digits
    dataset = Noisy(X[:60].astype(np.float32) / 255, y[:60])
    dataset.labels[:6] = 1
    parameters = {
        "max_epochs": 3,
        "iterator_train__num_workers": n_workers,
        "iterator_valid__num_workers": n_workers,
        "early_stopping": True,
        "callbacks": [Stop()],
    }
    whole = image_classifier(**parameters).fit(dataset)
    clf = stopped(image_classifier(checkpoint=path, **parameters), dataset, at=2)
    assert_same(clf.fit(dataset), whole, torch.from_numpy(X).float() / 255)


def test_a_stopped_warm_start_goes_on(data, path):
    X, y = data
    whole = small(warm_start=True).fit(X, y)
    clf = stopped(clone(whole).set_params(checkpoint=path), X, y).fit(X, y)
    assert_same(clf, whole, X)
    stopped(clf, X, y, at=12)
    assert_same(clf, whole, X)  # as it was
    assert_same(clf.fit(X, y), whole.fit(X, y), X)
    assert clf.n_iter_ == 16
    stopped(clf, X, y, at=20).set_params(checkpoint=None).fit(X, y)
    with pytest.raises(ValueError, match="\n  the model that warm_start continues: "):
        clf.set_params(checkpoint=path).fit(X, y)


def test_weights_groups_and_validation_data_must_be_those_of_the_stopped_fit(data, path):
    X, y = data
    given = {"sample_weight": 1 + np.arange(90) % 4, "groups": np.arange(90) // 2}
    given |= {"X_val": X[90:], "y_val": y[90:], "sample_weight_val": 1 + np.arange(30) % 3}
    whole = small().fit(X[:90], y[:90], **given)
    clf = stopped(small(checkpoint=path), X[:90], y[:90], **given)
    for name, value in given.items():
        if name != "y_val":
            with pytest.raises(ValueError, match=rf"other parameters or data:\n  {name}: "):
                clf.fit(X[:90], y[:90], **(given | {name: value[::-1]}))
    assert_same(clf.fit(X[:90], y[:90], **given), whole, X)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.003),
        ("random_state", 1),
        ("inner_loss", lambda logits, targets: (logits - targets) ** 2),
        ("module__dropout", 0.3),
        ("class_weight", {0: 1, 1: 5}),
        ("callbacks", [Stop(), GradientNormClipping(1.0)]),
    ],
    ids=str,
)
def test_other_parameters_are_named(data, path, name, value):
    clf = stopped(small(checkpoint=path), *data)
    content = path.read_bytes()
    with pytest.raises(ValueError, match=rf"other parameters or data:\n  {name}: [^\n]*\nCall fit"):
        clf.set_params(**{name: value}).fit(*data)
    assert path.read_bytes() == content


def test_other_data_is_named(data, path):
    X, y = data
    clf = stopped(small(checkpoint=path), X, y)
    other = X.copy()
    other[5, 2] += 1
    for inputs, labels, name in [(other, y, "X"), (X, y[::-1], "y"), (X, y + 1, "y")]:
        with pytest.raises(ValueError, match=rf"\n  {name}: "):
            clf.fit(inputs, labels)


def test_parameters_that_do_not_change_the_model_may_differ(data, path, capsys):
    whole = small().fit(*data)
    clf = stopped(small(checkpoint=path), *data)
    assert_same(clf.set_params(n_jobs=1, verbose=2).fit(*data), whole, data[0])
    capsys.readouterr()


def test_parameters_that_mean_the_same_may_be_written_differently(data, path):
    weights = {0: 1, 1: 2}
    whole = small(class_weight=weights, margin=1).fit(*data)
    clf = stopped(small(class_weight=weights, margin=1, checkpoint=path), *data)
    clf.set_params(class_weight={1: 2.0, 0: 1.0}, margin=1.0)
    assert_same(clf.fit(*data), whole, data[0])


def test_a_module_with_other_weights_is_another_one(data, path):
    X, y = data
    torch_module = nn.Linear(5, 1)
    clf = CompositionalAUCClassifier(torch_module, checkpoint=path, callbacks=[Stop()])
    stopped(clf, X, y)
    with torch.no_grad():
        torch_module.bias += 1
    with pytest.raises(ValueError, match="module: torch"):
        clf.fit(X, y)


class Rewritten(nn.Sequential):
    """A network whose code is changed after a fit was stopped."""

    width = 3

    def __init__(self):
        super().__init__(nn.Linear(5, self.width), nn.Linear(self.width, 1))


def test_a_network_whose_code_has_changed_is_refused(data, path, monkeypatch):
    clf = CompositionalAUCClassifier(Rewritten, checkpoint=path, callbacks=[Stop()])
    stopped(clf, *data)
    monkeypatch.setattr(Rewritten, "width", 4)
    with pytest.raises(ValueError, match=r"(?s)fit.ckpt is of another network or.*size mismatch"):
        clf.fit(*data)


@pytest.mark.parametrize("strategy", ["auc", "two-stage"])
def test_a_stopped_fit_may_go_on_for_more_epochs(data, path, strategy):
    parameters = {"strategy": strategy, "milestones": (0.75,), "early_stopping": False}
    whole = small(max_epochs=12, **parameters).fit(*data)
    clf = stopped(small(max_epochs=8, checkpoint=path, **parameters), *data, at=3)
    assert_same(clf.set_params(max_epochs=12).fit(*data), whole, data[0])


@pytest.mark.parametrize(
    ("parameters", "n_epochs"),
    [
        ({"strategy": "auc", "milestones": (0.5,)}, 20),
        ({"strategy": "auc", "milestones": (0.625,)}, 20),  # in the epoch that was stopped
        ({"strategy": "two-stage", "milestones": ()}, 20),
        ({"strategy": "auc", "milestones": (0.75,)}, 4),
        ({"strategy": "auc", "milestones": ()}, 5),
    ],
)
def test_another_number_of_epochs_that_the_past_depends_on(data, path, parameters, n_epochs):
    clf = stopped(small(checkpoint=path, **parameters), *data, at=6)
    with pytest.raises(ValueError, match=f"max_epochs={n_epochs}, but"):
        clf.set_params(max_epochs=n_epochs).fit(*data)
    assert path.exists()


@pytest.mark.parametrize(
    "policy",
    [
        {"policy": "StepLR", "step_size": 3, "gamma": 0.5},
        {"policy": torch.optim.lr_scheduler.MultiStepLR, "milestones": [2, 5], "gamma": 0.5},
        {"policy": "ReduceLROnPlateau", "patience": 0, "factor": 0.5, "mode": "max"},
        {"policy": "CosineAnnealingLR", "T_max": 8},
        {"policy": "WarmRestartLR", "base_period": 3},
    ],
    ids=lambda policy: str(policy["policy"]),
)
def test_learning_rate_schedulers_go_on_where_they_stopped(data, path, policy):
    whole = small(callbacks=[LRScheduler(**policy)], milestones=()).fit(*data)
    clf = small(callbacks=[LRScheduler(**policy)], milestones=(), checkpoint=path)
    assert_same(stopped(clf, *data).fit(*data), whole, data[0])
    assert len({*whole.history_["lr"]}) > 1


@pytest.mark.parametrize("on_train", [True, False])
def test_scores_of_epochs_go_on_where_they_stopped(data, path, on_train):
    X, y = data
    given = {"X_val": X[:60], "y_val": y[:60]}

    def scoring(**parameters):
        own = EpochScoring("roc_auc", lower_is_better=False, name="own", on_train=on_train)
        return small(callbacks=[own], early_stopping=False, **parameters)

    whole = scoring().fit(X, y, **given)
    clf = stopped(scoring(checkpoint=path), X, y, **given)
    assert_same(clf.fit(X, y, **given), whole, X)
    assert clf.net_.history[:, "own_best"] == whole.net_.history[:, "own_best"]


def test_callbacks_that_lose_their_state_are_named(data, path):
    clf = small(checkpoint=path, callbacks=[("mine", EarlyStopping("train_loss"))])
    with pytest.warns(UserWarning, match="the state of mine. A training") as caught:
        clf.fit(*data)
    assert len(caught) == 1


def test_callbacks_that_can_save_their_state_but_not_load_it_are_named(data, path):
    class OneWay(Callback):
        state_dict = dict

        def on_train_begin(self, net, **kwargs):
            self.n_trainings = 1

    clf = small(checkpoint=path, callbacks=[("one_way", OneWay())])
    with pytest.warns(UserWarning, match="the state of one_way. A training"):
        stopped(clf, *data)
    with pytest.warns(UserWarning, match="the state of one_way. A training"):
        clf.fit(*data)


def test_workers_that_lose_their_state_are_named(digits, path):
    X, _, y, _ = digits
    dataset = UserDataset(X[:60].astype(np.float32), y[:60])
    dataset.labels[:6] = 1
    workers = {"iterator_train__num_workers": 1, "iterator_train__persistent_workers": True}
    clf = image_classifier(max_epochs=1, checkpoint=path, **workers)
    with pytest.warns(UserWarning, match="the state of persistent_workers of a DataLoader. A"):
        clf.fit(dataset)


class Counting(Callback):
    """Counts the epochs."""

    def on_train_begin(self, net, **kwargs):
        self.counts, self.array = [], np.zeros(3, dtype=np.int64)

    def on_epoch_end(self, net, **kwargs):
        self.counts.append(len(self.counts))
        self.array += 1

    def state_dict(self):
        return {"counts": self.counts, "array": self.array}

    def load_state_dict(self, state_dict):
        self.counts, self.array = state_dict["counts"], state_dict["array"]


def test_callbacks_with_a_state_of_their_own(data, path):
    counting = Counting()
    stopped(small(checkpoint=path, callbacks=[counting]), *data).fit(*data)
    assert counting.counts == list(range(8))
    np.testing.assert_array_equal(counting.array, [8, 8, 8], strict=True)


def test_a_state_that_cannot_be_saved_is_named(data, path):
    class Odd(Counting):
        def state_dict(self):
            return {"values": [1, range(3)]}

    clf = small(checkpoint=path, callbacks=[("odd", Odd())])
    with pytest.raises(TypeError, match=r"\['callbacks'\]\['odd'\]\['values'\].* is a range"):
        clf.fit(*data)


@pytest.mark.parametrize("how", ["flipped bit", "cut", "text", "another file of torch", "empty"])
def test_a_file_that_is_no_checkpoint(data, path, how):
    clf = stopped(small(checkpoint=path), *data)
    content = bytearray(path.read_bytes())
    if how == "flipped bit":
        with zipfile.ZipFile(path) as archive:
            tensors = [record for record in archive.infolist() if "/data/" in record.filename]
            weights = archive.read(max(tensors, key=lambda record: record.file_size))
        content[content.index(weights) + len(weights) // 2] ^= 4
    elif how == "another file of torch":
        torch.save({"weights": torch.zeros(3)}, path)
        content = path.read_bytes()
    path.write_bytes({"cut": content[:-100], "text": b"abc", "empty": b""}.get(how, content))
    with pytest.raises(ValueError, match=r"fit.ckpt is damaged, or another kind of file. Delete"):
        clf.fit(*data)


def test_a_file_that_cannot_be_read_is_not_called_damaged(data, path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    clf = stopped(small(checkpoint=path), *data)
    monkeypatch.setattr(checkpoint.zipfile, "ZipFile", refuse)
    with pytest.raises(PermissionError):
        clf.fit(*data)


class RunsCode:
    """Leaves a file where it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_a_file_that_would_run_code_is_refused(data, path):
    clf = stopped(small(checkpoint=path), *data)
    trace = path.with_name("trace")
    torch.save(torch.load(path, weights_only=True) | {"more": RunsCode(trace)}, path)
    with pytest.raises(ValueError, match="is damaged, or another kind of file"):
        clf.fit(*data)
    assert not trace.exists()


def test_other_versions_of_packages_warn(data, path, monkeypatch):
    monkeypatch.setattr("torch.__version__", "0.0.1")
    clf = stopped(small(checkpoint=path), *data)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match=r"torch 0.0.1 \(now "):
        clf.fit(*data)


def test_a_folder_holds_a_file_for_each_fit(data, tmp_path):
    X, y = data
    folder = f"{tmp_path / 'new'}{os.sep}"
    stopped(small(checkpoint=folder), X, y)
    stopped(small(checkpoint=folder, lr=0.002), X, y)
    stopped(small(checkpoint=folder, max_epochs=9), X, y)
    clf = stopped(small(checkpoint=folder), X[:100], y[:100])
    assert len(os.listdir(folder)) == 4
    assert_same(clf.fit(X[:100], y[:100]), small().fit(X[:100], y[:100]), X)
    assert len(os.listdir(folder)) == 3


def test_a_search_in_processes(data, tmp_path):
    X, y = data
    grid = {"lr": [0.001, 0.003]}
    plain = GridSearchCV(small(max_epochs=3), grid, cv=2).fit(X, y)
    search = GridSearchCV(small(max_epochs=3, checkpoint=tmp_path), grid, cv=2, n_jobs=2).fit(X, y)
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(search.cv_results_[name], plain.cv_results_[name])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist(data, tmp_path):
    with pytest.raises(ValueError, match="is in a folder that does not exist"):
        small(checkpoint=tmp_path / "missing" / "fit.ckpt").fit(*data)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="files have no limit here")
def test_a_full_disk_leaves_the_last_file(data, path):
    import resource

    clf = stopped(small(checkpoint=path), *data)
    content = path.read_bytes()
    whole = small().fit(*data)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, before[1]))
        with pytest.raises(OSError, match="the checkpoint cannot be written, File too large") as no:
            clf.fit(*data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert no.value.errno == errno.EFBIG
    assert no.value.filename == str(path)
    assert not hasattr(clf, "net_")
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == content
    assert_same(clf.fit(*data), whole, data[0])


@pytest.mark.usefixtures("ctrl_c_raises")
def test_an_interrupt_in_a_write_reaches_the_caller_and_leaves_the_last_file(
    data, path, monkeypatch
):
    counting = Counting()
    clf = stopped(small(checkpoint=path, callbacks=[counting]), *data)
    content = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *args: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*data)
    assert len(counting.counts) < 8  # at once, not at the end of training
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["fit.ckpt", "run[1].ckpt"])
def test_leftovers_of_killed_writes_are_removed(data, path, name):
    path = path.with_name(name)
    left = path.with_name(f".{path.name}.part-abc")
    left.write_bytes(b"abc")
    os.utime(left, (0, 0))
    small(checkpoint=path).fit(*data)
    assert not list(path.parent.iterdir())


def test_a_write_of_another_process_is_left_alone(data, path):
    being_written = path.with_name(f".{path.name}.part-abc")
    being_written.write_bytes(b"abc")
    os.utime(being_written, (2**31, 2**31))
    small(checkpoint=path).fit(*data)
    assert list(path.parent.iterdir()) == [being_written]


def test_the_file_may_be_deleted_while_a_fit_goes_on(data, path):
    class Deletes(Callback):
        def on_epoch_end(self, net, **kwargs):
            path.unlink()

    assert_same(small([Deletes()], checkpoint=path).fit(*data), small().fit(*data), data[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_killed_fits_end_with_the_model_of_fits_left_alone():
    """SKDAM_KILLS=200 kills more often."""
    n_kills = os.environ.get("SKDAM_KILLS", "10")
    run = subprocess.run([sys.executable, KILLING, n_kills], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    print(run.stdout)


def test_generators_are_left_alone(data, path, untouched_generators):
    with untouched_generators():
        stopped(small(checkpoint=path), *data).fit(*data)


def test_without_a_checkpoint_nothing_warns(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(callbacks=[EarlyStopping("train_loss")]).fit(*data)


def test_a_fit_with_a_random_state_goes_on(data, path):
    expected = small(random_state=np.random.RandomState(0)).fit(*data)
    clf = stopped(small(random_state=np.random.RandomState(0), checkpoint=path), *data)
    assert_same(clf.fit(*data), expected, data[0])
