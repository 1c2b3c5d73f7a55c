"""Optional packages."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    return find_spec(package) is not None


def can_run(name: str, package: str) -> bool:
    """Whether the package of a model is installed; if not, print that the model is left out."""
    if is_installed(package):
        return True
    print(
        f"{name} is left out: it needs the package {package}; see benchmarks/README.md.",
        file=sys.stderr,
    )
    return False
