"""A model tuned, calibrated, saved, served: pip install skdam pandas fastapi uvicorn."""

from threading import Thread
from time import sleep
from urllib.request import Request, urlopen

import joblib
import numpy as np
import pandas as pd
import uvicorn
from fastapi import FastAPI
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import RandomizedSearchCV, train_test_split

from skdam import CompositionalAUCClassifier

rng = np.random.default_rng(0)
X = pd.DataFrame({"age": rng.normal(45, 15, 3000), "plan": rng.choice(["basic", "gold"], 3000)})
X["calls"] = rng.poisson(2, 3000)
leaves = rng.random(3000) < 1 / (1 + np.exp(4.5 - X["calls"] - (X["plan"] == "basic")))
X.loc[rng.random(3000) < 0.1, "age"] = np.nan  # a mixed frame with gaps
X_train, X_test, y_train, y_test = train_test_split(X, leaves, stratify=leaves, random_state=0)
space = {"lr": [5e-4, 1e-3, 2e-3], "module__dropout": [0.1, 0.2, 0.4]}
search = RandomizedSearchCV(CompositionalAUCClassifier(random_state=0), space, n_iter=4, cv=3)
p = search.fit(X_train, y_train).predict_proba(X_test)[:, 1]  # tuned for ROC AUC, calibrated
print(f"AUC {roc_auc_score(y_test, p):.3f}, Brier score {brier_score_loss(y_test, p):.3f}")
joblib.dump(search.best_estimator_.trim_for_prediction(), "model.joblib")  # saved

clf, app = joblib.load("model.joblib"), FastAPI()


@app.post("/predict")
def predict(rows: list[dict]) -> list[float]:  # noqa: D103
    return clf.predict_proba(pd.DataFrame(rows, columns=X.columns))[:, 1].tolist()


Thread(target=uvicorn.run, args=(app,), kwargs={"port": 8000}, daemon=True).start()  # served
sleep(3)
row, head = b'[{"age": 30, "plan": "gold", "calls": 6}]', {"Content-Type": "application/json"}
print(urlopen(Request("http://localhost:8000/predict", row, head)).read().decode())
