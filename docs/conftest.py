"""What pytest collects here: the code in the pages, and the scripts of the gallery.

The blocks of a page, with prompts or without, run one after the other in one namespace and in an
empty folder. A comment ``.. invisible-code-block: python`` holds what a block needs and a reader
does not.
"""

from doctest import NORMALIZE_WHITESPACE
from importlib import import_module
from sys import modules
from unittest.mock import MagicMock

import pytest
from sybil import Sybil
from sybil.parsers.rest import DocTestParser, PythonCodeBlockParser

collect_ignore_glob = ["_build/*", "auto_examples/*", "examples/*", "figures/*", "generated/*"]


@pytest.fixture(scope="module")
def stand_in_for(tmp_path_factory):
    """Modules that are not installed are mocks on this page, so that blocks run without them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))

        def stand_in_for(*names):
            for name in names:
                try:
                    import_module(name)
                except ImportError:
                    patch.setitem(modules, name, MagicMock())

        yield stand_in_for


def as_script(namespace):
    """Let classes of a page belong to a module, as pickle asks."""
    namespace["__name__"] = "__main__"


pytest_collect_file = Sybil(
    parsers=[DocTestParser(NORMALIZE_WHITESPACE), PythonCodeBlockParser()],
    pattern="*.rst",
    setup=as_script,
    fixtures=["stand_in_for"],
).pytest()
