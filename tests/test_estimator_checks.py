import pytest
from sklearn.utils.estimator_checks import check_estimator

from skdam import CompositionalAUCClassifier

VARIATIONS = [
    {},
    {"strategy": "two-stage"},
    {"strategy": "auc"},
    {"strategy": "cross-entropy"},
    {"variant": "lookahead"},
    {"variant": "lookahead", "hypergradient": "exact"},
    {"early_stopping": True},
    {"checkpoint": "checkpoints/"},
]


EXPECTED_TO_FAIL = {
    "check_sample_weight_equivalence_on_dense_data": "training draws random batches, so that "
    "weights and repeated rows agree on average only; tests/estimator/test_weights.py tests that",
}


@pytest.mark.parametrize("parameters", VARIATIONS, ids=str)
def test_scikit_learn_checks(parameters, tmp_path, monkeypatch):
    """Not parametrized by check, as a fit is short and the number of checks is asserted."""
    monkeypatch.chdir(tmp_path)
    estimator = CompositionalAUCClassifier(max_epochs=15, **parameters)
    results = check_estimator(
        estimator, on_fail=None, on_skip=None, expected_failed_checks=EXPECTED_TO_FAIL
    )
    not_passed = {
        result["check_name"]: (result["status"], result["exception"])
        for result in results
        if result["status"] != "passed"
    }
    not_passed.pop("check_array_api_input", None)  # skipped: it needs other array libraries
    for name in EXPECTED_TO_FAIL:
        assert not_passed.pop(name)[0] == "xfail"
    assert not_passed == {}
    assert len(results) >= 50
