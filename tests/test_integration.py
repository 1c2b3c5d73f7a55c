"""The classifier with scikit-learn's tools, on real data."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skdam import CompositionalAUCClassifier


@pytest.fixture(scope="module")
def parts(cancer):
    X, y = cancer
    return train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)


def make(**parameters):
    return CompositionalAUCClassifier(**({"max_epochs": 30, "random_state": 0} | parameters))


def held_out_auc(model, parts):
    X_train, X_test, y_train, y_test = parts
    return roc_auc_score(y_test, model.fit(X_train, y_train).predict_proba(X_test)[:, 1])


@pytest.mark.parametrize("strategy", ["compositional", "two-stage", "auc", "cross-entropy"])
@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
def test_every_strategy_ranks_tumours(parts, strategy, variant):
    assert held_out_auc(make(strategy=strategy, variant=variant), parts) > 0.95


def test_a_table_of_many_more_columns_than_rows_is_ranked():
    """As of gene expressions: a hundredth of the columns tell of the class."""
    rng = np.random.default_rng(0)
    y = np.arange(360) % 3 == 0
    X = rng.normal(size=(360, 3000))
    X[y, :30] += 1
    clf = CompositionalAUCClassifier(random_state=0).fit(X[:60], y[:60])
    assert roc_auc_score(y[60:], clf.decision_function(X[60:])) > 0.8
    assert clf.oob_score_ > 0.7
    assert clf.net_.module_.encoded is None


def test_a_parallel_grid_search_of_a_pipeline_scores_as_a_serial_one(parts):
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", make())])
    grid = {"clf__lr": [0.03, 0.1], "clf__module__hidden_layer_sizes": [(16,), (32, 16)]}
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=3, n_jobs=2, error_score="raise")
    assert held_out_auc(search, parts) > 0.95
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    one = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=3, error_score="raise")
    one.fit(parts[0], parts[2])
    np.testing.assert_allclose(
        one.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"], atol=1e-3
    )


def test_a_randomized_search_works(parts):
    distributions = {"lr": [0.03, 0.1, 0.3], "strategy": ["compositional", "auc"]}
    search = RandomizedSearchCV(
        make(), distributions, n_iter=3, scoring="roc_auc", cv=2, random_state=0
    )
    assert held_out_auc(search, parts) > 0.95


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_a_search_scores_a_diverging_candidate_as_nan(parts):
    search = GridSearchCV(
        make(clip_value=1e30), {"lr": [0.1, 1e38]}, scoring="roc_auc", cv=2, refit=False
    )
    with pytest.warns(FitFailedWarning, match="diverged in epoch"):
        search.fit(parts[0], parts[2])
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]


def test_cross_validation_works_on_read_only_memory_maps(parts):
    """joblib maps larger arrays read-only into its workers."""
    X = np.tile(parts[0].to_numpy(), (60, 1))
    y = np.tile(parts[2], 60)
    assert X.nbytes > 1e6
    scores = cross_val_score(make(max_epochs=1), X, y, scoring="roc_auc", cv=2, n_jobs=2)
    assert scores.min() > 0.9


def test_a_memory_map_gives_the_same_model_as_an_array(parts, tmp_path):
    X, y = parts[0].to_numpy(np.float32), parts[2]
    np.save(tmp_path / "X.npy", X)
    on_disk = np.load(tmp_path / "X.npy", mmap_mode="r")
    clf, same = make().fit(on_disk, y), make().fit(X, y)
    np.testing.assert_array_equal(clf.decision_function(on_disk), same.decision_function(X))


def test_cross_val_predict_works(parts):
    X, y = parts[0], parts[2]
    scores = cross_val_predict(make(), X, y, cv=3, method="decision_function")
    assert roc_auc_score(y, scores) > 0.95


def test_calibration_improves_probabilities(parts):
    X_train, X_test, y_train, y_test = parts

    def brier_score(model):
        probabilities = model.fit(X_train, y_train).predict_proba(X_test)[:, 1]
        assert roc_auc_score(y_test, probabilities) > 0.95
        return brier_score_loss(y_test, probabilities)

    raw = brier_score(make(calibration=None))
    assert brier_score(CalibratedClassifierCV(make(calibration=None), cv=3)) < 0.5 * raw
    # no wrapper is needed
    for calibration in ("auto", "sigmoid", "isotonic"):
        assert brier_score(make(calibration=calibration)) < 0.5 * raw


def test_a_threshold_can_be_tuned(parts):
    X_train, X_test, y_train, y_test = parts
    tuned = TunedThresholdClassifierCV(make(), scoring="f1", cv=3).fit(X_train, y_train)
    assert tuned.score(X_test, y_test) > 0.9
    assert tuned.best_score_ > 0.7


def test_the_classifier_can_be_stacked(parts):
    stack = StackingClassifier(
        [("net", make()), ("forest", RandomForestClassifier(20, random_state=0))],
        final_estimator=LogisticRegression(),
        cv=3,
    )
    assert held_out_auc(stack, parts) > 0.95


def test_names_pass_through_set_output_and_a_column_transformer(parts):
    columns = list(parts[0].columns)
    pipeline = make_pipeline(
        make_column_transformer(
            (StandardScaler(), columns[:10]), remainder="passthrough",
            verbose_feature_names_out=False,
        ),
        make(),
    ).set_output(transform="pandas")  # fmt: skip
    assert held_out_auc(pipeline, parts) > 0.95
    assert sorted(pipeline[-1].feature_names_in_) == sorted(columns)


def test_permutation_importance_works(parts):
    clf = make().fit(parts[0], parts[2])
    importance = permutation_importance(
        clf, parts[1], parts[3], scoring="roc_auc", n_repeats=2, random_state=0
    )
    assert importance.importances_mean.max() > 0


def test_five_positives_suffice(cancer):
    """Batches, cross-validation and early stopping work."""
    X, y = cancer
    rows = np.r_[np.flatnonzero(y == 1)[:5], np.flatnonzero(y == 0)]
    X, y = X.iloc[rows], y[rows]
    scores = cross_val_score(make(early_stopping=True), X, y, scoring="roc_auc", cv=2)
    assert scores.mean() > 0.8


def test_positives_can_be_the_majority(parts):
    X_train, X_test, y_train, y_test = parts
    clf = make().fit(X_train, 1 - y_train)
    assert roc_auc_score(1 - y_test, clf.decision_function(X_test)) > 0.95
