"""
Images, and the features that the network learns
================================================

The default network for images is a small ResNet. After training, ``embed`` returns its
features: they can be plotted, searched for neighbours, or given to another model.
"""

# %%
# Data
# ----
# Images have the shape ``(n, channels, height, width)``. Bytes stay bytes in memory.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

pixels, digits = load_digits(return_X_y=True)
images = (pixels * 15).astype("uint8").reshape(-1, 1, 8, 8)
is_eight = (digits == 8).astype(int)
X_train, X_test, y_train, y_test, _, digits_test = train_test_split(
    images, is_eight, digits, test_size=0.5, stratify=digits, random_state=0
)
print(X_train.shape, X_train.dtype, f"{y_train.mean():.0%} positive")

# %%
# Train
# -----
# ``module__width`` is the number of channels of the first layers, 16 by default. 8 are enough
# here. Training images are cropped at random. They are not mirrored, as digits do not
# occur as mirror images.

from skdam import CompositionalAUCClassifier

max_epochs = 20
# sphinx_gallery_start_ignore
import os

if "SKDAM_FAST" in os.environ:
    max_epochs = 2
# sphinx_gallery_end_ignore
clf = CompositionalAUCClassifier(
    module__width=8, module__augmentation="crop", max_epochs=max_epochs, random_state=0
).fit(X_train, y_train)
print(f"ROC AUC on test images: {clf.score(X_test, y_test):.3f}")

# %%
# The most suspicious images
# --------------------------
# A ranking is used from its top: these images have the highest scores. Underneath are the
# eights with the lowest scores.

from matplotlib import pyplot as plt

scores = clf.decision_function(X_test)
order = scores.argsort()[::-1]
top = order[:10]
missed = [index for index in order[::-1] if y_test[index] == 1][:10]
figure, axes = plt.subplots(2, 10, figsize=(9, 2.4), layout="constrained")
for row, indices in zip(axes, (top, missed), strict=True):
    for ax, index in zip(row, indices, strict=True):
        ax.imshow(X_test[index, 0], cmap="gray_r")
        ax.set_title(f"{scores[index]:.1f}", fontsize=8)
        ax.set_xticks([])
        ax.set_yticks([])
axes[0, 0].set_ylabel("highest")
axes[1, 0].set_ylabel("lowest 8s")
plt.show()

# %%
# Features
# --------
# ``embed`` returns the input of the last layer. Two principal components show how the network
# sees the digits. It was trained only to find eights.

from sklearn.decomposition import PCA

features = clf.embed(X_test)
plane = PCA(2, random_state=0).fit_transform(features)
_, ax = plt.subplots(figsize=(6, 5), layout="constrained")
for digit in range(10):
    rows = digits_test == digit
    size = 30 if digit == 8 else 10
    ax.scatter(*plane[rows].T, s=size, label=str(digit), color=f"C{digit}")
ax.legend(title="digit", fontsize=8)
ax.set_title(f"{features.shape[1]} features in two dimensions")
plt.show()

# %%
# A *linear probe* tells how much features are worth for another question. Is the digit a 3?

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

probe = LogisticRegression(max_iter=1000).fit(features[::2], digits_test[::2] == 3)
auc = roc_auc_score(digits_test[1::2] == 3, probe.decision_function(features[1::2]))
print(f"ROC AUC of the probe for threes: {auc:.3f}")
