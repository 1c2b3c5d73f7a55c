"""The benchmark of speed."""

import pytest


@pytest.mark.parametrize("network", ["perceptron", "resnet20"])
def test_the_benchmark_of_speed_writes_its_tables(tmp_path, network):
    speed = pytest.importorskip("benchmarks.speed")
    path = tmp_path / "speed.md"
    arguments = ["--network", network, "--rows", "130", "--scored-rows", "20", "--repeats", "1"]
    if network == "resnet20":
        arguments += ["--without", "compiled"]  # which takes more than a minute
    assert speed.main([*arguments, "--out", str(path)]) == 0
    text = path.read_text()
    for name in ("bare torch", "skdam, alternating", "skorch", "skdam, predict_proba"):
        assert f"| {name} | " in text
