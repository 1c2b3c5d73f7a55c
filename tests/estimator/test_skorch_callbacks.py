"""Callbacks of skorch, and numbers of NumPy, in every kind of training."""

import copy
import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import (
    Checkpoint,
    EarlyStopping,
    LRScheduler,
    MlflowLogger,
    TensorBoard,
    TrainEndCheckpoint,
    WandbLogger,
)


def halving(**parameters):
    return LRScheduler("StepLR", step_size=1, gamma=0.5, **parameters)


def test_schedulers_of_skorch_work_in_fit_partial_fit_and_warm_start(toy, make):
    clf = make(lr=0.1, callbacks=[halving()], milestones=()).fit(*toy)
    np.testing.assert_allclose(clf.history_["lr"], [0.1, 0.05, 0.025])
    clf.partial_fit(*toy)
    clf.set_params(warm_start=True).fit(*toy)
    assert clf.n_iter_ == 7
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(clf)).predict(toy[0]), clf.predict(toy[0])
    )


def test_a_scheduler_still_works_in_the_second_stage(toy, make):
    parameters = {"lr": 0.1, "milestones": (), "callbacks": [halving()], "early_stopping": False}
    clf = make(strategy="two-stage", max_epochs=6, **parameters)
    lr = clf.fit(*toy).history_["lr"]
    assert lr[3] == 0.1  # the second stage begins at the first rate
    np.testing.assert_allclose(lr[4:] / lr[3:-1], 0.5)


def test_a_checkpoint_of_the_first_stage_can_be_loaded(toy, tmp_path, make):
    checkpoint = Checkpoint(monitor=None, load_best=True, dirname=str(tmp_path))
    clf = make(strategy="two-stage", max_epochs=4, callbacks=[checkpoint]).fit(*toy)
    assert clf.predict(toy[0]).shape == (200,)


def test_models_with_numpy_parameters_can_be_saved(toy, make):
    clf = make(
        lr=np.float64(0.1), inner_lr=np.float32(0.1), betas=np.array([0.9, 0.9]),
        lr_decay=np.float64(0.5), inner_steps=np.int64(2), margin=np.float64(1),
        max_epochs=np.int64(3), batch_size=np.int64(32),
    ).fit(*toy)  # fmt: skip
    for other in (pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf)):
        np.testing.assert_array_equal(other.predict(toy[0]), clf.predict(toy[0]))


class Writer:
    """A writer of TensorBoard that keeps what it is told: values by tag and epoch."""

    def __init__(self):
        self.told = {}

    def add_scalar(self, tag, scalar_value, global_step):
        self.told.setdefault(tag, {})[global_step] = scalar_value

    def close(self):
        self.is_closed = True


def assert_history_was_told(clf, told, names):
    for name, tag in names.items():
        values = {
            epoch: value
            for epoch, value in enumerate(clf.history_[name], 1)
            if epoch in told[tag] or not np.isnan(value)
        }
        np.testing.assert_equal(told[tag], values)


def test_tensorboard_is_told_of_losses_and_scores(toy, make):
    writer = Writer()
    # it stops early: the last epoch is told as well
    clf = make(max_epochs=60, batch_size=6, callbacks=[("tb", TensorBoard(writer))]).fit(*toy)
    assert clf.n_iter_ < 60
    names = {name: name for name in ("inner_loss", "outer_loss", "oob_roc_auc", "lr", "dur")}
    assert_history_was_told(clf, writer.told, names | {"train_loss": "Loss/train_loss"})
    assert len(writer.told["oob_roc_auc"]) == clf.n_iter_
    assert writer.is_closed


def test_tensorboard_in_two_stages_with_validation(toy, make):
    writer = Writer()
    clf = make(
        max_epochs=4, strategy="two-stage", early_stopping=True, callbacks=[TensorBoard(writer)]
    ).fit(*toy)
    names = {name: name for name in ("inner_loss", "outer_loss", "lr")}
    names |= {"valid_roc_auc": "Loss/valid_roc_auc", "valid_loss": "Loss/valid_loss"}
    assert_history_was_told(clf, writer.told, names)
    assert list(writer.told["inner_loss"]) == [1, 2]
    assert list(writer.told["outer_loss"]) == [3, 4]


def test_mlflow_and_wandb_are_told_of_losses_and_scores(toy, make):
    class Run:
        """The client of MLflow and the run of W&B."""

        def __init__(self):
            self.info = self
            self.run_id = "run"
            self.told = {}
            self.rows = []

        def __deepcopy__(self, memo):
            return self

        def log_metric(self, run_id, key, value, step):
            self.told.setdefault(key, {})[step] = value

        def set_terminated(self, run_id):
            self.is_ended = True

        def watch(self, module):
            self.module = module

        def log(self, row):
            self.rows.append(row)

    mlflow, wandb = Run(), Run()
    loggers = [
        ("mlflow", MlflowLogger(mlflow, mlflow, create_artifact=False)),
        ("wandb", WandbLogger(wandb, save_model=False)),
    ]
    clf = make(callbacks=loggers).fit(*toy)
    names = ("inner_loss", "outer_loss", "train_loss", "oob_roc_auc", "lr", "dur")
    assert_history_was_told(clf, mlflow.told, {name: name for name in names})
    assert mlflow.is_ended
    for name in names:
        np.testing.assert_equal([row[name] for row in wandb.rows], clf.history_[name])


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping(patience=3),
        LRScheduler("ReduceLROnPlateau", monitor="valid_loss", patience=3),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_that_monitor_validation_find_a_score_in_each_epoch(toy, make, callback):
    """Also where epochs are short, and the stop of the classifier would skip some."""
    parameters = {"max_epochs": 8, "early_stopping": True, "milestones": ()}
    history = make(callbacks=[callback], **parameters).fit(*toy).history_
    assert np.isfinite(history["valid_loss"]).all()
    assert len(history["valid_loss"]) == 8  # it falls all the time
    assert len(set(history["lr"])) == 1


@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
def test_a_checkpoint_of_the_end_is_of_the_weights_that_are_kept(toy, make, tmp_path, variant):
    """The classifier's own stop, which returns to the best epoch, comes after it in the list."""
    checkpoint = TrainEndCheckpoint(dirname=str(tmp_path))
    clf = make(
        callbacks=[checkpoint], early_stopping=True, n_iter_no_change=2, max_epochs=30,
        batch_size=6, lr=0.1, variant=variant, cross_fit=False,
    ).fit(*toy)  # fmt: skip
    assert np.argmax(clf.history_["valid_roc_auc"]) < clf.n_iter_ - 1
    saved = torch.load(tmp_path / "train_end_params.pt", weights_only=True)
    for name, weights in clf.net_.module_.state_dict().items():
        assert torch.equal(saved[name], weights)


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        ("epoch_timer", "dur"),
        ("train_loss", "train_loss"),
        ("valid_loss", "valid_loss"),
        ("out_of_bag", "oob_roc_auc"),
    ],
)
def test_a_callback_of_the_classifier_is_switched_off_by_its_name(toy, make, name, recorded):
    X, y = toy
    given = {"X_val": X, "y_val": y} if name == "valid_loss" else {}
    small = {"max_epochs": 1, "module__n_landmarks": 0, "early_stopping": False}
    on, off = (
        make(**small, **switch).fit(X, y, **given).history_.keys()
        for switch in ({}, {f"callbacks__{name}": None})
    )
    assert on - off == {recorded}


def test_without_the_stage_schedule_the_rate_stays(toy, make):
    small = {"max_epochs": 2, "milestones": (0.5,), "module__n_landmarks": 0}
    lr = make(**small, callbacks__stage_schedule=None).fit(*toy).history_["lr"]
    assert lr[0] == lr[1]
    assert make(**small).fit(*toy).history_["lr"][1] < lr[1]
