"""Jobs on images that resume after a kill."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

pytest.importorskip("PIL.Image")

from image_runs import Killed, aucs

from benchmarks.harness.progress import Progress
from benchmarks.harness.store import Job
from benchmarks.images.__main__ import main
from benchmarks.images.catalogue import NAMES
from benchmarks.images.evaluation import RunFiles, evaluate
from benchmarks.images.presets import PRESETS
from skdam import ResNet20

# a run that kills its own process in the third of four epochs of five batches
_PROGRAM = """
import os, signal
from benchmarks.images.__main__ import PRESETS, main
from image_runs import use_random_images
from skdam import ResNet20
from test_bench_images_resumption import TestResumption

def forward(module, X, forward=ResNet20.forward, batches=[]):
    batches += [0] * module.training
    if len(batches) == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(module, X)

ResNet20.forward = forward
PRESETS["tiny"] = TestResumption.SETTINGS
use_random_images(setattr)
main({arguments})
"""


class TestResumption:
    # 80 images in batches of 16: five batches an epoch, two of each under lookahead
    SETTINGS = replace(
        PRESETS["tiny"], n_epochs=4, precision="bfloat16", probe_epochs=(1,), most_images={}
    )

    @pytest.fixture(autouse=True)
    def short(self, random_images, monkeypatch):
        monkeypatch.setitem(PRESETS, "tiny", self.SETTINGS)

    def rows(self, name, tmp_path, state):
        files = RunFiles(None, tmp_path / "projections", state)
        (row,) = evaluate(Job("chest-xray", 0, name), "tiny", files)
        del row["fit_seconds"]
        return row

    @pytest.mark.parametrize("name", NAMES)
    def test_a_job_killed_twice_in_mid_epoch_ends_as_one_that_was_not(
        self, name, tmp_path, dies_in_batch
    ):
        if name.startswith("libauc"):
            pytest.importorskip("libauc")
        whole = self.rows(name, tmp_path, None)
        n_batches = 10 if name == "lookahead" else 5
        # in the second epoch and in the last: before and after the rates drop or the stage changes
        for number in (n_batches + 3, 2 * n_batches + 2):
            dies_in_batch(number)
            with pytest.raises(Killed):
                self.rows(name, tmp_path, tmp_path)
        dies_in_batch(None)
        assert self.rows(name, tmp_path, tmp_path) == whole
        assert whole["probe_epochs"] == (1, 4)
        assert len(set(whole["valid_auc"])) > 1

    def test_a_complete_training_is_not_repeated(self, tmp_path, dies_in_batch):
        first = self.rows("auc", tmp_path, tmp_path)
        dies_in_batch(0)
        assert self.rows("auc", tmp_path, tmp_path) == first

    def test_weights_are_kept_at_the_probed_epochs(self, tmp_path):
        self.rows("auc", tmp_path, tmp_path)
        files = sorted(path.name for path in (tmp_path / "weights").iterdir())
        assert files == ["tiny-chest-xray-0-auc-1.pt", "tiny-chest-xray-0-auc-4.pt"]
        ResNet20(1, width=2).load_state_dict(torch.load(tmp_path / "weights" / files[0]))

    def test_a_curve_may_have_fewer_points_than_epochs(self, tmp_path, monkeypatch, capfd):
        monkeypatch.setitem(PRESETS, "tiny", replace(self.SETTINGS, score_every=3))
        assert self.rows("auc", tmp_path, tmp_path)["epochs"] == (3, 4)
        assert capfd.readouterr().err.count("auc on chest-xray, seed 0: epoch") == 2

    def test_the_state_of_a_finished_job_is_removed(self, tmp_path):
        state = tmp_path / "state"
        main(["run", "--preset", "tiny", "--sets", "chest-xray", "--models", "auc",
                     "--state", str(state), "--out", str(tmp_path / "results.csv")])  # fmt: skip
        assert [path.name for path in state.iterdir()] == ["weights"]

    def test_a_killed_process_resumes(self, tmp_path):
        """The first process kills itself in mid-epoch, the second resumes."""
        arguments = ["run", "--preset", "tiny", "--sets", "chest-xray", "--models", "compositional"]
        whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
        assert main([*arguments, "--out", str(whole)]) == 0
        arguments += ["--state", str(tmp_path), "--out", str(killed)]
        program = _PROGRAM.format(arguments=arguments)
        ended = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": ".:tests/benchmarks"}
        )
        assert ended.returncode == -signal.SIGKILL
        assert not killed.exists() or not aucs(killed)
        assert Progress(tmp_path / "tiny-chest-xray-0-compositional.pt").n_epochs == 2
        assert main(arguments) == 0
        assert aucs(killed) == aucs(whole)
