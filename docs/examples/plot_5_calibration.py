"""
Probabilities, and where to cut them
====================================

A ranking says which case comes first. A decision needs more: how probable is the event,
and from which probability on do we act?
"""

# %%
# Data and two models
# -------------------
# The first model has the default calibration, learnt from out-of-bag scores. The second one
# has none: its logits are only corrected for the share of positives in the batches.

import numpy as np
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

from skdam import CompositionalAUCClassifier

n_rows = 4000
# sphinx_gallery_start_ignore
import os

if "SKDAM_FAST" in os.environ:
    n_rows = 1200
# sphinx_gallery_end_ignore
X, y = make_classification(
    n_rows, n_informative=6, weights=[0.9], class_sep=0.8, flip_y=0.05, random_state=0
)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.75, stratify=y, random_state=0
)
calibrated = CompositionalAUCClassifier(random_state=0).fit(X_train, y_train)
without = CompositionalAUCClassifier(calibration=None, random_state=0).fit(X_train, y_train)

# %%
# Both rank identically, as calibration is an increasing function of the score. The Brier score, the
# mean square error of the probabilities, differs.

from sklearn.metrics import brier_score_loss, roc_auc_score

for name, clf in {"calibrated": calibrated, "calibration=None": without}.items():
    probabilities = clf.predict_proba(X_test)[:, 1]
    print(
        f"{name:17} ROC AUC {roc_auc_score(y_test, probabilities):.4f}"
        f"  Brier score {brier_score_loss(y_test, probabilities):.4f}"
        f"  mean probability {probabilities.mean():.3f}, rate {y_test.mean():.3f}"
    )

# %%
# A reliability diagram: of the cases with a predicted probability near 0.6, do 60 % happen?

from matplotlib import pyplot as plt
from sklearn.calibration import CalibrationDisplay

_, ax = plt.subplots(figsize=(5, 5), layout="constrained")
for name, clf in {"calibrated": calibrated, "calibration=None": without}.items():
    CalibrationDisplay.from_estimator(
        clf, X_test, y_test, n_bins=8, strategy="quantile", name=name, ax=ax
    )
ax.set_title("Reliability on test data")
plt.show()

# %%
# Costs
# -----
# A missed positive costs as much as ten false alarms. With probabilities that can be trusted the
# rule is known: act from 1/11 on. ``class_weight`` moves ``predict`` there. The ranking stays.

weighted = CompositionalAUCClassifier(class_weight={0: 1, 1: 10}, random_state=0)
weighted.fit(X_train, y_train)


def cost(labels):
    """Return the mean cost: 10 for a missed positive, 1 for a false alarm."""
    missed, alarms = (y_test == 1) & (labels == 0), (y_test == 0) & (labels == 1)
    return (10 * missed + alarms).mean()


print(f"cost at probability 1/2:  {cost(calibrated.predict(X_test)):.3f}")
print(f"cost with class weights:  {cost(weighted.predict(X_test)):.3f}")
print(f"cost of never acting:     {cost(np.zeros_like(y_test)):.3f}")

# %%
# The same as a curve. The dashed line is the threshold of the rule; the best threshold on test
# data is close to it.

probabilities = calibrated.predict_proba(X_test)[:, 1]
thresholds = np.linspace(0.005, 0.6, 120)
costs = [cost((probabilities > threshold).astype(int)) for threshold in thresholds]
_, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.plot(thresholds, costs)
ax.axvline(1 / 11, color="C1", linestyle="--", label="1 / 11")
ax.set_xlabel("act if the probability is above")
ax.set_ylabel("mean cost")
ax.legend()
plt.show()

# %%
# Other metrics of labels
# -----------------------
# For a metric such as F1 no such rule is known. ``TunedThresholdClassifierCV`` finds the
# threshold by cross-validation. Out-of-bag scores can do the same without further fits, as each
# training row was scored by a part of the ensemble that has not seen it.

from sklearn.metrics import f1_score

scores = calibrated.oob_decision_function_
candidates = np.quantile(scores, np.linspace(0.5, 0.99, 100))
best = max(candidates, key=lambda candidate: f1_score(y_train, scores > candidate))
labels = calibrated.decision_function(X_test) > best
print(f"F1 at probability 1/2:        {f1_score(y_test, calibrated.predict(X_test)):.3f}")
print(f"F1 at the tuned threshold:    {f1_score(y_test, labels):.3f}")
