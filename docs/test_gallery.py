"""Every script of the gallery runs, on small data (``SKDAM_FAST``)."""

import runpy
from pathlib import Path

import matplotlib
import pytest
from matplotlib import pyplot

SCRIPTS = sorted((Path(__file__).parent / "examples").glob("plot_*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_script_runs(script, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.setenv("SKDAM_FAST", "1")
    runpy.run_path(str(script), run_name="__main__")
    assert pyplot.get_fignums(), "the script has drawn nothing"
    pyplot.close("all")


def test_there_are_eight_scripts():
    assert len(SCRIPTS) >= 8
