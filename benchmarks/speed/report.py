"""The last runs in a file of speeds, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.harness.markdown import markdown_table
from benchmarks.harness.table import Row
from benchmarks.speed.epochs import BARE, PAIRS
from benchmarks.speed.problem import BATCH_SIZE
from benchmarks.speed.results import last_runs

_EXPLANATION = """\
Seconds are medians over the repeats. Ratios are medians of the ratios within a repeat, as the
speed of a machine may change from one repeat to the next, and ratios of the fastest times, which
other work on the machine disturbs least. The first call is not one of the repeats: it compiles
what is compiled.
"""


def summary(rows: Iterable[Row]) -> str:
    """Return tables of the last run of each measurement, network and device."""
    text = f"# Speed\n\n{_EXPLANATION}"
    for run in last_runs(rows):
        text += f"\n{section(run)}"
    return text


def section(run: list[Row]) -> str:
    """Return the tables of one run of one measurement."""
    about = run[0]
    seconds = [row for row in run if not row["by"]]
    ratios = [row for row in run if row["by"]]
    text = f"## {_title(about)}\n\n"
    text += f"{about['date']}, commit {about['commit']}, torch {about['torch']}, "
    text += f"{about['threads']} CPU thread(s), {about['cpu']}, device {about['device']}, "
    text += f"{about['repeats']} repeats.\n\n"
    if about["measured"] == "epochs":
        text += _table_of_epochs(seconds, ratios)
        ratios = [row for row in ratios if (row["name"], row["by"]) in PAIRS]
    else:
        text += markdown_table(
            ["", "seconds", "first call"],
            [[row["name"], f"{row['median']:.3f}", f"{row['first']:.3f}"] for row in seconds],
        )
    if about["measured"] == "imports":
        libraries, both = (row["median"] for row in seconds)
        text += f"\n`import skdam` adds {both - libraries:.3f} s, the difference of the medians.\n"
    lines = [
        [
            row["name"],
            row["by"],
            f"{row['median']:.2f}",
            f"{row['lower_quartile']:.2f} to {row['upper_quartile']:.2f}",
            f"{row['fastest']:.2f}",
        ]
        for row in ratios
    ]
    header = ["ratio within a repeat of", "by", "median", "quartiles", "of the fastest"]
    return text + "\n" + markdown_table(header, lines)


def _title(row: Row) -> str:
    return {
        "epochs": f"An epoch of {row['rows']} rows, {row['network']}, batches of {BATCH_SIZE}",
        "scores": f"Scores of {row['rows']} rows, {row['network']}",
        "fits": f"Default fits of {row['rows']} rows",
        "imports": "Import",
    }[row["measured"]]


def _table_of_epochs(seconds: list[Row], ratios: list[Row]) -> str:
    of_bare = {row["name"]: f"{row['median']:.2f}" for row in ratios if row["by"] == BARE}
    lines = []
    for row in seconds:
        n_steps = -(-row["rows"] // BATCH_SIZE)
        step = f"{row['median'] / n_steps * 1e6:.0f}"
        of_bare_torch = of_bare.get(row["name"], "")
        times = f"{row['median']:.3f}", step, of_bare_torch, f"{row['first']:.3f}"
        lines.append([row["name"], *times])
    return markdown_table(["", "seconds", "us a step", f"of {BARE}", "first epoch"], lines)
