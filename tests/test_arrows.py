"""Imports run one way: from the estimator down to torch."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import skdam

HOME = Path(skdam.__file__).parent
FLOOR = {"_device", "_generators", "_numbers", "_targets"}
STAMP = {"_stamp"}
PARTS = {"networks", "losses", "optim", "data"}
# what the files of a wing, or a file at the top, may import besides their own wing
ALLOWED = {
    "_device": set(),
    "_generators": set(),
    "_history": set(),
    "_numbers": set(),
    "_targets": set(),
    "_threads": set(),
    "_version": set(),
    "_stamp": {"_version"},
    "networks": FLOOR,
    "losses": FLOOR,
    "optim": FLOOR,
    "data": FLOOR,
    "callbacks": FLOOR | {"_history"},
    "datasets": set(),
    "display": set(),
    "export": PARTS | FLOOR | {"_version", "estimator", "training"},
    "persistence": STAMP,
    "training": PARTS | FLOOR | STAMP | {"callbacks"},
    "estimator": PARTS | FLOOR | STAMP | {"_history", "_threads", "callbacks", "training"},
}


def imports():
    """The imports of each module of the package from the package, also those in functions."""
    graph = {}
    for path in sorted(HOME.rglob("*.py")):
        parts = path.relative_to(HOME).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found = graph.setdefault(name, set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skdam"):
                module = node.module.removeprefix("skdam").removeprefix(".")
                names = [alias.name for alias in node.names]
                folder = HOME.joinpath(*module.split("."))
                found |= {f"{module}.{n}" if folder.is_dir() else module for n in names}
    return graph


IMPORTS = {name: found for name, found in imports().items() if name}


@pytest.mark.parametrize("name", IMPORTS)
def test_a_module_imports_only_what_lies_below_its_wing(name):
    wing = name.split(".")[0]
    wings = {other.split(".")[0] for other in IMPORTS[name]} - {wing}
    assert wings <= ALLOWED[wing]


def test_there_is_no_circle():
    assert len(IMPORTS) > 30
    try:
        list(TopologicalSorter(IMPORTS).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other: {error.args[1]}")


def test_wings_are_imported_by_file():
    wings = {name for name in IMPORTS if (HOME / name).is_dir()}
    assert wings == {"networks", "losses", "optim", "data", "training", "estimator", "export"}
    assert not any(found & wings for found in IMPORTS.values())
