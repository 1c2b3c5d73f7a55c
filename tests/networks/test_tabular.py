import copy

import pytest
import torch
from helpers import columns_of_many_scales

from skdam import TabularMLP


@pytest.fixture
def raw():
    """Columns of very different scales, one of them constant, and targets."""
    return torch.from_numpy(columns_of_many_scales(300)), torch.arange(300) % 10 == 0


def fitted(raw, **parameters):
    module = TabularMLP(raw[0].shape[1], **parameters)
    module.fit_statistics(*raw)
    if module.kernel_machine is not None:
        with torch.no_grad():
            module.kernel_machine.weight.normal_()
    return module.eval()


def test_output_does_not_depend_on_the_units(raw):
    X, y = raw
    module = fitted(raw, n_landmarks=50)
    other = copy.deepcopy(module)
    units = torch.tensor([1000.0, 1.0, 0.001, 1.0])
    generator_state = torch.get_rng_state()
    module.fit_statistics(X, y)
    torch.set_rng_state(generator_state)  # the same landmarks
    other.fit_statistics(X * units, y)
    torch.testing.assert_close(other(X * units), module(X), atol=1e-2, rtol=1e-3)


def test_statistics_are_part_of_the_state_dict(raw):
    module, other = fitted(raw), TabularMLP(4)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.eval()(raw[0]), module(raw[0]))


def test_a_far_outlier_does_not_merge_the_bins_of_other_values():
    X = torch.linspace(0, 1, 400).unsqueeze(1).repeat(1, 2)
    X[-1] = 1e9
    y = X[:, 0] > 0.9
    module = TabularMLP(2)
    module.fit_statistics(X, y)
    assert len(module.encode(X[:-1]).unique(dim=0)) == 399


def test_one_member_without_encoding_is_a_plain_perceptron(raw):
    module = fitted(
        raw, n_members=1, encoding=None, hidden_layer_sizes=(5, 7), activation="tanh", dropout=0.5
    )
    plain = torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 7), torch.nn.Tanh(),
        torch.nn.Linear(7, 1),
    )  # fmt: skip
    with torch.no_grad():
        for mine, its in zip(module.parameters(), plain.parameters(), strict=True):
            its.copy_(mine)
    X = raw[0]
    standardised = (X - X.mean(0)) / X.std(0, correction=0)
    standardised[:, 3] = 0
    torch.testing.assert_close(module(X), plain(standardised).squeeze(1), rtol=1e-4, atol=1e-4)


def test_without_hidden_layers_it_is_a_linear_model():
    module = TabularMLP(3, hidden_layer_sizes=(), n_members=1, encoding=None)
    assert [p.shape for p in module.parameters()] == [(1, 3), (1,)]


def test_members_are_independent(raw):
    """The gradient of a column reaches one member, and the columns are those of lone members."""
    X, y = raw
    module = fitted(raw, n_members=3, n_landmarks=20)
    gradients = torch.autograd.grad(module(X)[:, 1].sum(), list(module.layers.parameters()))
    for gradient in gradients:
        assert gradient[1].any()
        assert not gradient[0].any()
    first = module.features[1]
    alone = TabularMLP(len(first), n_members=1)
    alone.fit_statistics(X[:, first], y)
    with torch.no_grad():
        for mine, its in zip(module.layers.parameters(), alone.layers.parameters(), strict=True):
            its.copy_(mine[1].T.reshape(its.shape))
    torch.testing.assert_close(module(X)[:, 1], alone.eval()(X[:, first]), rtol=1e-4, atol=1e-4)


def test_each_perceptron_sees_a_different_60_percent_of_the_features():
    module = TabularMLP(10, n_members=9)
    assert module.features.shape == (8, 6)
    assert all(len(row.unique()) == 6 for row in module.features)
    assert len(module.features.sort(1).values.unique(dim=0)) > 1


def test_the_kernel_machine_has_two_thirds_of_the_vote():
    votes = TabularMLP(3, n_members=3).vote(torch.tensor([[1.0, 1.0, 3.0], [0.0, 0.0, -8.0]]))
    torch.testing.assert_close(votes, torch.tensor([7 / 3, -16 / 3]))


def test_without_landmarks_all_members_are_perceptrons():
    module = TabularMLP(3, n_members=5, n_landmarks=0)
    assert module.kernel_machine is None
    logits = module(torch.zeros(2, 3))
    assert logits.shape == (2, 5)
    torch.testing.assert_close(module.vote(logits), torch.logit(torch.sigmoid(logits).mean(1)))


@pytest.mark.parametrize("n_members", [1, 4])
def test_dropout_acts_in_training_only(raw, n_members):
    module = fitted(raw, n_members=n_members, dropout=0.5)
    assert torch.equal(module(raw[0]), module(raw[0]))
    module.train()
    assert not torch.equal(module(raw[0]), module(raw[0]))


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
        ({"n_members": 0}, "n_members"),
        ({"n_members": True}, "n_members"),
        ({"n_landmarks": -1}, "n_landmarks"),
    ],
)
def test_bad_arguments_of_the_network_are_refused(arguments, name):
    with pytest.raises(ValueError, match=name):
        TabularMLP(**({"n_features": 3} | arguments))


@pytest.mark.parametrize("parameters", [{}, {"n_members": 1}, {"n_landmarks": 0}], ids=str)
def test_embedded_features_are_the_inputs_of_the_last_layers(raw, parameters):
    X, _ = raw
    module = fitted(raw, **parameters)
    with torch.no_grad():
        features, logits = module.embed(X), module(X).reshape(len(X), -1)
    last = module.layers[-1]
    if module.n_members == 1:
        torch.testing.assert_close(last(features), logits)
        return
    n_perceptrons, width, _ = last.weight.shape
    for member in range(n_perceptrons):
        seen = features[:, member * width : (member + 1) * width]
        expected = seen @ last.weight[member] + last.bias[member]
        torch.testing.assert_close(logits[:, [member]], expected)
    if module.kernel_machine is not None:
        machine = module.kernel_machine
        rest = features[:, n_perceptrons * width :]
        torch.testing.assert_close(
            logits[:, -1], rest @ machine.weight + machine.bias, rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("n_members", [1, 8])
def test_an_empty_batch_has_no_logits(n_members):
    logits = TabularMLP(3, n_members=n_members).eval()(torch.empty(0, 3))
    assert logits.shape == ((0,) if n_members == 1 else (0, n_members))
