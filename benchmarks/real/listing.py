"""A list of the tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.harness.markdown import markdown_table
from benchmarks.real import tables
from benchmarks.real.frames import KINDS, count_kinds
from benchmarks.real.sources import Source
from benchmarks.real.tables import Table

_HEADER = ("table", "purpose", "rows", "positive", *KINDS, "with gaps", "cells missing")
_INTRODUCTION = """\
# The real tables

Made by `python -m benchmarks.real tables`. The columns are counted by kind; "with gaps" are those
in which values are missing, and "cells missing" is the share of such values in the whole table.

"""


def describe(names: Iterable[str]) -> str:
    """Return the figures of the tables, and of each its target and what was done to it."""
    loaded = [tables.load(name) for name in names]
    sources = {source.name: source for source in (tables.source(table.name) for table in loaded)}
    text = _INTRODUCTION + markdown_table(_HEADER, map(_figures, loaded)) + "\n"
    return text + "".join(map(_item, sources.values()))


def _figures(table: Table) -> list[str]:
    kinds, gaps = count_kinds(table.X), table.X.isna()
    return [
        f"`{table.name}`",
        "tuning" if tables.is_for_tuning(table.name) else "judged",
        f"{len(table.X):,}",
        f"{table.target.mean():.1%}",
        *(str(kinds[kind]) for kind in KINDS),
        str(gaps.any().sum()),
        f"{gaps.to_numpy().mean():.1%}",
    ]


def _item(source: Source) -> str:
    left_out = "; ".join(
        f"{', '.join(f'`{column}`' for column in columns)} ({reason})"
        for reason, columns in source.left_out.items()
    )
    sentences = [
        f"{source.origin}. Positive: {source.meaning} (from `{source.column}`).",
        f"Left out: {left_out}." if left_out else "",
        source.note,
    ]
    return f"- **`{source.name}`**: {' '.join(filter(None, sentences))}\n"
