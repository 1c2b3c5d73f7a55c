"""
Export and serving
==================

One ONNX file holds all that predicts: columns, network, vote and calibration. It runs
without torch, and scores a single row much faster.
"""

# %%
# A model on a mixed frame
# ------------------------

import numpy as np
import pandas as pd

from skdam import CompositionalAUCClassifier

rng = np.random.default_rng(0)
frame = pd.DataFrame(
    {"age": rng.normal(40, 12, 800), "plan": rng.choice(["basic", "gold", "trial"], 800)}
)
risk = 0.1 * (frame["age"] - 55) + 1.5 * (frame["plan"] == "trial")
left = np.where(rng.random(800) < 1 / (1 + np.exp(-risk)), "left", "a customer")
clf = CompositionalAUCClassifier(max_epochs=20, random_state=0).fit(frame, left)

# %%
# Export
# ------
# Columns of strings make an input for each column. Tables of numbers are one input, ``X``.

import tempfile
from pathlib import Path

import onnxruntime

from skdam.export import to_onnx

path = Path(tempfile.mkdtemp()) / "model.onnx"
to_onnx(clf, path)
session = onnxruntime.InferenceSession(path)
for node in session.get_inputs():
    print(node.name, node.type, node.shape)

# %%
# The same predictions, in batches of any size. A category unknown to ``fit`` is a missing value.

dtypes = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}


def feeds(rows):
    """Return the inputs of the file for rows of a frame."""
    return {
        node.name: rows[[node.name]].to_numpy(dtypes[node.type]) for node in session.get_inputs()
    }


label, probabilities, scores = session.run(None, feeds(frame))
print("largest difference:", f"{np.abs(probabilities - clf.predict_proba(frame)).max():.1e}")
print("same labels:", bool((label == clf.predict(frame)).all()))

# %%
# Time of a request
# -----------------

from time import perf_counter

from matplotlib import pyplot as plt


def milliseconds(predict, rows, repeats=20):
    """Return the median time of a prediction."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        predict(rows)
        times.append(perf_counter() - start)
    return 1000 * float(np.median(times))


sizes = [1, 10, 100, 800]
_, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, predict in {
    "predict_proba": clf.predict_proba,
    "ONNX Runtime": lambda rows: session.run(None, feeds(rows)),
}.items():
    ax.loglog(sizes, [milliseconds(predict, frame.head(n)) for n in sizes], "o-", label=name)
ax.set_xlabel("rows in a request")
ax.set_ylabel("milliseconds")
ax.legend()
plt.show()

# %%
# :doc:`serve` has a complete service with FastAPI.
