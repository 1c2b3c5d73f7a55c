"""
The four strategies compared
============================

The parameter ``strategy`` says what is minimised: the composition of both losses, one
after the other ("two-stage"), the AUC loss from scratch, or cross-entropy. Here all four
train the same small network on images of digits, of which few are positive.

On tables the choice matters little; see :doc:`/guide/choosing`. On images it matters more.
"""

# %%
# Data
# ----
# Is the digit an 8? We keep so few eights that they are 3 % of the training images.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdam.datasets import make_imbalanced

pixels, digits = load_digits(return_X_y=True)
images = (pixels * 15).astype("uint8").reshape(-1, 1, 8, 8)
X_train, X_test, y_train, y_test = train_test_split(
    images, (digits == 8).astype(int), test_size=0.5, stratify=digits == 8, random_state=0
)
X_train, y_train = make_imbalanced(X_train, y_train, 0.03, random_state=0)
print(f"{len(y_train)} training images, {y_train.sum()} of them positive")

# %%
# The comparison
# --------------
# Same network, same batches, same number of steps; only the loss differs. Three seeds give
# an idea of the spread.

import numpy as np

from skdam import CompositionalAUCClassifier

strategies = ("compositional", "two-stage", "auc", "cross-entropy")
seeds = range(3)
max_epochs = 12
# sphinx_gallery_start_ignore
import os

if "SKDAM_FAST" in os.environ:
    seeds, max_epochs = range(1), 4
# sphinx_gallery_end_ignore
aucs = {strategy: [] for strategy in strategies}
for strategy in strategies:
    for seed in seeds:
        clf = CompositionalAUCClassifier(
            strategy=strategy,
            module__width=4,
            module__augmentation="crop",  # an 8 stays an 8 in a mirror, other digits do not
            max_epochs=max_epochs,
            random_state=seed,
        ).fit(X_train, y_train)
        aucs[strategy].append(clf.score(X_test, y_test))
    print(f"{strategy:15} {np.mean(aucs[strategy]):.3f} +- {np.std(aucs[strategy]):.3f}")

# %%
# The AUC of each seed on the test images:

from matplotlib import pyplot as plt

_, ax = plt.subplots(figsize=(6.5, 3), layout="constrained")
for strategy in strategies:
    ax.plot(aucs[strategy], [strategy] * len(seeds), "o", alpha=0.7)
    ax.plot(np.mean(aucs[strategy]), strategy, "k|", markersize=18)
ax.invert_yaxis()
ax.set_xlabel("ROC AUC on test images; the bar is the mean")
plt.show()

# %%
# A single split with so few positives proves nothing: a standard deviation is often as large as
# a difference. :doc:`/benchmarks` has larger comparisons, including
# those where compositional training is behind.
