"""Draw ``_static/rivals.png``: mean ROC AUC on small tables, from the results of the benchmark.

Run it with ``python docs/figures/rivals.py``.
"""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

DOCS = Path(__file__).parents[1]
RESULTS = DOCS.parent / "benchmarks" / "results" / "keel" / "per_set.csv"
NAMES = {
    "skdam": "skdam",
    "catboost": "CatBoost",
    "extra-trees": "ExtraTrees",
    "balanced-random-forest": "BalancedRandomForest",
    "random-forest": "RandomForest",
    "svc": "SVC",
    "lightgbm": "LightGBM",
    "hist-gradient-boosting": "HistGradientBoosting",
    "xgboost": "XGBoost",
    "mlp-sklearn": "MLPClassifier",
    "logistic-regression": "logistic regression",
}

with RESULTS.open() as file:
    rows = list(csv.DictReader(file))
means = {label: np.mean([float(row[name]) for row in rows]) for name, label in NAMES.items()}
order = sorted(means, key=means.get)
figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
colours = ["#d9601a" if name == "skdam" else "#8aa5bd" for name in order]
values = [means[name] for name in order]
ax.hlines(order, 0.9, values, color="#dddddd", lw=1)
ax.scatter(values, order, c=colours, s=55, zorder=3)
for name, value in zip(order, values, strict=True):
    ax.annotate(f"{value:.4f}", (value, name), (7, -3), textcoords="offset points", size=8)
ax.set_xlim(0.903, 0.9515)
ax.set_xlabel(f"mean ROC AUC, 5-fold cross-validation on {len(rows)} imbalanced tables")
ax.set_title("Everything at its defaults", size=10, loc="left")
ax.spines[["top", "right", "left"]].set_visible(False)
ax.tick_params(axis="y", length=0)
figure.savefig(DOCS / "_static" / "rivals.png", dpi=150)
