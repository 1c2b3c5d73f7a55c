"""
What does the model look at?
============================

scikit-learn's inspection tools work with this classifier as with any other. We use permutation
importance and partial dependence, and then explain a single prediction.
"""

# %%
# A model
# -------
# The data are the Wisconsin breast cancer data. We ask for malignant tumours and keep few
# of them, so that they are one in ten.

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skdam import CompositionalAUCClassifier
from skdam.datasets import make_imbalanced

X, benign = load_breast_cancer(return_X_y=True, as_frame=True)
X, malignant = make_imbalanced(X, 1 - benign, positive_rate=0.1, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(
    X, malignant, test_size=0.5, stratify=malignant, random_state=0
)
clf = CompositionalAUCClassifier(random_state=0).fit(X_train, y_train)
print(f"ROC AUC on test data: {clf.score(X_test, y_test):.3f}")

# %%
# Which columns matter?
# ---------------------
# Many of the 30 columns tell nearly the same: radius, perimeter and area of a cell. If one of
# them is shuffled, the others take its place, so each seems to matter little. Shuffle groups
# of related columns together to see more.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.inspection import permutation_importance

n_repeats = 5
# sphinx_gallery_start_ignore
import os

if "SKDAM_FAST" in os.environ:
    n_repeats = 1
# sphinx_gallery_end_ignore
importance = permutation_importance(
    clf, X_test, y_test, scoring="roc_auc", n_repeats=n_repeats, random_state=0
)
order = importance.importances_mean.argsort()[-8:]

groups = {}
for column in X.columns:
    groups.setdefault(column.removeprefix("mean ").removeprefix("worst "), []).append(column)
rng = np.random.default_rng(0)
base = clf.score(X_test, y_test)
losses = {}
for name, columns in groups.items():
    if len(columns) > 1:  # the mean and the worst of a measurement
        shuffled = X_test.copy()
        shuffled[columns] = X_test[columns].to_numpy()[rng.permutation(len(X_test))]
        losses[name] = base - clf.score(shuffled, y_test)
top = sorted(losses, key=losses.get)[-8:]

_, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
left.barh(X.columns[order], importance.importances_mean[order])
left.set_title("single columns")
right.barh(top, [losses[name] for name in top])
right.set_title("mean and worst together")
for ax in (left, right):
    ax.set_xlabel("loss of ROC AUC")
plt.show()

# %%
# How does a column act?
# ----------------------
# Partial dependence: the mean score if the column had a certain value in all rows, and the
# same for single rows.

from sklearn.inspection import PartialDependenceDisplay

_, ax = plt.subplots(figsize=(10, 3.5), layout="constrained")
PartialDependenceDisplay.from_estimator(
    clf,
    X_test.astype(float),
    ["worst texture", "worst concave points", "worst area"],
    kind="both",
    subsample=30,
    grid_resolution=20,
    response_method="decision_function",
    random_state=0,
    ax=ax,
)
plt.show()

# %%
# One prediction
# --------------
# What speaks for the tumour with the highest score? Give it the median of a column and see
# how its score falls.

row = X_test.iloc[[clf.decision_function(X_test).argmax()]]
score = clf.decision_function(row)[0]
changes = {
    column: score - clf.decision_function(row.assign(**{column: X_train[column].median()}))[0]
    for column in X.columns
}
for column in sorted(changes, key=changes.get, reverse=True)[:5]:
    print(f"{column:25} {row[column].iloc[0]:8.3g}   log-odds {changes[column]:+.2f}")
