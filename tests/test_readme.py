import re
from pathlib import Path
from urllib.parse import urlparse

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
LINKS = re.findall(r"\]\(([^)]+)\)", README)


@pytest.fixture(scope="module")
def names():
    """What the example defines."""
    names = {"__name__": "readme"}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    return names


def test_example_wins_where_the_readme_says_so(names):
    assert names["clf"].score(names["X_test"], names["y_test"]) > names["forest_auc"]


def test_estimate_from_training_rows_is_close(names):
    test_score = names["clf"].score(names["X_test"], names["y_test"])
    assert names["clf"].oob_score_ == pytest.approx(test_score, abs=0.03)


def test_links_work_outside_the_repository():
    # the package index shows the README without the files beside it
    assert LINKS
    assert all(urlparse(link).scheme == "https" for link in LINKS)


def test_links_to_files_name_files_that_exist():
    root = Path(__file__).parents[1]
    paths = re.findall(r"github(?:usercontent)?\.com/skdam/skdam/(?:blob/)?main/([^)]+)", README)
    assert paths
    assert all((root / path).is_file() for path in paths), paths


def test_readme_is_short():
    assert len(README.splitlines()) <= 120
