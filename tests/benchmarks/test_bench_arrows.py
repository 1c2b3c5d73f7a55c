"""The direction of imports within the benchmarks."""

import ast

import pytest

from benchmarks.speed.results import ROOT

FOLDERS = {path.parent for path in (ROOT / "benchmarks").glob("*/__init__.py")}
BENCHMARKS = {path.name for path in FOLDERS} - {"harness", "models"}


def imported(file):
    """Yield the modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", sorted(path.name for path in FOLDERS))
def test_imports_point_downwards(folder):
    everywhere = {folder, "harness", "models"}
    # measures other things on the tables of two benchmarks
    others = {"harness": {"harness"}, "probabilities": everywhere | {"keel", "real"}}
    allowed = others.get(folder, everywhere)
    for file in (ROOT / "benchmarks" / folder).glob("*.py"):
        names = {name.split(".")[1] for name in imported(file) if name.startswith("benchmarks.")}
        assert names <= allowed, file


def test_every_benchmark_is_a_program():
    assert " ".join(sorted(BENCHMARKS)) == "images keel large probabilities real scaling speed"
    for name in BENCHMARKS:
        assert (ROOT / "benchmarks" / name / "__main__.py").exists()
