"""
Your own network: rare events in signals
========================================

Any torch module that returns one logit for each example can be trained. Here it is a small
convolutional network for signals, which are neither tables nor images.
"""

# %%
# Signals
# -------
# 900 noisy signals of 128 values. One in ten contains a short chirp at a random place.

import numpy as np
from matplotlib import pyplot as plt

rng = np.random.default_rng(0)
n_signals, length = 900, 128
signals = rng.normal(size=(n_signals, 1, length)).astype("float32")
is_event = np.arange(n_signals) % 10 == 0
time = np.arange(24)
chirp = 1.6 * np.sin(time**2 / 20)
for index in np.flatnonzero(is_event):
    start = rng.integers(0, length - len(chirp))
    signals[index, 0, start : start + len(chirp)] += chirp

_, axes = plt.subplots(2, 1, figsize=(8, 3), sharex=True, layout="constrained")
axes[0].plot(signals[0, 0])
axes[0].set_title("with an event")
axes[1].plot(signals[1, 0])
axes[1].set_title("without")
plt.show()

# %%
# The network
# -----------
# Its parameters are parameters of the classifier, with the prefix ``module__``. It returns
# logits: no sigmoid at the end.

import torch


class SignalNet(torch.nn.Module):
    """Convolutions, the maximum over time, and a linear layer."""

    def __init__(self, n_filters=16, kernel_size=24):
        super().__init__()
        self.convolution = torch.nn.Sequential(
            torch.nn.Conv1d(1, n_filters, kernel_size),
            torch.nn.BatchNorm1d(n_filters),
            torch.nn.ReLU(),
        )
        self.last = torch.nn.Linear(n_filters, 1)

    def forward(self, X):
        """Return a logit for each signal."""
        return self.last(self.convolution(X).amax(dim=2))


# %%
# Training
# --------
# Networks of your own are trained by the steps of the paper, which are like SGD. Tune ``lr``
# first, between 0.03 and 0.3.

from sklearn.model_selection import train_test_split

from skdam import CompositionalAUCClassifier

X_train, X_test, y_train, y_test = train_test_split(
    signals, is_event, test_size=0.5, stratify=is_event, random_state=0
)
max_epochs = 40
# sphinx_gallery_start_ignore
import os

if "SKDAM_FAST" in os.environ:
    max_epochs = 2
# sphinx_gallery_end_ignore
for lr in (0.03, 0.1, 0.3):
    clf = CompositionalAUCClassifier(SignalNet, lr=lr, max_epochs=max_epochs, random_state=0)
    clf.fit(X_train, y_train)
    print(f"lr={lr}: ROC AUC on test data {clf.score(X_test, y_test):.3f}")

# %%
# The same recipe as for the default network, with steps like those of AdamW, works as well:

clf = CompositionalAUCClassifier(
    SignalNet,
    lr=0.003,
    betas=(1, 0.1),
    weight_decay=0.03,
    epoch_decay=0.0,
    clip_value=float("inf"),
    milestones=(),
    max_epochs=max_epochs,
    optimizer__adaptive=True,
    optimizer__averaging=0.98,
    criterion__saddle="batch",
    random_state=0,
)
clf.fit(X_train, y_train)
print(f"ROC AUC on test data {clf.score(X_test, y_test):.3f}")

# %%
# The first filters of the trained network:

filters = clf.net_.module_.convolution[0].weight.detach().numpy()[:, 0]
_, axes = plt.subplots(1, 4, figsize=(10, 2), sharey=True, layout="constrained")
for ax, values in zip(axes, filters, strict=False):
    ax.plot(values)
plt.show()
