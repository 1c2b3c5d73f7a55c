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
max_epochs = 20
# sphinx_gallery_start_ignore
import os

if "SKDAM_FAST" in os.environ:
    seeds, max_epochs = range(1), 4
# sphinx_gallery_end_ignore
aucs = {strategy: [] for strategy in strategies}
histories = {}
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
    histories[strategy] = clf.history_
    print(f"{strategy:15} {np.mean(aucs[strategy]):.3f} +- {np.std(aucs[strategy]):.3f}")

# %%
# The AUC of each seed on the test images, and the losses of the last seed. The AUC loss starts
# from a random ranking and learns slowly at first; with the composition, cross-entropy shows
# it the way.

from matplotlib import pyplot as plt

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for number, strategy in enumerate(strategies):
    left.plot(aucs[strategy], [strategy] * len(seeds), "o", alpha=0.7)
    losses = histories[strategy]["outer_loss"]
    epochs = np.arange(1, len(losses) + 1)
    right.plot(epochs, losses, color=f"C{number}", label=strategy)
left.invert_yaxis()
left.set_xlabel("ROC AUC on test images")
right.set_xlabel("epoch")
right.set_ylabel("AUC margin loss")
right.legend()
plt.show()

# %%
# A single split with so few positives proves nothing: a standard deviation is often as large as
# a difference. :doc:`/benchmarks` has larger comparisons, with their losses too.
