r"""Compositional training against its rivals on images: ROC AUC, curves, features.

From the repository root::

    python -m benchmarks.images run --data PATH --preset quick --seeds 0 1 --jobs 2 --out images.csv
    python -m benchmarks.images report images.csv --out-dir images

``run`` goes on where a killed run of the same file stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import images_data, images_models, images_plan, images_report
from benchmarks.images_data import Part, Split
from benchmarks.images_models import OnEpochEnd, Training
from benchmarks.images_report import SCHEMA, SEARCH_SCHEMA, Curve, file_name
from benchmarks.images_state import Progress, State, write_atomically
from benchmarks.measure import peak_rss_mib
from benchmarks.runner import (
    comma_list,
    command_line,
    exit_status,
    report_to_directory,
    run_command,
)
from benchmarks.store import Job, Row, read_rows
from skdam import CompositionalAUCNet

_N_PROJECTED = 500


@dataclass(frozen=True)
class Preset:
    """How long and on how much data.

    Parameters
    ----------
    sets : tuple of str
    models : tuple of str
    n_epochs, batch_size, width : int
        Of the training, and the channels of the network's first stage.
    score_every : int
        Epochs from one point of a curve to the next.
    most_images : mapping
        How many images of a set are kept, of training, validation and test; else all.
    precision : str
        Of the training.
    probe_epochs : tuple of int
        Epochs, besides the last, after which features are probed and weights saved.
    search : Preset or None
        The short training by which each model's rates are chosen. None chooses none.
    plan : tuple of Job
        With a search, the jobs in their order.
    """

    sets: tuple[str, ...]
    models: tuple[str, ...]
    n_epochs: int
    batch_size: int
    width: int
    score_every: int
    most_images: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    precision: str = "float32"
    probe_epochs: tuple[int, ...] = ()
    search: Preset | None = None
    plan: tuple[Job, ...] = ()


# the rate of 0.1 and 0.3 (of 0.03 and 0.1 for sgd-cross-entropy, which has momentum) that is better
# on the validation images of both sets, on average, of a seed that is not reported
_QUICK_RATES = {
    "compositional": 0.3,
    "lookahead": 0.1,
    "two-stage": 0.1,
    "auc": 0.1,
    "balanced-cross-entropy": 0.1,
    "cross-entropy": 0.3,
    "weighted-cross-entropy": 0.1,
    "focal": 0.3,
    "sgd-cross-entropy": 0.03,
    "libauc-shipped": 0.3,
    "libauc-repaired": 0.3,
}
_PAPER_SEARCH = Preset(
    ("chest-xray", "cifar10-10", "cifar10-1"),
    images_models.NAMES,
    n_epochs=10,
    batch_size=128,
    width=16,
    score_every=1,
    most_images=dict.fromkeys(("cifar10-10", "cifar10-1"), (10_000, 10_000, 10_000)),
    precision="bfloat16",
)
PRESETS = {
    "quick": Preset(
        ("chest-xray", "cifar10-10"),
        tuple(f"{name}:lr={rate}" for name, rate in _QUICK_RATES.items()),
        n_epochs=8,
        batch_size=64,
        width=8,
        score_every=2,
        most_images={"cifar10-10": (3000, 600, 2000)},
    ),
    "full": Preset(
        images_data.NAMES,
        images_models.NAMES,
        n_epochs=100,
        batch_size=128,
        width=16,
        score_every=1,
    ),
    "paper": replace(
        _PAPER_SEARCH,
        n_epochs=100,
        most_images={},
        probe_epochs=(10, 50),
        search=_PAPER_SEARCH,
        plan=images_plan.PAPER,
    ),
    # for the tests of the benchmark
    "tiny": Preset(
        ("chest-xray", "cifar10-30"),
        images_models.NAMES,
        n_epochs=2,
        batch_size=16,
        width=2,
        score_every=1,
        most_images=dict.fromkeys(("chest-xray", "cifar10-30"), (60, 40, 40)),
    ),
}


@dataclass(frozen=True)
class Places:
    """Where a run reads and writes.

    Parameters
    ----------
    data : Path or None
        Directory of the images. None downloads them.
    projections : Path
        Directory for projected features.
    state : Path or None
        Directory for the state of jobs under way and for weights. None keeps neither.
    """

    data: Path | None
    projections: Path
    state: Path | None

    def state_file(self, job: Job, preset: str) -> Path | None:
        """Return the file for the state of a job."""
        return self.state and self.state / f"{preset}-{file_name(job)}.pt"

    def weights_file(self, job: Job, preset: str, epoch: int) -> Path | None:
        """Return the file for the weights that a job has after an epoch."""
        return self.state and self.state / "weights" / f"{preset}-{file_name(job)}-{epoch}.pt"


def evaluate(job: Job, preset: str, places: Places) -> list[Row]:
    """Train a model, score it as it learns, probe its features and project them."""
    settings = PRESETS[preset]
    split = _load(job, settings, places.data)
    progress = Progress(places.state_file(job, preset))
    record = progress.record

    def look(epoch: int, net: CompositionalAUCNet) -> None:
        if _is_due(epoch, settings):
            _append(record, "epochs", epoch)
            _append(record, "valid_auc", _auc(split.valid, net))
            _append(record, "test_auc", _auc(split.test, net))
        if epoch in {*settings.probe_epochs, settings.n_epochs}:
            _append(record, "probe_epochs", epoch)
            _append(record, "probe_auc", _probe(split, net))
            _save_weights(net, places.weights_file(job, preset, epoch))
        if epoch == settings.n_epochs:
            _project(split.test, net, images_report.projection_file(places.projections, job), job)
        if places.state is not None and _is_due(epoch, settings):
            _tell(job, settings, record)

    _train(job, split, settings, look, progress)
    return [_row(job, preset, record)]


def search(job: Job, preset: str, places: Places) -> list[Row]:
    """Train a model for a short time, and score it on validation images alone."""
    settings = PRESETS[preset].search
    assert settings is not None
    split = _load(job, settings, places.data)
    progress = Progress()

    def look(epoch: int, net: CompositionalAUCNet) -> None:
        if _is_due(epoch, settings):
            _append(progress.record, "epochs", epoch)
            _append(progress.record, "valid_auc", _auc(split.valid, net))

    _train(job, split, settings, look, progress)
    return [_row(job, preset, progress.record)]


def _train(job: Job, split: Split, settings: Preset, look: OnEpochEnd, progress: Progress) -> None:
    """Train a model, and note down the seconds, which stop while someone looks at it."""
    record = progress.record
    started = perf_counter()

    def on_epoch_end(epoch: int, net: CompositionalAUCNet) -> None:
        nonlocal started
        record["fit_seconds"] = record.get("fit_seconds", 0.0) + perf_counter() - started
        look(epoch, net)
        started = perf_counter()

    # a job that was killed after its last epoch has nothing to train
    if progress.n_epochs < settings.n_epochs:
        training = Training(
            settings.n_epochs, settings.batch_size, settings.width, job.seed, settings.precision
        )
        images_models.train(job.model, split.train, training, on_epoch_end, progress)


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
        write_atomically(path, net.module_.state_dict())


def _project(part: Part, net: CompositionalAUCNet, path: Path, job: Job) -> None:
    some = images_data.thin(part, _N_PROJECTED, job.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    plane = PCA(2, random_state=0).fit_transform(net.embed(some.X))
    np.savez(path, X=plane.astype(np.float32), y=some.y)


def _tell(job: Job, settings: Preset, record: State) -> None:
    """Say how far a job is, which may take hours."""
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


def _load(job: Job, settings: Preset, data: Path | None) -> Split:
    split = images_data.load(job.dataset, job.seed, data)
    most = settings.most_images.get(job.dataset)
    if most is None:
        return split
    return Split(
        *(images_data.thin(part, n, job.seed) for part, n in zip(split, most, strict=True))
    )


def _run(arguments: argparse.Namespace) -> int:
    settings = PRESETS[arguments.preset]
    for row in read_rows(arguments.out, SCHEMA) if arguments.out.exists() else ():
        if row["preset"] != arguments.preset:
            raise ValueError(f"{arguments.out} is of the preset {row['preset']!r}.")
    projections = images_report.projections_of(arguments.out)
    places = Places(arguments.data, projections, arguments.state)
    run = _run_plan if settings.search is not None else _run_product
    return run(arguments, settings, places)


def _run_product(arguments: argparse.Namespace, settings: Preset, places: Places) -> int:
    """Run all models on all sets with all seeds."""
    arguments.seeds = arguments.seeds or [0]
    return run_command(
        arguments,
        images_models.available(arguments.models or settings.models),
        dict.fromkeys(arguments.sets or settings.sets, 1.0),
        partial(evaluate, preset=arguments.preset, places=places),
        SCHEMA,
        on_done=partial(_forget, preset=arguments.preset, places=places),
    )


def _run_plan(arguments: argparse.Namespace, settings: Preset, places: Places) -> int:
    """Run jobs in their order, each after the search for its rates."""
    plan = images_plan.Plan(
        arguments.out,
        arguments.jobs,
        search=partial(search, preset=arguments.preset, places=places),
        evaluate=partial(evaluate, preset=arguments.preset, places=places),
        on_done=partial(_forget, preset=arguments.preset, places=places),
    )
    return exit_status(plan.run(_planned(arguments, settings)))


def _planned(arguments: argparse.Namespace, settings: Preset) -> Sequence[Job]:
    if not (arguments.sets or arguments.models or arguments.seeds):
        return settings.plan
    return [
        Job(dataset, seed, model)
        for dataset in arguments.sets or settings.sets
        for seed in arguments.seeds or [0]
        for model in arguments.models or settings.models
    ]


def _forget(job: Job, preset: str, places: Places) -> None:
    """Remove the state of a job whose rows are safe."""
    path = places.state_file(job, preset)
    if path is not None:
        path.unlink(missing_ok=True)


def _report(arguments: argparse.Namespace) -> int:
    searches = images_plan.search_file(arguments.results)
    images_report.write(
        read_rows(arguments.results, SCHEMA),
        images_report.projections_of(arguments.results),
        arguments.out_dir,
        read_rows(searches, SEARCH_SCHEMA) if searches.exists() else (),
    )
    return 0


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="directory of the files (default: download)")
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument(
        "--sets", type=comma_list, help=f"comma list of {', '.join(images_data.NAMES)}"
    )
    parser.add_argument(
        "--models",
        type=comma_list,
        help=f"comma list of {', '.join(images_models.NAMES)}; with changes, as in "
        "auc:lr=0.3:sampling_rate=share",
    )
    parser.add_argument(
        "--state",
        type=Path,
        help="directory for the state of jobs, saved each epoch, and for weights (default: none)",
    )
    parser.set_defaults(command=_run, seeds=None)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    return command_line(__doc__, argv, run=_add_run, report=report_to_directory(_report))


if __name__ == "__main__":
    sys.exit(main())
