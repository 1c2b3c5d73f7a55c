"""
Tuning: successive halving and Optuna
=====================================

A fit takes seconds, not milliseconds, so a search should not waste fits. There are two ways to
spend most of the time on good candidates: scikit-learn's successive halving, and Optuna.
"""

# %%
# Data
# ----

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

n_rows, n_candidates, n_members = 1200, 6, 4
# sphinx_gallery_start_ignore
import os

if "SKDAM_FAST" in os.environ:
    n_rows, n_candidates, n_members = 400, 3, 2
# sphinx_gallery_end_ignore
X, target = make_friedman1(n_rows, n_features=10, noise=2.0, random_state=1)
y = (target > np.quantile(target, 0.9)).astype(int)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)

# %%
# Successive halving
# ------------------
# All candidates are tried on few rows, the better third on three times as many, and so on.
# Parameters of the network have the prefix ``module__``. Without ``scoring`` the search
# maximises the ROC AUC. Four members instead of eight make a fit cheaper, and rank the
# candidates similarly.

from scipy.stats import loguniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV

from skdam import CompositionalAUCClassifier

clf = CompositionalAUCClassifier(n_members=n_members, random_state=0)
space = {
    "lr": loguniform(3e-4, 6e-3),
    "weight_decay": loguniform(3e-3, 0.3),
    "module__dropout": [0.0, 0.1, 0.2, 0.4],
}
search = HalvingRandomSearchCV(
    clf,
    space,
    n_candidates=n_candidates,
    factor=3,
    min_resources=n_rows // 8,
    max_resources=n_rows // 2,
    cv=2,
    random_state=0,
).fit(X_train, y_train)
for iteration in range(search.n_iterations_):
    print(
        f"round {iteration}: {search.n_candidates_[iteration]} candidates"
        f" on {search.n_resources_[iteration]} rows"
    )
print("best:", {name: f"{value:.3g}" for name, value in search.best_params_.items()})
print(f"ROC AUC on test data: {search.score(X_test, y_test):.4f}")

# %%
# Optuna
# ------
# Optuna proposes candidates by what it has learnt from earlier ones. The objective need not
# be cross-validated: ``oob_score_`` estimates the test ROC AUC from a single fit. For the best of
# many candidates it is a little too high, so evaluate that one on other data.

import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial):
    """Return the out-of-bag ROC AUC of one candidate."""
    parameters = {
        "lr": trial.suggest_float("lr", 3e-4, 6e-3, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 3e-3, 0.3, log=True),
        "module__dropout": trial.suggest_float("module__dropout", 0.0, 0.4),
    }
    candidate = CompositionalAUCClassifier(n_members=n_members, random_state=0, **parameters)
    return candidate.fit(X_train, y_train).oob_score_


study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.enqueue_trial({"lr": 1e-3, "weight_decay": 0.03, "module__dropout": 0.2})  # the defaults
study.optimize(objective, n_trials=n_candidates)
print(f"best of {len(study.trials)}: out-of-bag ROC AUC {study.best_value:.4f}")

# %%
# Is the winner better than the defaults? Both with all eight members:

from matplotlib import pyplot as plt

default = CompositionalAUCClassifier(random_state=0).fit(X_train, y_train)
tuned = CompositionalAUCClassifier(random_state=0, **study.best_params).fit(X_train, y_train)
print(f"defaults: ROC AUC on test data {default.score(X_test, y_test):.4f}")
print(f"tuned:    ROC AUC on test data {tuned.score(X_test, y_test):.4f}")

rates = [trial.params["lr"] for trial in study.trials]
_, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.semilogx(rates, [trial.value for trial in study.trials], "o")
ax.plot(rates[0], study.trials[0].value, "o", label="defaults")
ax.set_xlim(3e-4, 6e-3)
ax.set_xlabel("lr")
ax.set_ylabel("out-of-bag ROC AUC")
ax.legend()
plt.show()

# %%
# Differences of this size are within the noise of a few hundred rows. That is typical: the
# defaults are hard to beat by a short search.
