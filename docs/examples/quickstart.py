"""
From a raw imbalanced table to a tuned, saved model
===================================================

The data are the Wisconsin breast cancer data. In the training half, malignant tumours are
thinned to 5 %, about 10 of 190 examples. The script searches the parameters of a pipeline
with the classifier by cross-validated ROC AUC, compares the classifier with other models on
the other half of the data, plots it, saves it and loads it again.

Run it with ``make demo``, or with ``python docs/examples/quickstart.py``.
"""

import argparse
from pathlib import Path
from time import perf_counter

import joblib
import matplotlib

matplotlib.use("Agg")  # draws into a file and needs no screen
import numpy as np
from matplotlib import pyplot
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skdam import CompositionalAUCClassifier, TrainingHistoryDisplay
from skdam.datasets import make_imbalanced

N_SEEDS = 10
LEARNING_RATES = (3e-4, 1e-3, 3e-3)
STRATEGIES = ("compositional", "two-stage", "auc", "cross-entropy")
PERCEPTRON = {"n_members": 1, "module__encoding": None, "module__dropout": 0.0}
OTHERS = ("the default", "logistic regression", "random forest")


# %%
# Data
# ----
# Malignant is the positive class. Only the training half is thinned: the hundred malignant
# tumours of the test half give a precise estimate of the AUC.


def load(seed):
    """Return a thinned training half and a test half of the data."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    malignant = 1 - y
    X_train, X_test, y_train, y_test = train_test_split(
        X, malignant, test_size=0.5, stratify=malignant, random_state=seed
    )
    X_train, y_train = make_imbalanced(X_train, y_train, 0.05, random_state=seed)
    return X_train, X_test, y_train, y_test


# %%
# A search over a pipeline
# ------------------------
# The classifier standardises features itself. Parameters of the network have the prefix
# ``module__`` and are keys of the grid like all others.


def search(X, y):
    """Return a fitted grid search over a pipeline with the classifier."""
    pipeline = Pipeline(
        [
            ("impute", SimpleImputer().set_output(transform="pandas")),
            ("clf", CompositionalAUCClassifier(random_state=0)),
        ]
    )
    grid = {
        "clf__lr": [1e-3, 3e-3],
        "clf__module__hidden_layer_sizes": [(64,), (64, 64)],
    }
    return GridSearchCV(pipeline, grid, scoring="roc_auc", cv=5, n_jobs=2, verbose=1).fit(X, y)


# %%
# The strategies and other models
# -------------------------------
# Each strategy trains the same plain perceptron on the same batches. The seeds vary the split,
# the thinning and the network. No learning rate is tuned: each strategy is trained at all of
# them. The default of the classifier is an ensemble, trained compositionally.


def compare(seed):
    """Return the test AUC of every strategy and rate, and of other models, for one seed."""
    X_train, X_test, y_train, y_test = load(seed)
    models = {
        (strategy, lr): CompositionalAUCClassifier(
            strategy=strategy, lr=lr, random_state=seed, **PERCEPTRON
        )
        for strategy in STRATEGIES
        for lr in LEARNING_RATES
    }
    models["the default"] = CompositionalAUCClassifier(random_state=seed)
    models["logistic regression"] = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=1000)
    )
    models["random forest"] = RandomForestClassifier(300, random_state=seed)
    return {
        name: roc_auc_score(y_test, model.fit(X_train, y_train).predict_proba(X_test)[:, 1])
        for name, model in models.items()
    }


def compare_all():
    """Return the AUCs of all seeds by model, and print progress."""
    runs = joblib.Parallel(n_jobs=2, return_as="generator")(
        joblib.delayed(compare)(seed) for seed in range(N_SEEDS)
    )
    results = []
    for done, result in enumerate(runs, start=1):
        results.append(result)
        print(f"  seed {done} of {N_SEEDS}", end="\r", flush=True)
    print()
    return {name: np.array([result[name] for result in results]) for name in results[0]}


def print_table(aucs):
    """Print the held-out AUC for each learning rate, and the mean over all of them."""
    print(f"\nHeld-out ROC AUC, mean over {N_SEEDS} seeds (and standard deviation)\n")
    rates = "".join(f"{f'lr={lr:g}':>10}" for lr in LEARNING_RATES)
    print(f"{'':22}{rates}{'all rates':>20}")
    for strategy in STRATEGIES:
        by_rate = [aucs[strategy, lr] for lr in LEARNING_RATES]
        cells = "".join(f"{auc.mean():>10.4f}" for auc in by_rate)
        over_all = np.mean(by_rate, axis=0)
        print(f"{strategy:22}{cells}{over_all.mean():>12.4f} ({over_all.std():.4f})")
    for name in OTHERS:
        blanks = " " * 10 * len(LEARNING_RATES)
        print(f"{name:22}{blanks}{aucs[name].mean():>12.4f} ({aucs[name].std():.4f})")


# %%
# Plots
# -----


def plot(model, X_train, X_test, y_train, y_test, path):
    """Draw ROC curves on the test half, and the training curves of the classifier."""
    rivals = {
        "compositional AUC": model,
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "random forest": RandomForestClassifier(300, random_state=0),
    }
    _, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for name, rival in rivals.items():
        if rival is not model:
            rival.fit(X_train, y_train)
        RocCurveDisplay.from_estimator(rival, X_test, y_test, name=name, ax=left)
    left.set_title("Test half")
    TrainingHistoryDisplay.from_estimator(model[-1], ax=right)
    right.set_title("Training of the compositional classifier")
    pyplot.savefig(path, dpi=120)
    pyplot.close()


def main():
    """Run the whole example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "output", help="folder for results"
    )
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    start = perf_counter()

    X_train, X_test, y_train, y_test = load(seed=0)
    print(f"{len(X_train)} training examples, {y_train.sum()} of them malignant.\n")

    print("Searching a pipeline by cross-validated ROC AUC ...")
    found = search(X_train, y_train)
    model = found.best_estimator_
    print(f"  best parameters: {found.best_params_}")
    print(f"  cross-validated AUC {found.best_score_:.4f}")
    print(f"  held-out AUC {found.score(X_test, y_test):.4f}\n")

    print("Comparing strategies ...")
    print_table(compare_all())

    plot(model, X_train, X_test, y_train, y_test, output / "quickstart.png")

    joblib.dump(model, output / "model.joblib")
    reloaded = joblib.load(output / "model.joblib")
    same = np.array_equal(reloaded.predict_proba(X_test), model.predict_proba(X_test))
    if not same:
        raise RuntimeError("the reloaded model does not predict the same")
    print(f"\nSaved to {output / 'model.joblib'}; reloaded, it predicts the same bit for bit.")
    print(f"Curves in {output / 'quickstart.png'}. {perf_counter() - start:.0f} seconds in all.")


if __name__ == "__main__":
    main()
