"""From logits to log-odds: calibration, prior, class weights and labels."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.utils import compute_class_weight

from skdam.data.memory import InMemoryDataset
from skdam.estimator.calibration import class_totals
from skdam.estimator.decision import (
    CALIBRATIONS,
    Decision,
    labels_of_scores,
    log_probabilities,
    odds_of_class_weight,
)
from skdam.estimator.weights import with_weights
from skdam.training.scoring import probabilities

KINDS = ["sigmoid", "isotonic"]


@pytest.fixture
def sample():
    """Logits as a network returns them, and rare positives."""
    rng = np.random.default_rng(0)
    y = (np.arange(2000) % 8 == 0).astype(np.float32)
    return rng.normal(size=2000).astype(np.float32).astype(np.float64) + 1.5 * y, y


@pytest.fixture
def decisions(sample):
    """One of each kind."""
    line, steps = (Decision.calibrated(*sample, None, kind) for kind in KINDS)
    return [Decision.of_prior(0.1, 0.5), line, steps, line.shifted(1.3), steps.shifted(-0.7)]


def test_the_calibrations_are_automatic_sigmoid_and_isotonic():
    assert CALIBRATIONS == ("auto", "sigmoid", "isotonic")


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_sigmoid_is_logistic_regression_on_platts_targets(sample, is_weighted):
    logits, y = sample
    weights = np.random.default_rng(1).random(2000) if is_weighted else np.ones(2000)
    decision = Decision.calibrated(logits, y, weights if is_weighted else None, "sigmoid")
    n_negative, n_positive = (weights[y == label].sum() for label in (0, 1))
    target = np.where(y == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    # a target of t is a positive of weight t and a negative of weight 1 - t
    regression = LogisticRegression(C=np.inf, tol=1e-10).fit(
        np.r_[logits, logits].reshape(-1, 1),
        np.repeat([1, 0], 2000),
        sample_weight=np.r_[weights * target, weights * (1 - target)],
    )
    assert decision.knots is None
    assert decision.slope == pytest.approx(regression.coef_[0, 0], rel=1e-3)
    assert -decision.slope * decision.offset == pytest.approx(regression.intercept_[0], rel=1e-3)


def test_isotonic_scores_are_the_steps_in_their_centres(sample):
    logits, y = sample
    decision = Decision.calibrated(logits, y, None, "isotonic")
    line = Decision.calibrated(logits, y, None, "sigmoid")
    steps = IsotonicRegression(y_min=1 / 2002, y_max=2001 / 2002).fit(logits, y).predict(logits)
    steps = steps.round(12)
    for value in np.unique(steps):
        centre = logits[steps == value].mean()
        expected = 0.999 * logit(value) + 0.001 * line.scores(centre)
        np.testing.assert_allclose(decision.scores(np.array([centre])), expected)


def test_isotonic_scores_are_linear_between_the_centres_and_beyond(sample):
    decision = Decision.calibrated(*sample, None, "isotonic")
    at, odds = map(np.array, decision.knots)
    assert len(at) > 5
    middle = decision.scores((at[1:] + at[:-1]) / 2)
    np.testing.assert_allclose(middle, (odds[1:] + odds[:-1]) / 2)
    for edge, value, step in ((at[0], odds[0], -1e3), (at[-1], odds[-1], 1e3)):
        beyond = decision.scores(np.array([edge, edge + step]))
        np.testing.assert_allclose(beyond, [value, value + decision.slope * step])


def test_all_are_strictly_increasing_so_the_ranking_stays(sample, decisions):
    logits, y = sample
    distinct = np.unique(np.r_[logits, np.linspace(-60, 60, 3001)])
    distinct = distinct[np.diff(distinct, prepend=-np.inf) > 1e-9]
    for decision in decisions:
        assert (np.diff(decision.scores(distinct)) > 0).all()
        scores = decision.scores(logits)
        assert roc_auc_score(y, scores) == roc_auc_score(y, logits)
        assert len(np.unique(scores)) == len(np.unique(logits))


@pytest.mark.parametrize("seed", range(30))
def test_isotonic_knots_increase_whatever_the_rounding(seed):
    rng = np.random.default_rng(seed)
    n = 400
    logits = rng.normal(size=n).round(8 if seed % 2 else 1)  # with ties
    logits = (logits * 10.0 ** rng.integers(-2, 3)).astype(np.float32)
    y = (rng.random(n) < expit(2 * logits / logits.std())).astype(np.float32)
    weights = rng.random(n).astype(np.float32) if seed % 3 else None
    decision = Decision.calibrated(logits.astype(np.float64), y, weights, "isotonic")
    at, odds = decision.knots
    assert (np.diff(at) > 0).all()
    assert (np.diff(odds) > 0).all()
    # steps that differ by rounding only are one
    assert np.diff(odds).min() > 1e-9


def test_the_score_at_the_offset_is_0(decisions):
    for decision in decisions:
        assert decision.scores(np.array([decision.offset])) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("odds", [-20.0, -0.5, 0.5, 20.0])
def test_shifting_adds_to_the_log_odds(sample, decisions, odds):
    at = np.linspace(-9, 9, 50)
    for decision in decisions:
        moved = decision.shifted(odds)
        np.testing.assert_allclose(moved.scores(at), decision.scores(at) + odds, atol=1e-9)
        assert moved.scores(np.array([moved.offset])) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(("prior", "rate"), [(0.01, 0.5), (0.3, 0.3), (0.9, 0.5)])
def test_the_prior_undoes_the_share_of_positives_in_the_batches(prior, rate):
    """The true log-odds of two Gaussian classes, sampled at one rate and seen at another."""
    at = np.linspace(-3, 3, 20)
    likelihood_ratio = 2 * at
    scores = Decision.of_prior(prior, rate).scores(likelihood_ratio + logit(rate))
    np.testing.assert_allclose(scores, likelihood_ratio + logit(prior))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_count_as_repetitions(sample, kind):
    logits, y = (values[:300] for values in sample)
    times = 1 + np.arange(300) % 4
    weighted = Decision.calibrated(logits, y, times.astype(np.float32), kind)
    repeated = Decision.calibrated(logits.repeat(times), y.repeat(times), None, kind)
    at = np.linspace(-5, 5, 99)
    np.testing.assert_allclose(weighted.scores(at), repeated.scores(at), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-5, 1, 1e5])
@pytest.mark.parametrize("shift", [0, -30])
@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_of_the_logits_has_no_effect(sample, kind, scale, shift):
    logits, y = sample
    expected = Decision.calibrated(logits, y, None, kind).scores(logits)
    moved = scale * (logits + shift)
    scores = Decision.calibrated(moved, y, None, kind).scores(moved)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_scores_that_rank_no_better_than_chance_become_nearly_the_prior(sample, kind, scale):
    logits, y = sample
    decision = Decision.calibrated(-scale * logits, y, None, kind)
    assert decision.slope > 0
    scores = decision.scores(-scale * logits)
    np.testing.assert_allclose(expit(scores), y.mean(), rtol=0.01)
    assert roc_auc_score(y, scores) == roc_auc_score(y, -logits)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_that_are_all_equal_become_the_prior(kind):
    y = np.arange(50) % 5 == 0
    decision = Decision.calibrated(np.full(50, 3.7), y, None, kind)
    np.testing.assert_allclose(expit(decision.scores(np.array([3.7]))), 0.2, rtol=1e-3)
    assert decision.scores(np.array([4.0])) > decision.scores(np.array([3.0]))


@pytest.mark.parametrize("kind", KINDS)
def test_classes_that_do_not_overlap_have_finite_probabilities(kind):
    logits = np.r_[np.linspace(-2, -1, 90), np.linspace(1, 2, 10)]
    y = (logits > 0).astype(float)
    scores = Decision.calibrated(logits, y, None, kind).scores(logits)
    assert (scores[y == 1] > 0).all()
    assert (scores[y == 0] < 0).all()
    assert np.abs(scores).max() < 8


def test_scores_probabilities_and_labels_agree():
    scores = Decision(2.0, 0.5).scores(np.array([-1, 0.5, 2]))
    assert scores.tolist() == [-3, 0, 3]
    assert labels_of_scores(scores, np.array(["a", "b"])).tolist() == ["a", "a", "b"]
    of_classes = probabilities(scores)
    np.testing.assert_allclose(of_classes.sum(1), 1)
    np.testing.assert_allclose(of_classes[:, 1], 1 / (1 + np.exp(-scores)))
    np.testing.assert_allclose(log_probabilities(scores), np.log(of_classes))
    far = log_probabilities(np.array([800.0]))
    np.testing.assert_allclose(far, [[-800, 0]])


def test_scores_that_overflow_are_an_error_that_names_the_rows(decisions):
    for decision in decisions:
        with pytest.raises(ValueError, match="scores of 3 rows of X overflow, the first in row 1"):
            decision.scores(np.array([0, np.inf, np.nan, -np.inf]))


def test_class_weights_add_the_logarithm_of_their_ratio():
    classes = np.array(["no", "yes"])
    assert odds_of_class_weight(None, classes, 0.25) == 0
    both = odds_of_class_weight({"yes": 6.0, "no": 2.0}, classes, 0.25)
    assert both == pytest.approx(np.log(3))
    assert odds_of_class_weight({"no": 2}, classes, 0.25) == pytest.approx(-np.log(2))
    assert odds_of_class_weight({}, classes, 0.25) == 0


def test_balanced_class_weights_are_those_of_scikit_learn():
    classes, y = np.array([0, 1]), np.array([0] * 7 + [1] * 3)
    negative, positive = compute_class_weight("balanced", classes=classes, y=y)
    odds = odds_of_class_weight("balanced", classes, y.mean())
    assert odds == pytest.approx(np.log(positive / negative))


def test_totals_of_classes_count_examples_and_weights():
    y = np.array([0, 0, 1, 1, 1], dtype=np.float32)
    equal = class_totals(InMemoryDataset(np.zeros((5, 1)), y))
    np.testing.assert_array_equal(equal, [[2, 3], [2, 3]])
    weights = np.array([1, 2, 1, 2, 4])
    for scale in (1, 1e-3):
        targets = with_weights(y, weights * scale, None)
        totals = class_totals(InMemoryDataset(np.zeros((5, 1)), targets))
        np.testing.assert_allclose(totals, [[2, 3], [1.5, 3.5]])


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({2: 1.0}, r"class_weight holds unknown labels \[2\]; the classes are \[0, 1\]"),
        ({0: 1.0, "1": 2.0}, r"class_weight holds unknown labels \['1'\]"),
        ({1: 0.0}, "class_weight must hold numbers > 0"),
        ({0: -1.0}, "class_weight must hold numbers > 0"),
        ({0: np.nan}, "class_weight must hold numbers > 0"),
        ({1: np.inf}, "class_weight must hold numbers > 0"),
    ],
)
def test_wrong_class_weights_are_refused(class_weight, message):
    with pytest.raises(ValueError, match=message):
        odds_of_class_weight(class_weight, np.array([0, 1]), 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_classifier_is_calibrated_on_scores_out_of_bag(toy, make, kind):
    X, y = toy
    clf = make(max_epochs=30, calibration=kind).fit(X, y)
    probabilities = expit(clf.oob_decision_function_)
    assert probabilities.mean() == pytest.approx(y.mean(), abs=0.02)
    assert roc_auc_score(y, probabilities) == pytest.approx(clf.oob_score_)


def test_class_weights_shift_the_scores_of_the_classifier(toy, make):
    X, y = toy
    plain, weighted = (make(class_weight=w).fit(X, y) for w in (None, {1: 10.0}))
    shift = weighted.decision_function(X) - plain.decision_function(X)
    np.testing.assert_allclose(shift, np.log(10))
    assert weighted.predict(X).sum() > plain.predict(X).sum()


def test_the_offset_is_the_logit_at_which_labels_change(toy, make):
    X, y = toy
    clf = make(max_epochs=20, class_weight="balanced").fit(X, y)
    above = clf.net_.decision_function(X) > clf.offset_
    assert 0 < above.sum() < len(X)
    np.testing.assert_array_equal(clf.predict(X) == 1, above)
    np.testing.assert_array_equal(clf.predict_proba(X)[:, 1] > 0.5, above)
