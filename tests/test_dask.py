"""A search over the workers of a cluster."""

import joblib
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV

from skdam import CompositionalAUCClassifier

distributed = pytest.importorskip("distributed")


def test_search_on_a_cluster_finds_what_a_search_in_one_process_finds():
    X, y = make_classification(150, 5, weights=[0.7], random_state=0)
    clf = CompositionalAUCClassifier(
        max_epochs=1, n_members=2, module__n_landmarks=8, random_state=0
    )
    grid = {
        "lr": [1e-3, 3e-3, 1e-2],
        "module__hidden_layer_sizes": [(4,), (8,)],
        "sampling_rate": [0.3, 0.5],
        "inner_steps": [1, 2],
    }
    search = GridSearchCV(clf, grid, cv=2)
    serial = search.fit(X, y).cv_results_["mean_test_score"]
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster), joblib.parallel_config("dask", scatter=[X, y]):
        parallel = search.fit(X, y).cv_results_["mean_test_score"]
    assert len(parallel) == 24
    np.testing.assert_array_equal(parallel, serial)
