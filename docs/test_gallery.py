"""Every script of the gallery runs, on small data (``SKDAM_FAST``), and the server answers."""

import json
import runpy
from pathlib import Path
from threading import Thread
from time import sleep
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import matplotlib
import pytest
import uvicorn
from matplotlib import pyplot

EXAMPLES = Path(__file__).parent / "examples"
SCRIPTS = sorted(EXAMPLES.glob("plot_*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_script_runs(script, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.setenv("SKDAM_FAST", "1")
    runpy.run_path(str(script), run_name="__main__")
    assert pyplot.get_fignums(), "the script has drawn nothing"
    pyplot.close("all")


def test_there_are_eight_scripts():
    assert len(SCRIPTS) >= 8


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A function that sends customers to the server of the example, and returns its answer."""
    script = runpy.run_path(str(EXAMPLES / "serve.py"))
    model = tmp_path_factory.mktemp("served") / "customers.onnx"
    script["train"](model)
    server = uvicorn.Server(uvicorn.Config(script["make_app"](model), port=0, log_level="error"))
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def send(customers):
        request = Request(
            f"http://127.0.0.1:{port}/predict",
            json.dumps(customers).encode(),
            {"content-type": "application/json"},
        )
        with urlopen(request) as answer:
            return json.load(answer)

    yield send
    server.should_exit = True
    thread.join()


def test_the_server_answers(served):
    calls_often = {"age": 34, "plan": "basic", "calls": 9}
    with_gaps = {"age": None, "plan": None, "calls": 0}
    answer = served([calls_often, with_gaps])
    (first, second) = answer["probabilities"]
    assert first[0] > 0.3 > second[0]  # of "leaves"
    assert [sum(first), sum(second)] == pytest.approx([1, 1])
    assert answer["label"][1] == "stays"


def test_the_server_refuses_a_wrong_type(served):
    with pytest.raises(HTTPError, match="422") as error:
        served([{"age": "old"}])
    error.value.close()
