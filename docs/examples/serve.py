r"""
Serving a classifier with FastAPI
=================================

The script trains a classifier on a frame with numbers, strings and gaps, exports it to one ONNX
file, and serves that file. The server needs FastAPI, uvicorn and onnxruntime, but neither torch
nor skdam, so training and serving can be on different machines::

    pip install "skdam[onnx]" pandas fastapi uvicorn
    python docs/examples/serve.py
    curl -X POST localhost:8000/predict -H "content-type: application/json" \
        -d '[{"age": 34, "plan": "basic", "calls": 7}, {"age": null, "plan": "gold", "calls": 0}]'
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

# %%
# A model
# -------
# A column of strings becomes an input of strings, so the file knows the categories.


def train(path):
    """Train a classifier on customers that leave or stay, and export it."""
    import pandas as pd

    from skdam import CompositionalAUCClassifier
    from skdam.export import to_onnx

    rng = np.random.default_rng(0)
    n = 3000
    X = pd.DataFrame(
        {
            "age": rng.normal(45, 15, n),
            "plan": rng.choice(["basic", "family", "gold"], n, p=[0.6, 0.3, 0.1]),
            "calls": rng.poisson(2, n),
        }
    )
    logits = 0.5 * X["calls"] - 0.02 * X["age"] + (X["plan"] == "basic") - 3.5
    y = np.where(rng.random(n) < 1 / (1 + np.exp(-logits)), "leaves", "stays")
    X.loc[rng.random(n) < 0.1, "age"] = np.nan
    to_onnx(CompositionalAUCClassifier(random_state=0).fit(X, y), path)


# %%
# A server
# --------
# The model of a request checks names and types, which the file does not. A gap in a number is
# NaN; a string that is no category, here the empty one, is a gap as well.


class Customer(BaseModel):
    """One row of the frame."""

    age: float | None = None
    plan: str | None = None
    calls: float | None = None


def make_app(path):
    """Return an application that predicts with the ONNX file."""
    options = onnxruntime.SessionOptions()
    # one row is too little work for several threads
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}
    inputs = [(node.name, kinds[node.type]) for node in session.get_inputs()]
    app = FastAPI(title="Customers that leave")

    def column(customers, name, dtype):
        gap = "" if dtype is object else np.nan
        values = (getattr(customer, name) for customer in customers)
        return np.array([[gap if value is None else value] for value in values], dtype=dtype)

    @app.post("/predict")
    async def predict(customers: list[Customer]):
        feeds = {name: column(customers, name, dtype) for name, dtype in inputs}
        labels, probabilities = session.run(["label", "probabilities"], feeds)
        return {"label": labels.tolist(), "probabilities": probabilities.tolist()}

    return app


def main():
    """Train if there is no model yet, and serve."""
    import uvicorn

    parser = argparse.ArgumentParser(description="Serve a classifier with FastAPI.")
    parser.add_argument("--model", type=Path, default=Path("customers.onnx"))
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    if not arguments.model.exists():
        train(arguments.model)
    uvicorn.run(make_app(arguments.model), port=arguments.port, access_log=False)


if __name__ == "__main__":
    main()
