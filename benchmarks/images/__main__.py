r"""Compositional training against its rivals on images: ROC AUC, curves, features.

From the repository root::

    python -m benchmarks.images run --data PATH --preset quick --seeds 0 1 --jobs 2 --out images.csv
    python -m benchmarks.images report images.csv --out-dir images

``run`` resumes a killed run of the same file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.harness.commands import comma_list, command_line, report_command, run_command
from benchmarks.harness.runner import exit_status, run_product
from benchmarks.harness.store import Job, read_rows
from benchmarks.images import data, report
from benchmarks.images.catalogue import NAMES, available
from benchmarks.images.evaluation import RunFiles, evaluate, remove_state, search
from benchmarks.images.plan import Plan
from benchmarks.images.presets import PRESETS, Preset
from benchmarks.images.results import SCHEMA, SEARCH_SCHEMA, projections_of, search_file


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="directory of the files (default: download)")
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--sets", type=comma_list, help=f"comma list of {', '.join(data.NAMES)}")
    parser.add_argument(
        "--models",
        type=comma_list,
        help=f"comma list of {', '.join(NAMES)}; with changes, as in "
        "auc:lr=0.3:sampling_rate=share",
    )
    parser.add_argument(
        "--state",
        type=Path,
        help="directory of the state of jobs, saved each epoch, and of weights (default: none)",
    )
    parser.set_defaults(seeds=None)


def _run(arguments: argparse.Namespace) -> int:
    settings = PRESETS[arguments.preset]
    for row in read_rows(arguments.out, SCHEMA) if arguments.out.exists() else ():
        if row["preset"] != arguments.preset:
            raise ValueError(f"{arguments.out} is of the preset {row['preset']!r}.")
    files = RunFiles(arguments.data, projections_of(arguments.out), arguments.state)
    run = _run_product if settings.search is None else _run_plan
    return run(arguments, settings, files)


def _run_product(arguments: argparse.Namespace, settings: Preset, files: RunFiles) -> int:
    """Run all models on all sets with all seeds."""
    arguments.seeds = arguments.seeds or [0]
    return run_product(
        arguments,
        available(arguments.models or settings.models),
        dict.fromkeys(arguments.sets or settings.sets, 1.0),
        partial(evaluate, preset=arguments.preset, files=files),
        SCHEMA,
        on_done=partial(remove_state, preset=arguments.preset, files=files),
    )


def _run_plan(arguments: argparse.Namespace, settings: Preset, files: RunFiles) -> int:
    """Run jobs in order, each after the search for its rates."""
    plan = Plan(
        arguments.out,
        arguments.jobs,
        search=partial(search, preset=arguments.preset, files=files),
        evaluate=partial(evaluate, preset=arguments.preset, files=files),
        on_done=partial(remove_state, preset=arguments.preset, files=files),
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


def _report(arguments: argparse.Namespace) -> int:
    searches = search_file(arguments.results)
    report.write(
        read_rows(arguments.results, SCHEMA),
        projections_of(arguments.results),
        arguments.out_dir,
        read_rows(searches, SEARCH_SCHEMA) if searches.exists() else (),
    )
    return 0


COMMANDS = (run_command(_add_run_options, _run), report_command(_report))
main = partial(command_line, "images", __doc__, COMMANDS)

if __name__ == "__main__":
    sys.exit(main())
