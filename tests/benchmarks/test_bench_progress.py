"""The state of training on disk."""

import pytest
import torch

from benchmarks.harness.progress import Progress


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    Progress(path).end_epoch()

    def fail(state, file):
        file.write(b"half")
        raise KeyboardInterrupt

    progress = Progress(path)
    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        progress.end_epoch()
    assert Progress(path).n_epochs == 1
