"""The benchmark of speed: its file, its tables."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.speed import fits, imports, results
from benchmarks.speed.__main__ import main
from benchmarks.speed.fits import Fit, FitWorker
from benchmarks.speed.results import ROOT, Measurement


def measurement(**times):
    seconds = {name: np.array(values) for name, values in times.items()}
    return Measurement("epochs", "perceptron", "cpu", 256, seconds, (("ours", "bare torch"),))


class TestResults:
    def test_ratios_are_within_a_repeat_and_the_first_call_is_no_repeat(self):
        ours, bare, ratio = measurement(
            **{"ours": [9.0, 2.0, 6.0, 3.0], "bare torch": [8.0, 1.0, 4.0, 3.0]}
        ).to_rows()
        assert (ours["name"], ours["by"], ours["first"], ours["median"]) == ("ours", "", 9, 3)
        assert (bare["fastest"], bare["repeats"]) == (1, 3)
        # the ratios are 2, 1.5 and 1, and that of the fastest is 2
        assert (ratio["name"], ratio["by"], ratio["first"]) == ("ours", "bare torch", None)
        quartiles = ("lower_quartile", "median", "upper_quartile", "fastest")
        assert [ratio[name] for name in quartiles] == [1.25, 1.5, 1.75, 2]

    def test_a_rerun_extends_the_file_and_the_report_has_the_last_run(self, tmp_path, monkeypatch):
        path, text = tmp_path / "speed.csv", tmp_path / "speed.md"
        first = results.append(path, [measurement(ours=[5.0, 2.0])])
        before = path.read_text()
        monkeypatch.setattr(results, "_run", lambda: first[0] | {"date": "later"})
        results.append(path, [measurement(ours=[7.0, 4.0])])
        assert path.read_text().startswith(before)
        times = dict.fromkeys(("median", "lower_quartile", "upper_quartile", "fastest"), 4.0)
        assert results.read(path) == [*first, first[0] | {"date": "later", "first": 7.0} | times]
        assert main(["report", str(path), "--out", str(text)]) == 0
        assert "| ours | 4.000 | 2000000 |  | 7.000 |" in text.read_text()
        assert "2.000" not in text.read_text()

    def test_the_columns_say_what_was_measured_and_on_what(self, tmp_path):
        (row,) = results.append(tmp_path / "speed.csv", [measurement(ours=[5.0, 2.0])])
        assert list(row) == list(results.COLUMNS)
        assert (row["network"], row["rows"], row["repeats"]) == ("perceptron", 256, 1)
        assert row["cpu"]
        assert row["commit"].removesuffix("-dirty") == results.commit_of(ROOT).removesuffix(
            "-dirty"
        )

    def test_another_file_is_rejected_and_unchanged(self, tmp_path):
        path = tmp_path / "other.csv"
        path.write_text("dataset,auc\n")
        with pytest.raises(ValueError, match="has the columns"):
            results.append(path, [measurement(ours=[5.0, 2.0])])
        assert path.read_text() == "dataset,auc\n"

    def test_a_directory_without_git_has_no_commit(self, tmp_path):
        assert results.commit_of(tmp_path) == "unknown"


# where the compiler or torch is too old, what is compiled is timed without
@pytest.mark.filterwarnings("ignore:compile=True has no effect:RuntimeWarning")
@pytest.mark.parametrize("network", ["perceptron", "resnet20"])
def test_a_run_and_its_report(tmp_path, capsys, network):
    path, text = tmp_path / "speed.csv", tmp_path / "speed.md"
    arguments = ["--network", network, "--rows", "130", "--scored-rows", "20", "--repeats", "1"]
    if network == "resnet20":
        arguments += ["--without", "compiled"]  # compiling takes more than a minute
    assert main(["run", *arguments, "--out", str(path)]) == 0
    assert main(["report", str(path), "--out", str(text)]) == 0
    printed = capsys.readouterr().out
    for name in ("bare torch", "skdam, alternating", "skorch", "skdam, predict_proba"):
        assert f"| {name} | " in text.read_text()
        assert f"| {name} | " in printed
    table = pd.read_csv(path)
    assert set(table["measured"]) == {"epochs", "scores"}
    names = set(table["name"])
    assert ("skdam, alternating, compiled" in names) == (network == "perceptron")
    compiled = "skdam, the default network, compiled"
    assert (compiled in names) == (network == "perceptron")


class TestFits:
    def test_a_checkout_against_itself(self, tmp_path, monkeypatch):
        path = tmp_path / "speed.csv"
        monkeypatch.setattr(fits, "FITS", (Fit(60, 20, {"max_epochs": 1}),))
        command = ["fits", "--against", str(ROOT), "--repeats", "2", "--out", str(path)]
        assert main(command) == 0
        rows = results.read(path)
        name = "default fit of 60 x 20, max_epochs=1"
        by = f"the same at {results.commit_of(ROOT)}"
        assert [(row["name"], row["by"]) for row in rows] == [(name, ""), (by, ""), (name, by)]
        assert all(row["median"] > 0 and row["repeats"] == 2 for row in rows)

    def test_a_directory_without_skdam_is_rejected(self, tmp_path):
        with pytest.raises(RuntimeError, match=r"skdam is imported from|ended with status"):
            FitWorker(tmp_path)


def test_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(imports, "LIBRARIES", "import json")
    monkeypatch.setattr(imports, "BOTH", "import json, csv")
    path, text = tmp_path / "speed.csv", tmp_path / "speed.md"
    assert main(["imports", "--repeats", "1", "--out", str(path)]) == 0
    assert main(["report", str(path), "--out", str(text)]) == 0
    libraries, both, ratio = results.read(path)
    assert (libraries["by"], both["by"], ratio["by"]) == ("", "", libraries["name"])
    assert f"`import skdam` adds {both['median'] - libraries['median']:.3f} s" in text.read_text()
