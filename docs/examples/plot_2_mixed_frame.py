"""
A mixed data frame, end to end
==============================

Real tables have numbers, categories, strings, booleans, dates and missing values. The
default network takes all but the dates as they are.
"""

# %%
# A table of customers
# --------------------
# We make 2000 customers, of whom about 4 % leave. Who leaves depends on the age, on how long
# they have been customers, on the city and the plan together, and on chance.

import numpy as np
import pandas as pd

n_rows = 2000
# sphinx_gallery_start_ignore
import os

if "SKDAM_FAST" in os.environ:
    n_rows = 500
# sphinx_gallery_end_ignore
rng = np.random.default_rng(0)
frame = pd.DataFrame(
    {
        "age": rng.integers(18, 90, n_rows),
        "income": rng.lognormal(10, 0.7, n_rows).round(),
        "city": rng.choice(["Bern", "Graz", "Lyon", "Oslo", "Porto"], n_rows),
        "plan": pd.Categorical(rng.choice(["free", "basic", "pro"], n_rows, p=[0.5, 0.3, 0.2])),
        "newsletter": rng.random(n_rows) < 0.4,
        "joined": pd.Timestamp("2020-01-01")
        + pd.to_timedelta(rng.integers(0, 1500, n_rows), unit="D"),
    }
)
risk = (
    -5.5
    + 2.5 * np.cos((frame["age"] - 35) / 12)
    + 1.5 * (frame["joined"] > "2023-01-01")
    + 2.0 * (frame["city"].isin(["Graz", "Oslo"]) & (frame["plan"] == "free"))
    - 0.8 * frame["newsletter"]
)
left = rng.random(n_rows) < 1 / (1 + np.exp(-risk - rng.normal(0, 0.5, n_rows)))
outcome = np.where(left, "left", "a customer")

# gaps
frame.loc[rng.random(n_rows) < 0.15, "income"] = np.nan
frame.loc[rng.random(n_rows) < 0.05, "city"] = None
frame.head()

# %%
# Dates
# -----
# Dates are refused, since what matters about a date depends on the question. A single error
# names all columns that cannot be read, and says what to do.

from skdam import CompositionalAUCClassifier

try:
    CompositionalAUCClassifier().fit(frame, outcome)
except ValueError as error:
    print(error)

# %%
# Here the time since the date matters.

frame["days"] = (pd.Timestamp("2024-06-01") - frame.pop("joined")).dt.days

# %%
# Fit and evaluate
# ----------------
# The labels may be any two values. The second in sorted order, "left", is the positive
# class.

from sklearn.model_selection import train_test_split

X_train, X_test, y_train, y_test = train_test_split(
    frame, outcome, test_size=0.5, stratify=outcome, random_state=0
)
clf = CompositionalAUCClassifier(random_state=0).fit(X_train, y_train)
print("classes:", clf.classes_)
print(f"ROC AUC on test data {clf.score(X_test, y_test):.3f}, out-of-bag {clf.oob_score_:.3f}")

# %%
# Two other models, for which the same columns have to be encoded and imputed:

from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

numbers = ["age", "income", "days"]
categories = ["city", "plan", "newsletter"]
one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
encoder = make_column_transformer(
    (make_pipeline(SimpleImputer(), StandardScaler()), numbers), (one_hot, categories)
)
rivals = {
    "gradient boosting": HistGradientBoostingClassifier(random_state=0),
    "logistic regression": LogisticRegression(max_iter=1000),
}
for name, rival in rivals.items():
    rival = make_pipeline(encoder, rival).fit(X_train, y_train)
    auc = roc_auc_score(y_test == "left", rival.predict_proba(X_test)[:, 1])
    print(f"{name}: ROC AUC {auc:.3f}")

# %%
# New data
# --------
# A category that was not seen in training counts as a missing value.

customer = X_test.head(1)
for city in ("Graz", "Bern", "Atlantis", None):
    probability = clf.predict_proba(customer.assign(city=city))[0, 1]
    print(f"city {city}: probability of leaving {probability:.3f}")

# %%
# What matters?
# -------------
# scikit-learn's tools for inspection work on the frame, with the names of its columns. The
# importance of a column is the loss of ROC AUC when its values are shuffled.

from matplotlib import pyplot as plt
from sklearn.inspection import permutation_importance

importance = permutation_importance(clf, X_test, y_test, n_repeats=3, random_state=0)
order = importance.importances_mean.argsort()
_, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.barh(frame.columns[order], importance.importances_mean[order])
ax.set_xlabel("loss of ROC AUC when shuffled")
plt.show()
