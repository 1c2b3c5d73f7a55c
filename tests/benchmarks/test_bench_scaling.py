"""The benchmark of scaling."""

from benchmarks.scaling.__main__ import main


def test_a_run_is_extended_and_reported(tmp_path, capsys):
    path = tmp_path / "scaling.csv"
    for most in ("4", "8"):
        arguments = ["run", "--axes", "members", "--most", most, "--out", str(path)]
        assert main(arguments) == 0
    assert "2 of 3 jobs are done already" in capsys.readouterr().err
    assert main(["report", str(path), "--out-dir", str(tmp_path)]) == 0
    assert (tmp_path / "scaling.png").stat().st_size > 1000
    lines = (tmp_path / "scaling.md").read_text().splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| ")][2:]
    assert [int(row[0]) for row in rows] == [2, 4, 8]
    assert all(float(row[1]) > 0 and 100 < float(row[2]) < 5000 for row in rows)
