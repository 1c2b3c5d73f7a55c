"""
Watching training, and when it stops
====================================

``history_`` has a value for each epoch of the losses, the learning rate, the time, and the ROC
AUC on data that was not trained on. This example plots it, stops early in two ways, and adds
a callback.
"""

# %%
# Out-of-bag scores
# -----------------
# Each member of the default network leaves out an eighth of the rows. So the out-of-bag ROC
# AUC can stop training, and costs no data.

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

from skdam import CompositionalAUCClassifier

n_rows = 2000
# sphinx_gallery_start_ignore
import os

if "SKDAM_FAST" in os.environ:
    n_rows = 500
# sphinx_gallery_end_ignore
X, target = make_friedman1(n_rows, n_features=10, noise=2.0, random_state=0)
y = (target > np.quantile(target, 0.9)).astype(int)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
clf = CompositionalAUCClassifier(random_state=0).fit(X_train, y_train)
print(f"stopped after {clf.n_iter_} epochs")
print(f"best check: {clf.best_score_:.4f}")

# %%
# Not every epoch is checked: on small tables an epoch is short, and a check comes only after 25
# batches or more. Other epochs have NaN.

from matplotlib import pyplot as plt


def plot_auc(ax, values, label, **options):
    """Plot a value of the history where it was recorded."""
    epochs = np.arange(1, len(values) + 1)
    recorded = np.isfinite(values)
    ax.plot(epochs[recorded], values[recorded], label=label, **options)


_, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for name in ("inner_loss", "outer_loss"):
    plot_auc(left, clf.history_[name], name)
left.set_xlabel("epoch")
left.set_ylabel("loss")
left.legend()
plot_auc(right, clf.history_["oob_roc_auc"], "out-of-bag", marker="o")
right.axhline(clf.score(X_test, y_test), color="C1", linestyle="--", label="test data, at the end")
right.set_xlabel("epoch")
right.set_ylabel("ROC AUC")
right.legend()
plt.show()

# %%
# The curve is of the perceptrons alone, one of which scores each row. The final score is a
# vote of eight, and of a kernel machine on tables of this size; so it is mostly higher.
#
# Validation data of your own
# ---------------------------
# If you pass ``X_val`` and ``y_val``, their ROC AUC stops training.

X_fit, X_val, y_fit, y_val = train_test_split(
    X_train, y_train, test_size=0.25, stratify=y_train, random_state=0
)
watched = CompositionalAUCClassifier(random_state=0)
watched.fit(X_fit, y_fit, X_val=X_val, y_val=y_val)

from skdam import TrainingHistoryDisplay

TrainingHistoryDisplay.from_estimator(watched)
plt.show()

# %%
# A callback
# ----------
# skorch's callbacks get the net after each epoch or batch. This one collects how far the two
# classes are apart in the training data.

from skorch.callbacks import Callback


class ClassDistance(Callback):
    """Record the distance of the mean scores of the classes after each epoch."""

    def __init__(self, X, y):
        self.X = X
        self.y = y

    def on_epoch_end(self, net, **kwargs):
        """Add a value to the history."""
        scores = net.decision_function(self.X)
        net.history.record("distance", scores[self.y == 1].mean() - scores[self.y == 0].mean())


sample = X_train.astype("float32")
with_callback = CompositionalAUCClassifier(
    callbacks=[ClassDistance(sample, y_train)], early_stopping=False, max_epochs=20, random_state=0
).fit(X_train, y_train)
_, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
plot_auc(ax, with_callback.history_["distance"], "distance of mean logits")
ax.set_xlabel("epoch")
ax.legend()
plt.show()
