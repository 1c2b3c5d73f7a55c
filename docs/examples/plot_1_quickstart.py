"""
Quickstart: fit, evaluate, tune, save
=====================================

Rare events often have several causes that combine smoothly. Here is such a table: five of
its ten columns matter, two of them only together, and one row in twenty is positive. We
train the default classifier, compare it with other models, tune it a little and save it.
"""

# %%
# Data
# ----
# ``make_friedman1`` is a regression problem. The top 5 % of its target are our positives.

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

n_rows = 2000
# sphinx_gallery_start_ignore
import os

if "SKDAM_FAST" in os.environ:
    n_rows = 400
# sphinx_gallery_end_ignore
X, target = make_friedman1(n_rows, n_features=10, noise=2.0, random_state=0)
y = (target > np.quantile(target, 0.95)).astype(int)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
print(f"{len(y_train)} training rows, {y_train.sum()} of them positive")

# %%
# Fit
# ---
# There is nothing to scale or to encode, and no number of epochs to choose.

from skdam import CompositionalAUCClassifier

clf = CompositionalAUCClassifier(random_state=0)
clf.fit(X_train, y_train)

# %%
# Evaluate
# --------
# ``score`` is the ROC AUC: the probability that a positive row scores above a negative one.
# ``oob_score_`` estimates it from the training rows alone: each row is scored by members
# of the ensemble that did not train on it.

print(f"ROC AUC on test data:    {clf.score(X_test, y_test):.3f}")
print(f"estimated from training: {clf.oob_score_:.3f}")

# %%
# Other models on the same rows:

from matplotlib import pyplot as plt
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

models = {
    "skdam": clf,
    "gradient boosting": HistGradientBoostingClassifier(random_state=0),
    "random forest": RandomForestClassifier(300, random_state=0),
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
}
_, ax = plt.subplots(figsize=(6, 5), layout="constrained")
for name, model in models.items():
    if model is not clf:
        model.fit(X_train, y_train)
    RocCurveDisplay.from_estimator(
        model, X_test, y_test, name=name, ax=ax, curve_kwargs={"linewidth": 2}
    )
ax.set_title("ROC curves on the test half")
plt.show()

# %%
# The classifier does well on smooth effects such as these. That is not so on every table; see
# :doc:`/guide/when_not`.
#
# Tune
# ----
# The defaults adapt to the data, so a search is often not worth the time. If you search, begin
# with the learning rate. Without ``scoring``, a search maximises the ROC AUC.

from sklearn.model_selection import GridSearchCV

search = GridSearchCV(
    CompositionalAUCClassifier(n_members=4, random_state=0), {"lr": [5e-4, 2e-3]}, cv=2
)
search.fit(X_train, y_train)
print(search.best_params_, f"cross-validated ROC AUC {search.best_score_:.3f}")
print(f"ROC AUC on test data: {search.score(X_test, y_test):.3f}")

# %%
# Save
# ----
# A fitted model is saved like any other scikit-learn model. :doc:`/persistence` has a way
# that is also safe for files from untrusted sources.

import tempfile
from pathlib import Path

import joblib

path = Path(tempfile.mkdtemp()) / "model.joblib"
joblib.dump(clf, path)
loaded = joblib.load(path)
print("predicts the same:", np.array_equal(loaded.predict_proba(X_test), clf.predict_proba(X_test)))
