"""Train a model on images and measure it during training."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.harness.measure import peak_rss_mib
from benchmarks.harness.progress import Progress, State, save_state
from benchmarks.harness.store import Job
from benchmarks.harness.table import Row
from benchmarks.images import data
from benchmarks.images.data import Part, Split
from benchmarks.images.presets import PRESETS, Preset
from benchmarks.images.results import Curve, file_name, projection_file
from benchmarks.images.training import OnEpochEnd, Training, train
from skdam import CompositionalAUCNet

_N_PROJECTED = 500


@dataclass(frozen=True)
class RunFiles:
    """The files that a run reads and writes.

    Parameters
    ----------
    data : Path or None
        The directory of the images. None downloads them.
    projections : Path
        The directory of the projected features.
    state : Path or None
        The directory of the state of unfinished jobs and of weights. None saves neither.
    """

    data: Path | None
    projections: Path
    state: Path | None

    def state_file(self, job: Job, preset: str) -> Path | None:
        """Return the file of the state of a job."""
        return self.state and self.state / f"{preset}-{file_name(job)}.pt"

    def weights_file(self, job: Job, preset: str, epoch: int) -> Path | None:
        """Return the file of the weights of a job after an epoch."""
        return self.state and self.state / "weights" / f"{preset}-{file_name(job)}-{epoch}.pt"


def evaluate(job: Job, preset: str, files: RunFiles) -> list[Row]:
    """Train a model, score it during training, probe its features and project them."""
    settings = PRESETS[preset]
    split = _load(job, settings, files.data)
    progress = Progress(files.state_file(job, preset))
    record = progress.record

    def measure(epoch: int, net: CompositionalAUCNet) -> None:
        if _is_due(epoch, settings):
            _append(record, "epochs", epoch)
            _append(record, "valid_auc", _auc(split.valid, net))
            _append(record, "test_auc", _auc(split.test, net))
        if epoch in {*settings.probe_epochs, settings.n_epochs}:
            _append(record, "probe_epochs", epoch)
            _append(record, "probe_auc", _probe(split, net))
            _save_weights(net, files.weights_file(job, preset, epoch))
        if epoch == settings.n_epochs:
            _project(split.test, net, projection_file(files.projections, job), job)
        if files.state is not None and _is_due(epoch, settings):
            _print_progress(job, settings, record)

    _train(job, split, settings, measure, progress)
    return [_row(job, preset, record)]


def search(job: Job, preset: str, files: RunFiles) -> list[Row]:
    """Train a model for a short time, and score it only on validation images."""
    settings = PRESETS[preset].search
    assert settings is not None
    split = _load(job, settings, files.data)
    progress = Progress()

    def measure(epoch: int, net: CompositionalAUCNet) -> None:
        if _is_due(epoch, settings):
            _append(progress.record, "epochs", epoch)
            _append(progress.record, "valid_auc", _auc(split.valid, net))

    _train(job, split, settings, measure, progress)
    return [_row(job, preset, progress.record)]


def remove_state(job: Job, preset: str, files: RunFiles) -> None:
    """Remove the state of a job whose rows are in the file of results."""
    path = files.state_file(job, preset)
    if path is not None:
        path.unlink(missing_ok=True)


def _train(
    job: Job, split: Split, settings: Preset, measure: OnEpochEnd, progress: Progress
) -> None:
    """Train a model and record the seconds, without those of measuring it."""
    record = progress.record
    started = perf_counter()

    def on_epoch_end(epoch: int, net: CompositionalAUCNet) -> None:
        nonlocal started
        record["fit_seconds"] = record.get("fit_seconds", 0.0) + perf_counter() - started
        measure(epoch, net)
        started = perf_counter()

    # a job that was killed after its last epoch needs no training
    if progress.n_epochs < settings.n_epochs:
        how = Training(
            settings.n_epochs, settings.batch_size, settings.width, job.seed, settings.precision
        )
        train(job.model, split.train, how, on_epoch_end, progress)


def _is_due(epoch: int, settings: Preset) -> bool:
    return epoch % settings.score_every == 0 or epoch == settings.n_epochs


def _append(record: State, name: str, value: float) -> None:
    record.setdefault(name, []).append(value)


def _auc(part: Part, net: CompositionalAUCNet) -> float:
    return float(roc_auc_score(part.y, net.decision_function(part.X)))


def _probe(split: Split, net: CompositionalAUCNet) -> float:
    """Return the test AUC of a logistic regression on the features of the training images."""
    probe = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)
    ).fit(net.embed(split.train.X), split.train.y)
    scores = probe.decision_function(net.embed(split.test.X))
    return float(roc_auc_score(split.test.y, scores))


def _save_weights(net: CompositionalAUCNet, path: Path | None) -> None:
    if path is not None:
        save_state(path, net.module_.state_dict())


def _project(part: Part, net: CompositionalAUCNet, path: Path, job: Job) -> None:
    some = data.thin(part, _N_PROJECTED, job.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    plane = PCA(2, random_state=0).fit_transform(net.embed(some.X))
    np.savez(path, X=plane.astype(np.float32), y=some.y)


def _print_progress(job: Job, settings: Preset, record: State) -> None:
    """Print the progress of a job, which may take hours."""
    print(
        f"{job}: epoch {record['epochs'][-1]} of {settings.n_epochs}, validation AUC "
        f"{record['valid_auc'][-1]:.4f}, {record['fit_seconds']:.0f} s of training, "
        f"{peak_rss_mib():.0f} MiB at most",
        file=sys.stderr,
        flush=True,
    )


def _row(job: Job, preset: str, record: State) -> Row:
    curves = {name: Curve(value) for name, value in record.items() if isinstance(value, list)}
    seconds = {"fit_seconds": round(record["fit_seconds"], 2)}
    return job._asdict() | {"preset": preset} | curves | seconds


def _load(job: Job, settings: Preset, directory: Path | None) -> Split:
    split = data.load(job.dataset, job.seed, directory)
    most = settings.most_images.get(job.dataset)
    if most is None:
        return split
    return Split(*(data.thin(part, n, job.seed) for part, n in zip(split, most, strict=True)))
