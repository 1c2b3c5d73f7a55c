"""Columns as inputs: the functions between nodes, and standardised numbers."""

import copy

import numpy as np
import pytest
import torch

from skdam.networks.columns import ColumnLayer, StandardColumns

# of the columns of `table`
N_NODES = (5, 5, 5, 4, 5, 5, 40, 5)
N_CATEGORIES = (0, 0, 4, 12, 0, 0, 0, 4)
N_QUANTILES = 5
GAP = np.nan


@pytest.fixture
def table():
    """A number, one of few values, two categories, constants, gaps, a count, a rare category."""
    rng = np.random.default_rng(0)
    n = 401
    X = np.column_stack(
        [
            rng.normal(size=n),
            rng.choice([-2.0, 0.5, 7.0], n),
            rng.integers(4, size=n),
            np.minimum(rng.geometric(0.3, n) - 1, 10),
            np.full(n, 3.25),
            np.full(n, GAP),
            rng.integers(35, size=n),
            np.where(np.arange(n) < 2, 3.0, rng.integers(2, size=n)),
        ]
    )
    X[rng.random(X.shape) < 0.1] = GAP
    return torch.from_numpy(X)


@pytest.fixture
def others(table):
    """Rows that were not trained on: beyond the values, with new gaps and categories."""
    X = torch.cat([table[:20], table[:20], table[:4]])
    X[20:40, 0] = torch.linspace(-9, 9, 20)
    X[20:40, 1] = torch.linspace(-3, 9, 20)
    X[20:30, 4], X[20:30, 5] = 9.0, -1.0
    X[20:40, 6] = torch.linspace(-5, 50, 20)
    X[20, 3], X[21, 7], X[22, 7] = 11.0, 2.0, 3.0
    X[40] = GAP
    return X


def layer_of(X, weights=None, n_members=3, n_out=2):
    layer = ColumnLayer(N_NODES, N_CATEGORIES, N_QUANTILES, n_members, n_out, 4).double()
    layer.fit_statistics(X, weights)
    return layer


def vectors_of(layer, column):
    """The vectors of a column's nodes, as they are stored: by the number of nodes."""
    size = N_NODES[column]
    alike = [j for j, other in enumerate(N_NODES) if other == size]
    return layer.vectors[sorted(set(N_NODES)).index(size)][alike.index(column)]


def embedded_number(x, values, vectors, n_nodes):
    """The embedding of a number by each member, whose vectors are (n_members, n_embedding)."""
    values = sorted(v for v in values if not np.isnan(v))
    nodes = sorted(set(values))
    if len(nodes) > n_nodes:
        last = len(values) - 1
        nodes = sorted({values[round(last * k / (N_QUANTILES - 1))] for k in range(N_QUANTILES)})
        holds_increments = [True, True, True]
    else:
        # members differ in how they take a number of many values
        holds_increments = [len(nodes) > N_QUANTILES and m % 2 == 0 for m in range(3)]
    sums = [sum(vectors[: k + 1]) for k in range(len(vectors))]
    is_sum = torch.tensor(holds_increments).unsqueeze(1)
    vectors = [torch.where(is_sum, *both) for both in zip(sums, vectors, strict=True)]
    if not nodes or x <= nodes[0]:
        return vectors[0]
    if x >= nodes[-1]:
        return vectors[len(nodes) - 1]
    k = max(k for k in range(len(nodes)) if nodes[k] <= x)
    part = (x - nodes[k]) / (nodes[k + 1] - nodes[k])
    return (1 - part) * vectors[k] + part * vectors[k + 1]


def embedded_category(x, codes, vectors, n_nodes):
    counts = {code: codes.count(code) for code in set(codes) if not np.isnan(code)}
    frequent = sorted(counts, key=lambda code: (-counts[code], code))[: n_nodes - 1]
    frequent = [code for code in frequent if counts[code] >= 3]
    return vectors[frequent.index(x) if x in frequent else n_nodes - 1]


def naive(layer, trained, X):
    """The formula of the layer, one row and one column at a time."""
    rows = []
    for row in X.tolist():
        units = torch.zeros(layer.weight[0, :, 0].shape, dtype=torch.float64)
        for column, x in enumerate(row):
            embed = embedded_category if N_CATEGORIES[column] else embedded_number
            vectors = list(vectors_of(layer, column))
            values = trained[:, column].tolist()
            gap = layer.gap[column]
            vector = gap if np.isnan(x) else embed(x, values, vectors, N_NODES[column])
            units = units + torch.einsum("me,meh->mh", vector, layer.weight[column])
        rows.append(units)
    return torch.stack(rows, 1)


def test_units_are_sums_over_columns_of_functions_linear_between_nodes(table, others, seeded):
    layer = layer_of(table)
    torch.testing.assert_close(layer(others), naive(layer, table, others))


@pytest.mark.parametrize("change", ["step", "load", "refit", "copy"])
def test_units_in_prediction_follow_each_change_of_the_layer(change, table, others, seeded):
    layer = layer_of(table).eval()
    with torch.no_grad():
        layer(others)  # a table is kept
        if change == "step":
            layer.weight.add_(1)
        elif change == "load":
            layer.load_state_dict(layer_of(table).state_dict())
        elif change == "refit":
            layer.fit_statistics(others)
        else:
            layer = copy.deepcopy(layer)
            layer.gap.mul_(2)
        predicted = layer(others)
    # with gradients none is kept
    torch.testing.assert_close(predicted, layer(others), rtol=0, atol=0)
    with torch.no_grad():
        torch.testing.assert_close(predicted, layer.train()(others), rtol=0, atol=0)


def test_a_layer_made_in_inference_mode_has_the_same_units(table, others, seeded):
    layer = layer_of(table).eval()
    with torch.inference_mode():
        loaded = ColumnLayer(N_NODES, N_CATEGORIES, N_QUANTILES, 3, 2, 4).double().eval()
        loaded.load_state_dict(layer.state_dict())
        torch.testing.assert_close(loaded(others), layer(others), rtol=0, atol=0)
        loaded.gap.add_(1)
        assert not torch.equal(loaded(others), layer(others))


def test_gradients_are_those_of_the_naive_sum(table, others, seeded):
    layer = layer_of(table)
    wanted = torch.randn(3, len(others), 2, dtype=torch.float64)
    parameters = list(layer.parameters())
    mine = torch.autograd.grad((layer(others) * wanted).sum(), parameters)
    loop = (naive(layer, table, others) * wanted).sum()
    its = torch.autograd.grad(loop, parameters)
    assert all(gradient.any() for gradient in mine)
    torch.testing.assert_close(mine, its)


def test_gradients_are_finite_differences(seeded):
    rows = [[0.3, 1.0, 0.0], [GAP, 0.0, 1.0], [2.5, GAP, 2.0], [1.0, 1.0, 3.0]]
    X = torch.tensor(rows, dtype=torch.float64)
    layer = ColumnLayer((3, 3, 4), (0, 2, 0), 3, 2, 2, 2).double()
    layer.fit_statistics(X)
    names = [name for name, _ in layer.named_parameters()]

    def units(*values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (X,))

    assert torch.autograd.gradcheck(units, tuple(layer.parameters()))
    # the exact hypergradient needs second derivatives
    assert torch.autograd.gradgradcheck(units, tuple(layer.parameters()))


def test_members_alone_have_the_units_that_they_have_together(table, others, seeded):
    layer = layer_of(table)
    units, nodes = layer(others), layer.table()
    for member in range(3):
        torch.testing.assert_close(layer.of_member(others, member, nodes), units[member])


def test_the_nodes_are_part_of_the_state_dict(table, others, seeded):
    layer, other = layer_of(table), layer_of(others)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(others), layer(others))


def test_a_copy_in_single_precision_has_the_same_units(table, others, seeded):
    layer = layer_of(table)
    single = copy.deepcopy(layer).float()
    torch.testing.assert_close(single(others.float()), layer(others).float(), rtol=1e-4, atol=1e-5)


def test_weights_count_as_repetitions(table, others):
    times = 1 + torch.arange(len(table)) % 4
    # a category is rare by its rows, whatever they weigh
    table[:, 7] = torch.arange(len(table)) % 2
    repeated = table.repeat_interleave(times, 0)
    units = []
    for X, weights in ((table, times * 0.1), (repeated, torch.ones(len(repeated)))):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            units.append(layer_of(X, weights)(others))
    torch.testing.assert_close(*units)


def test_equal_weights_move_a_quantile_by_one_rank_at_most():
    X = torch.arange(1001.0).unsqueeze(1)
    nodes = []
    for weights in (None, torch.ones(1001)):
        layer = ColumnLayer((9,), (0,), 9, 1, 1, 1)
        layer.fit_statistics(X, weights)
        nodes.append(layer.nodes.nodes[0])
    torch.testing.assert_close(*nodes, rtol=0, atol=1)


def test_weights_move_the_nodes_of_numbers_and_the_frequent_categories(seeded):
    X = torch.stack([torch.arange(1000.0), (torch.arange(1000) % 10).float()], 1)
    weights = torch.where(X[:, 0] < 500, 9.0, 1.0)
    weights[X[:, 1] == 7] *= 5
    layer = ColumnLayer((11, 2), (0, 10), 11, 1, 1, 1)
    layer.fit_statistics(X, weights)
    # nine tenths of the weight are below 500
    assert layer.nodes.nodes[0, 9] == pytest.approx(500, abs=10)
    category = layer(torch.stack([torch.zeros(10), torch.arange(10.0)], 1)).flatten()
    assert [code for code in range(10) if category[code] != category[0]] == [7]


def test_a_second_call_replaces_the_nodes_of_the_first(table, others, seeded):
    layer = layer_of(table)
    layer.fit_statistics(others)
    fresh = layer_of(others)
    fresh.load_state_dict(dict(layer.named_parameters()), strict=False)
    torch.testing.assert_close(layer(table), fresh(table))


def test_a_far_outlier_does_not_merge_other_values(seeded):
    X = torch.linspace(0, 1, 400).unsqueeze(1)
    X[-1] = 1e9
    layer = ColumnLayer((33,), (0,), 33, 1, 8, 8)
    layer.fit_statistics(X)
    # all but those of the last bin, the end of which it is
    assert len(layer(X[:380])[0].unique(dim=0)) == 380


def test_values_beyond_the_nodes_are_those_of_the_outer_nodes(table, seeded):
    layer = layer_of(table)
    far, edges = torch.zeros(2, 8).double(), torch.zeros(2, 8).double()
    for column in (0, 1, 6):
        values = table[~table[:, column].isnan(), column]
        edges[:, column] = torch.stack([values.min(), values.max()])
        far[:, column] = torch.tensor([-1e30, 1e30])
    torch.testing.assert_close(layer(far), layer(edges))


def test_numbers_of_many_values_are_increments_in_even_members_and_vectors_in_odd_ones(seeded):
    """Moving one vector moves all values from there on, or that value alone."""
    X = torch.arange(20.0, dtype=torch.float64).unsqueeze(1)
    layer = ColumnLayer((20,), (0,), 5, 4, 2, 3).double()
    layer.fit_statistics(X)
    before = layer(X)
    with torch.no_grad():
        layer.vectors[0][0, 7] += 1
    moved = ((layer(X) - before).abs() > 1e-9).all(2)
    from_there_on, alone = (X >= 7).squeeze(1), (X == 7).squeeze(1)
    for member in range(4):
        assert torch.equal(moved[member], alone if member % 2 else from_there_on)


@pytest.mark.parametrize(("n_values", "n_nodes"), [(5, 20), (5, 5), (2, 20)])
def test_numbers_of_few_values_are_vectors_in_all_members(n_values, n_nodes, seeded):
    X = (torch.arange(40, dtype=torch.float64) % n_values).unsqueeze(1)
    layer = ColumnLayer((n_nodes,), (0,), 5, 4, 2, 3).double()
    layer.fit_statistics(X)
    before = layer(X)
    with torch.no_grad():
        layer.vectors[0][0, 0] += 1
    moved = ((layer(X) - before).abs() > 1e-9).all(2)
    assert torch.equal(moved, (X == 0).squeeze(1).expand(4, -1))


@pytest.mark.parametrize("n_quantiles", [5, 33])
def test_the_ends_of_an_ordered_column_differ_as_much_however_many_nodes_there_are(
    n_quantiles, seeded
):
    X = torch.linspace(0, 1, 200).unsqueeze(1)
    # with a weight of 1 the unit of a member is its embedding
    layer = ColumnLayer((n_quantiles,), (0,), n_quantiles, 4000, 1, 1)
    layer.fit_statistics(X)
    with torch.no_grad():
        layer.weight.fill_(1)
        first, last = layer(X[[0, -1]]).unbind(1)
    assert (last - first).var() == pytest.approx(1, rel=0.3)


def test_the_ends_of_a_number_of_many_values_differ_as_much_in_members_of_both_kinds(seeded):
    X = torch.linspace(0, 1, 30).unsqueeze(1)
    layer = ColumnLayer((30,), (0,), 5, 4000, 1, 1)
    layer.fit_statistics(X)
    with torch.no_grad():
        layer.weight.fill_(1)
        first, last = layer(X[[0, -1]]).unbind(1)
    difference = last - first
    assert difference[::2].var() == pytest.approx(1, rel=0.3)  # a sum of increments
    assert difference[1::2].var() == pytest.approx(2 / 3, rel=0.3)  # two uniform vectors


def test_nodes_too_close_for_a_finite_slope_give_finite_units(seeded):
    X = (torch.arange(5).repeat(20) * 1e-44).unsqueeze(1)
    for size in (3, 9):
        layer = ColumnLayer((size,), (0,), 3, 1, 2, 2)
        layer.fit_statistics(X)
        assert layer(torch.cat([X, torch.tensor([[3e38], [-3e38]])])).isfinite().all()


@pytest.mark.parametrize("n_embedding", [1, 3])
def test_the_functions_of_a_column_span_as_many_dimensions_as_its_embedding(n_embedding, seeded):
    X = torch.linspace(-1, 1, 200, dtype=torch.float64).unsqueeze(1)
    layer = ColumnLayer((17,), (0,), 17, 1, 10, n_embedding).double()
    layer.fit_statistics(X)
    assert torch.linalg.matrix_rank(layer(X)[0]) == n_embedding


def test_columns_without_categories_and_without_numbers(seeded):
    X = torch.tensor([[0.0, 1.0], [1.0, 0.0], [GAP, 1.0]]).repeat(5, 1)
    for categories in ((0, 0), (2, 2)):
        layer = ColumnLayer((3, 3), categories, 3, 2, 4, 2)
        layer.fit_statistics(X)
        units = layer(X)
        assert units.shape == (2, 15, 4)
        # each value has a vector of its own
        assert len(units[0].unique(dim=0)) == 3


def standardised(X, n_categories, trained, weights):
    """The columns of StandardColumns, one at a time."""
    numbers, gaps, ones = [], [], []
    weights = np.ones(len(trained)) if weights is None else weights
    for column, size in enumerate(n_categories):
        x, t = X[:, column], trained[:, column]
        present = ~np.isnan(t)
        if size:
            weight_of = [weights[t == code].sum() for code in range(size)]
            frequent = sorted(range(size), key=lambda code: -weight_of[code])[:16]
            ones += [(x == code, t == code) for code in frequent]
            continue
        mean = np.average(t[present], weights=weights[present]) if present.any() else 0.0
        numbers.append((np.where(np.isnan(x), mean, x), np.where(present, t, mean)))
        gaps.append((np.isnan(x), ~present))
    columns = []
    for values, of_trained in [*numbers, *gaps, *ones]:
        of_trained = of_trained.astype(float)
        mean = np.average(of_trained, weights=weights)
        scale = np.sqrt(np.average((of_trained - mean) ** 2, weights=weights))
        is_constant = np.ptp(of_trained) < 1e-6 * max(abs(mean), 1e-30)
        z = np.zeros(len(values)) if is_constant else (values - mean) / scale
        columns.append(np.clip(z, -3, 3))
    return np.column_stack(columns)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_standard_columns_are_numbers_gaps_and_frequent_categories(table, others, is_weighted):
    n_categories = (0, 0, 4, 30, 0, 0, 0, 4)
    rng = np.random.default_rng(1)
    codes = 30 * rng.random(len(table)) ** 2
    table[:, 3] = torch.from_numpy(np.where(codes < 29, codes.round(), GAP))
    others[:, 3] = torch.arange(len(others)) % 30  # the last of them was never seen
    weights = 0.5 + rng.random(len(table)) if is_weighted else None
    table, others = table.float(), others.float()
    module = StandardColumns(n_categories)
    module.fit_statistics(table, None if weights is None else torch.from_numpy(weights))
    expected = standardised(others.numpy(), n_categories, table.numpy(), weights)
    assert module.n_out == expected.shape[1] == 2 * 5 + 4 + 16 + 4
    np.testing.assert_allclose(module(others), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected).max() == 3


def test_standard_columns_of_a_fresh_module_with_the_state_are_the_same(table, others):
    module, other = StandardColumns(N_CATEGORIES), StandardColumns(N_CATEGORIES)
    module.fit_statistics(table.float())
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(others.float()), module(others.float()))


def test_weights_count_as_repetitions_in_standard_columns(table, others):
    times = torch.arange(len(table)) % 4
    weighted, repeated = StandardColumns(N_CATEGORIES), StandardColumns(N_CATEGORIES)
    weighted.fit_statistics(table.float(), times * 0.5)
    repeated.fit_statistics(table.float().repeat_interleave(times, 0))
    torch.testing.assert_close(
        weighted(others.float()), repeated(others.float()), rtol=1e-4, atol=1e-5
    )


def test_gaps_that_training_did_not_have_are_the_mean():
    X = torch.tensor([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]])
    module = StandardColumns((0, 0))
    module.fit_statistics(X)
    assert not module(torch.tensor([[GAP, GAP]])).any()


@pytest.mark.parametrize("share", [0.001, 0.04, 0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("placeholder", [-999.0, 1e9])
def test_outliers_and_placeholders_do_not_make_the_other_values_alike(share, placeholder):
    X = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    usual, module = StandardColumns((0,)), StandardColumns((0,))
    usual.fit_statistics(X)
    count = int(1000 * share)
    module.fit_statistics(torch.cat([X[count:], torch.full((count, 1), placeholder)]))
    spread = module(X)[:, 0].std() / usual(X)[:, 0].std()
    assert spread > 0.1
    number, gap = module(torch.tensor([[placeholder]]))[0]
    if share < 0.05:
        assert number.abs() > 1.5
        assert gap == 0
    else:
        # where it is frequent it is a gap: the mean, and marked
        assert number.abs() < 1e-5
        assert (gap - module(X)[0, 1]).abs() > 1.5


def test_a_placeholder_is_a_gap():
    X = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    X[::3, 0] = -999
    module, other = StandardColumns((0, 0)), StandardColumns((0, 0))
    module.fit_statistics(X)
    with_gaps = X.where(X != -999, torch.nan)
    other.fit_statistics(with_gaps)
    assert torch.equal(module(X), other(with_gaps))
    assert torch.equal(module(with_gaps), module(X))
    # a second fit forgets it
    again, fresh = X[:, [1, 0]], StandardColumns((0, 0))
    module.fit_statistics(again)
    fresh.fit_statistics(again)
    torch.testing.assert_close(module.state_dict(), fresh.state_dict(), rtol=0, atol=0)
    assert module(torch.tensor([[-999.0, 0.0]]))[0, 0] == -3


def test_a_column_that_is_mostly_0_is_scaled_by_the_others():
    X = torch.zeros(1000, 1)
    X[:100, 0] = torch.arange(100.0)
    X[0, 0] = 1e9
    module = StandardColumns((0,))
    module.fit_statistics(X)
    assert module(torch.tensor([[99.0], [0.0]]))[:, 0].diff().abs() > 0.3


def test_numbers_without_outliers_have_the_plain_mean_and_deviation():
    X = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    module = StandardColumns((0,))
    module.fit_statistics(X)
    expected = ((X - X.mean()) / X.std(correction=0)).clamp(-3, 3)
    torch.testing.assert_close(module(X)[:, :1], expected)
