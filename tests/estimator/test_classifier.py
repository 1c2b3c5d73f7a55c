"""What fit and predict return, randomness, and what happens to a fit that fails."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from skdam import DivergenceError


def test_history_has_a_value_for_each_epoch(toy, make):
    clf = make(max_epochs=4, lr=0.1, milestones=(0.5,)).fit(*toy)
    assert clf.n_iter_ == 4
    np.testing.assert_array_equal(clf.history_["epoch"], [1, 2, 3, 4])
    np.testing.assert_allclose(clf.history_["lr"], [0.1, 0.1, 0.01, 0.01])
    assert np.isfinite(clf.history_["inner_loss"]).all()
    assert np.isfinite(clf.history_["outer_loss"]).all()


def test_the_learning_rate_of_the_default_network_is_constant(toy, make):
    np.testing.assert_allclose(make(max_epochs=4).fit(*toy).history_["lr"], 1e-3)


def test_history_is_nan_in_epochs_without_a_loss(toy, make):
    history = make(max_epochs=4, strategy="two-stage").fit(*toy).history_
    np.testing.assert_array_equal(np.isnan(history["inner_loss"]), [False, False, True, True])
    np.testing.assert_array_equal(np.isnan(history["outer_loss"]), [True, True, False, False])


def test_scale_and_offset_of_columns_do_not_matter(cancer, make):
    """Neither the scale nor the offset of a column matters."""
    X, y = cancer
    moved = X * np.logspace(-4, 4, X.shape[1]) + np.linspace(-100, 100, X.shape[1])
    aucs = [roc_auc_score(y, make().fit(Z, y).decision_function(Z)) for Z in (X, moved)]
    assert aucs[1] == pytest.approx(aucs[0], abs=0.01)


def test_n_members_is_the_number_of_members_of_the_default_network(toy, make):
    X, y = toy
    assert make().fit(X, y).net_.forward(X).shape == (200, 8)
    assert make(n_members=3).fit(X, y).net_.forward(X).shape == (200, 3)
    assert make(n_members=1).fit(X, y).net_.forward(X).shape == (200,)


@pytest.mark.parametrize("size", [1, 17, 50, 100])
def test_scores_do_not_depend_on_the_rows_scored_with_them(toy, size, make):
    X, y = toy
    clf = make().fit(X, y)
    parts = [clf.decision_function(X[i : i + size]) for i in range(0, 100, size)]
    np.testing.assert_array_equal(np.concatenate(parts)[:100], clf.decision_function(X)[:100])


def test_device_auto_is_cuda_if_present_else_the_cpu(toy, make):
    clf = make(device="auto").fit(*toy)
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert next(clf.net_.module_.parameters()).device.type == expected


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"module__dropout": 0.3},
        {"variant": "lookahead", "hypergradient": "exact", "module__dropout": 0.3},
        {"strategy": "two-stage"},
        {"early_stopping": True},
    ],
    ids=str,
)
def test_the_same_seed_gives_the_same_model(toy, parameters, untouched_generators, make):
    first = make(**parameters).fit(*toy)
    np.random.seed(7)
    torch.manual_seed(7)
    with untouched_generators():
        second = make(**parameters).fit(*toy)
        second.predict(toy[0])
    for name, value in first.net_.module_.state_dict().items():
        assert torch.equal(value, second.net_.module_.state_dict()[name])


def test_other_seeds_give_other_models(toy, make):
    def scores(seed):
        return make(random_state=seed).fit(*toy).decision_function(toy[0])

    assert not np.array_equal(scores(0), scores(1))
    assert not np.array_equal(scores(None), scores(None))
    rng = np.random.RandomState(0)
    assert not np.array_equal(scores(rng), scores(rng))


def test_a_fit_that_fails_draws_nothing_from_a_random_state(toy, make):
    clf = make(random_state=np.random.RandomState(0), max_epochs=1, lr=1e38, clip_value=1e30)
    with pytest.raises(DivergenceError):
        clf.fit(*toy)
    assert clf.random_state.randint(1000) == np.random.RandomState(0).randint(1000)


def test_fit_without_a_seed_does_not_touch_the_global_generators(toy, untouched_generators, make):
    with untouched_generators():
        make(random_state=None).fit(*toy)


def test_divergence_raises_and_keeps_the_earlier_fit(toy, make):
    X, y = toy
    clf = make().fit(X, y)
    scores = clf.decision_function(X)
    clf.set_params(lr=1e38, clip_value=1e30)
    for method in ("fit", "partial_fit"):
        with pytest.raises(DivergenceError, match=r"diverged in epoch \d.*lr=1e\+38"):
            getattr(clf, method)(X, y)
        np.testing.assert_array_equal(clf.decision_function(X), scores)
        assert clf.n_iter_ == 3


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_a_fit_where_gradients_are_off(toy, make, off):
    expected = make().fit(*toy).decision_function(toy[0])
    with off():
        clf = make().fit(*toy)
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(clf.decision_function(toy[0]), expected)
    clf.partial_fit(*toy)


def test_the_default_networks_are_of_single_precision(toy, make):
    saved = pickle.dumps(make().fit(*toy))
    images = np.random.default_rng(0).normal(size=(len(toy[1]), 1, 8, 8))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        for X, parameters in (toy[0], {}), (images, {"module__width": 2, "max_epochs": 1}):
            clf = make(**parameters).fit(X, toy[1])
            assert {p.dtype for p in clf.net_.module_.parameters()} == {torch.float32}
            clf.predict(X)
        loaded = pickle.loads(saved)
    finally:
        torch.set_default_dtype(before)
    scores = pickle.loads(saved).decision_function(toy[0])
    np.testing.assert_array_equal(loaded.decision_function(toy[0]), scores)
