"""The kernel machine against ridge regressions that are solved one by one."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import laplacian_kernel

from skdam.networks.kernel import KernelMachine
from skdam.networks.statistics import draw_by_class

DECAYS = (0.25, 0.5, 1, 2, 4)
PENALTIES = (0.03, 0.1, 0.3, 1, 3, 10, 30)
TEMPERATURE = 0.01
N_FOLDS = 3


@pytest.fixture
def data():
    """Rows, targets that depend on them, and folds."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(90, 4)).clip(-3, 3).astype(np.float32)
    y = (np.sin(2 * Z[:, 0]) + rng.normal(size=90) > 1).astype(np.float32)
    return tuple(map(torch.from_numpy, (Z, y, np.arange(90) * 7 % N_FOLDS)))


def fitted(Z, y, folds, landmarks=None, weights=None, n_landmarks=None, n_folds=N_FOLDS):
    landmarks = torch.arange(len(Z)) if landmarks is None else landmarks
    machine = KernelMachine(Z.shape[1], n_landmarks or len(landmarks), n_folds).to(Z.dtype)
    machine.fit(Z, y, folds, landmarks, weights)
    return machine


def without_fold(K, folds, fold, landmarks, signs, weights, penalty):
    """The solution without a fold: its rows and its landmarks are left out."""
    rows, kept = folds != fold, folds[landmarks] != fold
    solution = np.zeros(len(landmarks))
    A = K[rows][:, landmarks[kept]]
    W = np.diag(weights[rows])
    K_mm = K[np.ix_(landmarks[kept], landmarks[kept])]
    system = A.T @ W @ A + penalty * (K_mm + 1e-4 * np.eye(kept.sum()))
    solution[kept] = np.linalg.solve(system, A.T @ W @ signs[rows])
    return solution


def naive(Z, y, folds, landmarks, weights, new):
    """Scores out of bag and of new rows, as the documentation of the machine describes them."""
    Z, y, folds, landmarks, new = (v.numpy() for v in (Z, y, folds, landmarks, new))
    shares = np.ones(len(y)) if weights is None else weights.numpy().astype(float)
    of_class = [shares[y == label].sum() for label in (0, 1)]
    balanced = len(y) / 2 * shares / np.where(y == 1, of_class[1], of_class[0])
    signs = np.where(y == 1, 1.0, -1.0)
    settings = []
    for decay in DECAYS:
        K = laplacian_kernel(Z.astype(float), gamma=decay / Z.shape[1])
        K_new = laplacian_kernel(new.astype(float), Z[landmarks].astype(float), decay / Z.shape[1])
        for penalty in PENALTIES:
            solutions = [
                without_fold(K, folds, fold, landmarks, signs, balanced, penalty)
                for fold in range(N_FOLDS)
            ]
            out_of_bag = np.array([K[i, landmarks] @ solutions[f] for i, f in enumerate(folds)])
            auc = roc_auc_score(y, out_of_bag, sample_weight=weights)
            settings.append((auc, out_of_bag, K_new @ np.mean(solutions, 0)))
    best = max(auc for auc, _, _ in settings)
    votes = [
        np.exp((auc - best) / TEMPERATURE) / deviation(row, shares) for auc, row, _ in settings
    ]
    out_of_bag = sum(vote * row for vote, (_, row, _) in zip(votes, settings, strict=True))
    scores = sum(vote * row for vote, (_, _, row) in zip(votes, settings, strict=True))
    return out_of_bag / deviation(out_of_bag, shares), scores / deviation(out_of_bag, shares)


def deviation(values, weights):
    mean = np.average(values, weights=weights)
    return np.sqrt(np.average((values - mean) ** 2, weights=weights))


def assert_close(actual, expected):
    """Of machines in double precision: in single, least penalties magnify rounding."""
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("n_landmarks", [90, 40])
def test_scores_are_votes_of_ridge_regressions_without_a_fold(
    data, n_landmarks, is_weighted, seeded
):
    Z, y, folds = data
    Z = Z.double()
    landmarks = draw_by_class(y, n_landmarks)
    weights = torch.linspace(0.2, 1.2, 90)[torch.arange(90) * 7 % 90] if is_weighted else None
    machine = fitted(Z, y, folds, landmarks, weights)
    new = torch.randn(20, 4, generator=torch.Generator().manual_seed(1)).double()
    out_of_bag, scores = naive(Z, y, folds, landmarks, weights, new)
    assert_close(machine.out_of_bag(Z, folds), out_of_bag)
    assert_close(machine(new), scores)


def test_a_fold_without_rows_leaves_nothing_out(data):
    Z, y, folds = data
    Z, folds = Z.double(), folds % 2
    landmarks = torch.arange(90)
    machine = fitted(Z, y, folds)
    out_of_bag, scores = naive(Z, y, folds, landmarks, None, Z)
    assert_close(machine.out_of_bag(Z, folds), out_of_bag)
    assert_close(machine(Z), scores)


def test_the_setting_that_ranks_best_has_the_vote(data):
    """Targets of a fine chequerboard are for the narrow kernel: the others know less than it."""
    rng = np.random.default_rng(0)
    Z = torch.from_numpy(rng.uniform(-1, 1, size=(600, 2)).astype(np.float32))
    y = ((Z * 2).floor().sum(1) % 2).float()
    folds = torch.arange(600) % N_FOLDS
    machine = fitted(Z, y, folds)
    auc = roc_auc_score(y, machine.out_of_bag(Z, folds))
    alone = []
    K = laplacian_kernel(Z.double(), gamma=DECAYS[0] / 2)
    for fold in range(N_FOLDS):
        solution = without_fold(
            K, folds.numpy(), fold, np.arange(600), 2 * y.numpy() - 1, np.ones(600), PENALTIES[-1]
        )
        rows = folds == fold
        alone.append(roc_auc_score(y[rows], K[rows] @ solution))
    assert auc > max(alone) + 0.02


def test_scores_in_single_precision_are_nearly_those_in_double(data):
    Z, y, folds = data
    single, double = fitted(Z, y, folds), fitted(Z.double(), y, folds)
    for scores, exact in (
        (single(Z), double(Z.double())),
        (single.out_of_bag(Z, folds), double.out_of_bag(Z.double(), folds)),
    ):
        assert scores.dtype == torch.float32
        # standard deviation 1
        np.testing.assert_allclose(scores, exact, atol=0.03)


@pytest.mark.parametrize("unit", [0.01, 1, 100])
def test_scores_out_of_bag_have_standard_deviation_1_whatever_the_weights(data, unit):
    Z, y, folds = data
    weights = unit * (1 + torch.arange(90) % 5)
    scores = fitted(Z, y, folds, weights=weights).out_of_bag(Z, folds)
    assert deviation(scores.double().numpy(), weights) == pytest.approx(1, abs=1e-4)


def test_weights_count_as_repetitions(data):
    Z, y, folds = data
    Z = Z.double()
    times = torch.arange(90) % 3  # as many rows after the repetition
    repeated = torch.arange(90).repeat_interleave(times)
    weighted = fitted(Z, y, folds, torch.unique(repeated), times.float())
    first = torch.searchsorted(repeated, torch.unique(repeated))
    other = fitted(Z[repeated], y[repeated], folds[repeated], first)
    assert_close(weighted(Z), other(Z))
    assert_close(weighted.out_of_bag(Z, folds), other.out_of_bag(Z, folds))


@pytest.mark.parametrize("light", [0.0, 1.0])
def test_the_weight_of_a_class_as_a_whole_has_no_effect(data, light):
    Z, y, folds = data
    weighted = fitted(Z, y, folds, weights=torch.where(y == light, 2.0**-40, 1.0))
    # the votes of settings depend on the weighted deviations of scores, the ranking little
    scores, expected = weighted(Z), fitted(Z, y, folds)(Z)
    assert np.corrcoef(scores, expected)[0, 1] > 0.999


def test_the_state_dict_holds_all_that_is_learnt(data):
    Z, y, folds = data
    machine, other = fitted(*data), KernelMachine(4, 90, N_FOLDS)
    assert not other.is_fitted
    other.load_state_dict(machine.state_dict())
    assert other.is_fitted
    assert torch.equal(other(Z), machine(Z))
    assert torch.equal(other.out_of_bag(Z, folds), machine.out_of_bag(Z, folds))


def test_a_second_fit_replaces_the_first(data):
    Z, y, folds = data
    machine = fitted(*data, n_landmarks=120)
    few = torch.arange(0, 90, 2)
    machine.fit(Z[:, [1, 0, 2, 3]] * 2, 1 - y, folds, few)
    fresh = fitted(Z[:, [1, 0, 2, 3]] * 2, 1 - y, folds, few, n_landmarks=120)
    assert torch.equal(machine(Z), fresh(Z))


def test_unused_landmarks_have_no_effect(data):
    Z, _, folds = data
    few, many = fitted(*data), fitted(*data, n_landmarks=200)
    torch.testing.assert_close(many(Z), few(Z), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(many.out_of_bag(Z, folds), few.out_of_bag(Z, folds))


def test_constant_columns_have_no_effect_whatever_they_are_later(data):
    Z, y, folds = data
    plain = fitted(*data)
    padded = torch.cat([torch.full((90, 3), -0.7), Z, torch.zeros(90, 6)], 1)
    other = fitted(padded, y, folds)
    padded[:, :3] = 2.0
    torch.testing.assert_close(other(padded), plain(Z))


@pytest.mark.parametrize("is_weighted", [False, True])
def test_duplicate_rows_and_landmarks_have_finite_scores(data, is_weighted):
    Z, y, folds = data
    Z = Z[:5].repeat(18, 1)
    weights = torch.linspace(0.01, 1, 90) ** -3 if is_weighted else None
    scores = fitted(Z, y, folds, weights=weights).out_of_bag(Z, folds)
    assert scores.isfinite().all()
    # equal rows of a fold have equal scores
    firsts = torch.arange(90) % 15
    torch.testing.assert_close(scores, scores[firsts], rtol=1e-3, atol=1e-3)


def test_rows_that_are_all_equal_have_finite_scores(data, seeded):
    _, y, folds = data
    machine = fitted(torch.ones(90, 2), y, folds)
    assert machine.out_of_bag(torch.ones(90, 2), folds).isfinite().all()
    assert len(machine(torch.randn(5, 2)).unique()) == 1


def test_rows_that_are_nearly_equal_have_finite_scores():
    """Far outliers, clipped, leave columns in which all other values are nearly the same."""
    Z = 1e-5 * torch.randn(3000, 10, generator=torch.Generator().manual_seed(0))
    y = (torch.arange(3000) % 40 == 0).float()
    folds = torch.arange(3000) % N_FOLDS
    scores = fitted(Z, y, folds, torch.arange(0, 3000, 10)).out_of_bag(Z, folds)
    assert scores.isfinite().all()


def test_two_positives_are_enough(data):
    Z, _, _ = data
    y, folds = torch.zeros(90), torch.arange(90) % 8
    y[[3, 12]] = 1
    machine = fitted(Z, y, folds, n_folds=8)
    scores = machine.out_of_bag(Z, folds)
    assert scores.std(correction=0) == pytest.approx(1, abs=1e-4)
    # a member without a fold has learnt of the positives that are not in it
    near = Z[[3, 12]] + 0.01
    assert (machine(near) > machine(Z[y == 0]).max()).all()


def test_a_fold_that_holds_all_landmarks_has_no_scores(data):
    Z, y, folds = data
    landmarks = torch.nonzero(folds == 1).squeeze(1)
    scores = fitted(Z, y, folds, landmarks).out_of_bag(Z, folds)
    assert not scores[folds == 1].any()
    assert scores[folds != 1].all()


def test_a_score_does_not_depend_on_the_rest_of_the_batch(data):
    Z, _, _ = data
    machine = fitted(*data)
    assert torch.equal(machine(Z[20:50]), machine(Z)[20:50])
