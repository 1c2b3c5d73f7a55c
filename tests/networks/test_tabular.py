import copy

import numpy as np
import pytest
import torch
from helpers import columns_of_many_scales
from sklearn.metrics import roc_auc_score

from skdam import TabularMLP
from skdam._targets import Targets
from skdam.networks.kernel import KernelMachine

N_FOLDS = 3
ENCODINGS = ["piecewise-linear", None]


@pytest.fixture
def raw():
    """Columns of very different scales, one of them constant, and targets."""
    return torch.from_numpy(columns_of_many_scales(300)), (torch.arange(300) % 10 == 0).float()


@pytest.fixture
def table():
    """Two numbers, one with gaps, and a category, with targets that depend on them and folds."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(300, 2)), rng.integers(3, size=300)]).astype(np.float32)
    y = X[:, 0] * (X[:, 2] - 1) + 0.5 * rng.normal(size=300) > 0.9
    X[::7, 1] = np.nan
    y = torch.from_numpy(y.astype(np.float32))
    return torch.from_numpy(X), Targets.of(y, None, torch.arange(300) % N_FOLDS, N_FOLDS)


def fitted(raw, **parameters):
    X, y = raw
    if isinstance(y, Targets):
        parameters = {"n_members": N_FOLDS, "n_categories": (0, 0, 3)} | parameters
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = TabularMLP(X.shape[1], **parameters)
        module.fit_statistics(X, y)
    return module.eval()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_output_does_not_depend_on_the_units(raw, encoding):
    X, y = raw
    y = Targets.of(y, None, torch.arange(300) % 8, 8)
    units = torch.tensor([1024.0, 1.0, 2.0**-10, 1.0])
    module = fitted((X, y), encoding=encoding, n_members=8, n_categories=None)
    other = fitted((X * units, y), encoding=encoding, n_members=8, n_categories=None)
    for scores in (TabularMLP.forward, TabularMLP.decision_function, TabularMLP.embed):
        torch.testing.assert_close(
            scores(other, X * units), scores(module, X), atol=1e-3, rtol=1e-3
        )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_all_that_is_learnt_is_part_of_the_state_dict(table, encoding):
    X, y = table
    module = fitted(table, encoding=encoding)
    module.share_vote(*module.out_of_bag(X, y.folds), y)
    other = TabularMLP(3, encoding=encoding, n_members=N_FOLDS, n_categories=(0, 0, 3)).eval()
    other.load_state_dict(module.state_dict())
    copied = copy.deepcopy(module)
    for its in (other, copied):
        assert torch.equal(its(X), module(X))
        assert torch.equal(its.decision_function(X), module.decision_function(X))
        assert torch.equal(
            its.out_of_bag_decision(X, y.folds), module.out_of_bag_decision(X, y.folds)
        )


def test_one_member_without_encoding_is_a_plain_perceptron(raw):
    module = fitted(
        raw, n_members=1, encoding=None, hidden_layer_sizes=(5, 7), activation="tanh", dropout=0.5
    )
    plain = torch.nn.Sequential(
        torch.nn.Linear(8, 5), torch.nn.Tanh(), torch.nn.Linear(5, 7), torch.nn.Tanh(),
        torch.nn.Linear(7, 1),
    )  # fmt: skip
    mine = {name: p for name, p in module.named_parameters() if p.numel()}
    weights = [p[0].T for name, p in mine.items() if name.endswith("weight")]
    biases = [p[0, 0] for name, p in mine.items() if name.endswith("bias")]
    linears = [layer for layer in plain if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        for linear, weight, bias in zip(linears, weights, biases, strict=True):
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
    X = raw[0]
    standardised = ((X - X.mean(0)) / X.std(0, correction=0)).clamp(-3, 3)
    standardised[:, 3] = 0
    inputs = torch.cat([standardised, torch.zeros(len(X), 4)], 1)  # there are no gaps
    torch.testing.assert_close(module(X), plain(inputs).squeeze(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module.decision_function(X), module(X))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_without_hidden_layers_it_is_a_sum_over_columns(table, encoding):
    X, _ = table
    module = fitted(table, hidden_layer_sizes=(), encoding=encoding)
    changed = [X.clone() for _ in range(3)]
    changed[0][:, 0] += 1
    changed[1][:, 1] -= 1
    changed[2][:, :2] = torch.stack([changed[0][:, 0], changed[1][:, 1]], 1)
    first, second, both = map(module, changed)
    assert not torch.allclose(first, module(X))
    torch.testing.assert_close(first + second, both + module(X), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module.embed(X), module(X))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_members_are_independent(table, encoding):
    """No parameter has an effect on two columns of the output."""
    X, _ = table
    module = fitted(table, encoding=encoding)
    logits, parameters = module(X), list(module.parameters())
    gradients = [
        torch.autograd.grad(logits[:, member].sum(), parameters, retain_graph=True)
        for member in range(N_FOLDS)
    ]
    for of_parameter in zip(*gradients, strict=True):
        reached = torch.stack([gradient != 0 for gradient in of_parameter])
        assert reached.flatten(1).any(1).all()
        assert reached.sum(0).max() == 1


@pytest.mark.parametrize("n_members", [1, N_FOLDS])
def test_the_encoding_adds_to_what_is_linear_in_the_standardised_columns(table, n_members):
    X, _ = table
    module = fitted(table, n_members=n_members, hidden_layer_sizes=())
    Z = module.columns(X)
    linear = torch.einsum("nd,mdh->mnh", Z, module.linear.weight) + module.linear.bias
    expected = (linear + module.encoded(X)).squeeze(2).T
    torch.testing.assert_close(module(X).reshape(len(X), -1), expected, rtol=1e-4, atol=1e-5)
    # each alone
    with torch.no_grad():
        module.encoded.weight.zero_()
    plain = fitted(table, n_members=n_members, hidden_layer_sizes=(), encoding=None)
    plain.load_state_dict(module.state_dict(), strict=False)
    torch.testing.assert_close(module(X), plain(X))
    fresh = fitted(table, n_members=n_members, hidden_layer_sizes=())
    with torch.no_grad():
        fresh.linear.weight.zero_()
        fresh.linear.bias.zero_()
    encoded = fresh.encoded(X).squeeze(2).T
    torch.testing.assert_close(fresh(X).reshape(len(X), -1), encoded, rtol=1e-4, atol=1e-5)


def test_training_starts_from_what_is_linear_in_the_standardised_columns(table):
    """The encoding adds a small part of the variance at first."""
    X, _ = table
    module = fitted(table, n_members=50)
    linear = module.linear(module.columns(X).expand(50, -1, -1)).var(1).mean()
    assert 0 < module.encoded(X).var(1).mean() < 0.1 * linear


def test_perceptrons_and_kernel_machine_see_the_same_standardised_columns(table):
    X, y = table
    module = fitted(table, encoding=None)
    module.shares.copy_(torch.tensor([1.0, 1.0]))
    far, clipped = X.clone(), X.clone()
    far[:, 0], clipped[:, 0] = 1e6, 1e3  # both are clipped
    torch.testing.assert_close(module(far), module(clipped))
    torch.testing.assert_close(module.decision_function(far), module.decision_function(clipped))


@pytest.mark.parametrize("hidden_layer_sizes", [(), (8,), (6, 5)])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_logit_out_of_bag_is_that_of_the_member_without_the_row(
    table, encoding, hidden_layer_sizes, monkeypatch
):
    monkeypatch.setattr("skdam.networks.tabular._CHUNK", 32)
    X, y = table
    module = fitted(table, encoding=encoding, hidden_layer_sizes=hidden_layer_sizes)
    of_member = module(X).gather(1, y.folds.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(module.out_of_bag_logits(X, y.folds), of_member, rtol=0, atol=1e-5)
    logits, scores = module.out_of_bag(X, y.folds)
    torch.testing.assert_close(logits, of_member, rtol=0, atol=1e-5)
    standard = module.columns(X)
    torch.testing.assert_close(
        scores, module.kernel_machine.out_of_bag(standard, y.folds), rtol=1e-4, atol=1e-4
    )


def test_the_logit_out_of_bag_of_a_number_of_many_values_is_that_of_the_member(seeded):
    """Members of both kinds: with increments, and with a vector for each value."""
    X = torch.stack([torch.arange(300.0) % 40, torch.randn(300)], 1)
    folds = torch.arange(300) % 4
    y = Targets.of((torch.arange(300) % 7 == 0).float(), None, folds, 4)
    module = fitted((X, y), n_members=4, n_bins=4, n_values=(40, 0), n_categories=None)
    of_member = module(X).gather(1, folds.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(module.out_of_bag_logits(X, folds), of_member, rtol=0, atol=1e-5)


def test_without_folds_the_mean_of_the_perceptrons_decides(table):
    X, y = table
    module = fitted((X, y.as_subclass(torch.Tensor)), n_members=N_FOLDS)
    torch.testing.assert_close(module.decision_function(X), module(X).mean(1))
    assert module.out_of_bag(X, y.folds)[1] is None
    assert torch.equal(module.out_of_bag_decision(X, y.folds), module.out_of_bag_logits(X, y.folds))


@pytest.mark.parametrize("parameters", [{"n_members": 1}, {"n_landmarks": 0}], ids=str)
def test_without_members_or_landmarks_there_is_no_kernel_machine(raw, parameters):
    X, y = raw
    folds = torch.arange(300) % parameters.get("n_members", 8)
    data = X, Targets.of(y, None, folds, int(folds.max()) + 1)
    module = fitted(data, **{"n_members": 8, "n_categories": None} | parameters)
    assert module.kernel_machine is None
    assert module.out_of_bag(X, folds)[1] is None


def test_the_joint_score_is_the_sum_of_both_parts_by_their_shares(table):
    X, y = table
    module = fitted(table)
    module.shares.copy_(torch.tensor([0.25, 3.0]))
    kernel_scores = module.kernel_machine(module.columns(X))
    expected = 0.25 * module(X).mean(1) + 3 * kernel_scores
    torch.testing.assert_close(module.decision_function(X), expected)
    logits, scores = module.out_of_bag(X, y.folds)
    torch.testing.assert_close(
        module.out_of_bag_decision(X, y.folds), 0.25 * logits + 3 * scores, rtol=1e-4, atol=1e-4
    )


def test_the_kernel_machine_is_that_of_the_standardised_rows_and_their_folds(table):
    """It ranks rows out of bag, and its scores in the bag are better: it saw the targets there."""
    X, y = table
    module = fitted(table)
    out_of_bag = roc_auc_score(y.numpy(), module.out_of_bag(X, y.folds)[1])
    others = (y.folds + 1) % N_FOLDS
    assert 0.8 < out_of_bag < roc_auc_score(y.numpy(), module.out_of_bag(X, others)[1])


def test_the_kernel_machine_is_solved_with_the_weights_of_the_examples(table):
    X, y = table
    weights = 1 + torch.arange(300.0) % 4
    module = fitted((X, Targets.of(y.as_subclass(torch.Tensor), weights, y.folds, N_FOLDS)))
    Z = module.columns(X)
    machine = KernelMachine(Z.shape[1], 300, N_FOLDS)
    machine.fit(Z, y.as_subclass(torch.Tensor), y.folds, torch.arange(300), weights)
    torch.testing.assert_close(module.kernel_machine(Z), machine(Z), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_weights_count_as_repetitions_in_the_statistics(table, encoding):
    X, y = table
    y, times = y.as_subclass(torch.Tensor), 1 + torch.arange(300) % 4
    many = X.repeat_interleave(times, 0), y.repeat_interleave(times)
    weighted = fitted((X, Targets.of(y, times.float())), encoding=encoding)
    repeated = fitted((many[0], Targets.of(many[1], torch.ones(len(many[1])))), encoding=encoding)
    torch.testing.assert_close(weighted(X), repeated(X), rtol=1e-4, atol=1e-5)


def test_landmarks_are_drawn_by_weight(table):
    X, y = table
    weights = torch.where(torch.arange(300) % 2 == 0, 1e6, 1.0)
    targets = Targets.of(y.as_subclass(torch.Tensor), weights, y.folds, N_FOLDS)
    module = fitted((X, targets), n_landmarks=20)
    rows = {tuple(row) for row in module.columns(X[::2]).tolist()}
    landmarks = [tuple(row) for row in module.kernel_machine.landmarks.tolist()]
    assert len(set(landmarks)) == 20
    assert set(landmarks) <= rows


def learnt_shares(logits, scores, y, weights=None):
    module = TabularMLP(2, n_members=2)
    module.share_vote(*map(torch.as_tensor, (logits, scores, y)), weights)
    return module.shares.numpy()


def parts(seed=0, noise=(1.0, 1.0), n=2000):
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 5 == 0).astype(np.float32)
    return 3 * (y + noise[0] * rng.normal(size=n)), 0.1 * (y + noise[1] * rng.normal(size=n)), y


def deviation(values, weights):
    mean = np.average(values, weights=weights)
    return np.sqrt(np.average((values - mean) ** 2, weights=weights))


@pytest.mark.parametrize("is_weighted", [False, True])
def test_shares_follow_from_the_auc_of_five_mixtures(is_weighted):
    logits, scores, y = parts(noise=(1.0, 1.02))
    weights = np.random.default_rng(1).random(len(y)) ** 2 if is_weighted else np.ones(len(y))
    units = deviation(logits, weights), deviation(scores, weights)
    shares = [0, 0.25, 0.5, 0.75, 1]
    auc = np.array(
        [
            roc_auc_score(
                y, (1 - t) * logits / units[0] + t * scores / units[1], sample_weight=weights
            )
            for t in shares
        ]
    )
    votes = np.exp(auc / 0.003)
    share = votes @ shares / votes.sum()
    assert 0.2 < share < 0.8
    actual = learnt_shares(logits, scores, y, torch.from_numpy(weights) if is_weighted else None)
    np.testing.assert_allclose(actual, [(1 - share) / units[0], share / units[1]], rtol=1e-3)


def test_the_part_with_the_higher_auc_has_the_larger_share():
    for noise, better in (((0.5, 1.5), 0), ((1.5, 0.5), 1)):
        logits, scores, y = parts(noise=noise)
        shares = learnt_shares(logits, scores, y) * [logits.std(), scores.std()]
        assert shares.argmax() == better
        assert shares.max() > 0.7


def test_a_kernel_machine_with_less_than_5_percent_has_no_vote():
    rng = np.random.default_rng(0)
    logits, _, y = parts(noise=(0.2, 1.0))
    noise = rng.normal(size=len(y))
    assert learnt_shares(logits, noise, y)[1] == 0
    assert learnt_shares(logits, noise, y)[0] == pytest.approx(1 / logits.std())
    # perceptrons that know nothing have none of it either
    assert learnt_shares(noise, logits, y)[0] * noise.std() < 0.2


def test_weights_count_as_repetitions_in_the_shares():
    logits, scores, y = parts(n=300)
    times = np.arange(300) % 4
    weighted = learnt_shares(logits, scores, y, torch.from_numpy(times * 0.5))
    repeated = learnt_shares(*(values.repeat(times) for values in (logits, scores, y)))
    np.testing.assert_allclose(weighted, repeated, rtol=1e-5)


def test_a_part_that_is_constant_has_a_finite_share():
    logits, _, y = parts()
    for values in ((logits, np.zeros(len(y))), (np.zeros(len(y)), logits)):
        assert np.isfinite(learnt_shares(*values, y)).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("n_members", [1, 4])
def test_dropout_acts_in_training_only(raw, n_members, encoding):
    X, _ = raw
    module = fitted(raw, n_members=n_members, dropout=0.5, encoding=encoding)
    assert torch.equal(module(X), module(X))
    evaluated = module(X)
    module.train()
    assert not torch.equal(module(X), module(X))
    without = fitted(raw, n_members=n_members, dropout=0.0, encoding=encoding)
    assert torch.equal(without.train()(X), evaluated)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_gaps_and_categories_that_training_did_not_have_give_finite_scores(table, encoding):
    X, y = table
    module = fitted((X.nan_to_num(0), y), encoding=encoding, n_categories=(0, 0, 9))
    others = torch.tensor([[torch.nan] * 3, [0.0, 1e30, 8.0], [-1e30, torch.nan, 1.0]])
    assert module.decision_function(others).isfinite().all()
    assert len(module(others).unique(dim=0)) == 3


def test_a_gap_is_a_value_of_its_own(table):
    X, _ = table
    for encoding in ENCODINGS:
        module = fitted(table, encoding=encoding)
        some = X[:50].clone()
        some[:, 1] = torch.nan
        gap = module(some)
        some[:, 1] = X[:, 1].nanmean()
        assert (gap - module(some)).abs().min() > 1e-5


def test_numbers_with_at_most_as_many_values_as_nodes_have_a_vector_for_each(seeded):
    X = torch.arange(50.0).repeat(20).unsqueeze(1)
    y = (torch.arange(1000) % 3 == 0).float()
    kinks = {}
    for n_values in (None, (50,)):
        module = TabularMLP(1, (), n_bins=10, n_members=1, n_values=n_values)
        module.fit_statistics(X, y)
        at = torch.arange(0, 49.5, 0.5).unsqueeze(1)
        logits = module(at).detach()
        # a function that is linear between two values has no second difference in their middle
        assert logits.diff(n=2)[::2].abs().max() < 1e-4
        kinks[n_values] = (logits.diff(n=2)[1::2].abs() > 1e-4).sum().item()
    assert kinks[None] <= 9
    assert kinks[50,] == 48


def test_rows_out_of_many_are_enough_for_the_statistics(monkeypatch, table):
    monkeypatch.setattr("skdam.networks.tabular._STATISTICS_ROWS", 100)
    monkeypatch.setattr("skdam.networks.tabular._KERNEL_ROWS", 80)
    X, y = table
    weights = 1 + torch.arange(300.0) % 2
    module = fitted((X, Targets.of(y.as_subclass(torch.Tensor), weights, y.folds, N_FOLDS)))
    assert module.kernel_machine.is_fitted
    statistics = TabularMLP(3, n_members=1, n_categories=(0, 0, 3))
    statistics.fit_statistics(X[::3], Targets.of(y[::3], weights[::3]))
    assert torch.equal(statistics.encoded.nodes.nodes, module.encoded.nodes.nodes)
    assert torch.equal(statistics.columns(X), module.columns(X))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n_features": 0}, "n_features"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": 8}, "hidden_layer_sizes"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"activation": "step"}, "activation"),
        ({"encoding": "periodic"}, "encoding"),
        ({"n_bins": 0}, "n_bins"),
        ({"n_embedding": 0}, "n_embedding"),
        ({"n_members": 0}, "n_members"),
        ({"n_members": True}, "n_members"),
        ({"n_landmarks": -1}, "n_landmarks"),
        ({"n_categories": (0, 2)}, "n_categories must hold an int for each of the 3 columns"),
        ({"n_categories": (0, 2, -1)}, r"n_categories\[2\]"),
        ({"n_categories": (0, 2.5, 1)}, r"n_categories\[1\]"),
        ({"n_values": (0, 2, 0, 0)}, "n_values must hold an int for each of the 3 columns"),
        ({"n_values": (-3, 0, 0)}, r"n_values\[0\]"),
    ],
)
def test_bad_arguments_of_the_network_are_refused(arguments, name):
    with pytest.raises(ValueError, match=name):
        TabularMLP(**({"n_features": 3} | arguments))


@pytest.mark.parametrize("parameters", [{}, {"n_members": 1}, {"encoding": None}], ids=str)
def test_embedded_features_are_the_inputs_of_the_last_layers(raw, parameters):
    X, _ = raw
    module = fitted(raw, hidden_layer_sizes=(6, 5), **parameters)
    features, logits = module.embed(X), module(X).reshape(len(X), -1)
    last = module.layers[-1]
    assert features.shape == (len(X), 5 * module.n_members)
    for member in range(module.n_members):
        seen = features[:, member * 5 : (member + 1) * 5]
        expected = seen @ last.weight[member] + last.bias[member]
        torch.testing.assert_close(logits[:, [member]], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("n_members", [1, 8])
def test_an_empty_batch_has_no_logits(n_members, encoding):
    module = TabularMLP(3, n_members=n_members, encoding=encoding).eval()
    logits = module(torch.empty(0, 3))
    assert logits.shape == ((0,) if n_members == 1 else (0, n_members))
    assert module.decision_function(torch.empty(0, 3)).shape == (0,)


def test_the_seed_determines_the_network_and_its_landmarks(table):
    X, _ = table
    module, other = fitted(table, n_landmarks=20), fitted(table, n_landmarks=20)
    for mine, its in zip(module.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, its)


def test_at_most_400_categories_have_a_vector_of_their_own_and_fewer_in_wide_tables(seeded):
    def n_vectors(n_features, n=402):
        X = torch.zeros(3 * n, n_features)
        X[:, 0] = torch.arange(3 * n) % n
        module = TabularMLP(
            n_features, (4,), n_members=1, n_embedding=2, n_categories=(n, *[0] * (n_features - 1))
        )
        module.fit_statistics(X, (torch.arange(3 * n) % 2).float())
        return len(module.encoded(X[:n])[0].unique(dim=0))

    # the others share one
    assert n_vectors(1) == n_vectors(81) == 401
    assert n_vectors(82) < 401
