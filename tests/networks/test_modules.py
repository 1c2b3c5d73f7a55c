import copy

import numpy as np
import pytest
import torch
from torch import nn

from skdam import ResNet20, TabularMLP
from skdam.networks.defaults import default_module


@pytest.fixture
def raw():
    """Columns of very different scales, one of them constant, and targets."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)) * [1e-3, 1.0, 1e4, 0.0] + [0.0, -5.0, 1e5, 0.1]
    return torch.from_numpy(X.astype(np.float32)), torch.arange(300) % 10 == 0


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


def test_what_is_learnt_travels_with_the_state_dict(raw):
    module, other = fitted(raw), TabularMLP(4)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.eval()(raw[0]), module(raw[0]))


def test_one_far_outlier_leaves_the_bins_of_the_others():
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


def test_no_hidden_layer_is_a_linear_model():
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


def test_perceptrons_see_most_features_each_others():
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
def test_dropout_is_in_training_only(raw, n_members):
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
def test_arguments_are_checked(arguments, name):
    with pytest.raises(ValueError, match=name):
        TabularMLP(**({"n_features": 3} | arguments))


@pytest.mark.parametrize("parameters", [{}, {"n_members": 1}, {"n_landmarks": 0}], ids=str)
def test_embedded_features_are_what_the_last_layers_see(raw, parameters):
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


class TestResNet20:
    @pytest.fixture(autouse=True)
    def seeded(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield

    def test_it_has_twenty_layers_and_the_weights_of_its_paper(self):
        module = ResNet20(in_channels=3)
        layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        assert len(layers) == 20
        # 0.27 million in table 6 of the paper, for ten classes
        assert sum(p.numel() for p in module.parameters()) + 9 * 65 == pytest.approx(
            0.27e6, rel=5e-3
        )

    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (4, 33, 47), (2, 8, 8)])
    def test_images_of_any_size(self, shape):
        module = ResNet20(shape[0], width=2)
        assert module(torch.rand(5, *shape)).shape == (5,)
        assert module.embed(torch.rand(5, *shape)).shape == (5, 8)

    def test_stages_halve_the_image_and_double_the_channels(self):
        shapes = []
        module = ResNet20(3)
        for block in module.features[3:-2]:
            block.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape)))
        module(torch.rand(1, 3, 32, 32))
        stages = [(1, 16, 32, 32), (1, 32, 16, 16), (1, 64, 8, 8)]
        assert shapes == [stage for stage in stages for _ in range(3)]

    def test_a_block_without_residual_passes_its_input_on(self):
        block = ResNet20(3, width=4).features[6].eval()  # the first of the second stage
        nn.init.zeros_(block.residual[-1].weight)
        X = torch.rand(2, 4, 10, 10)
        output = block(X)
        assert torch.equal(output[:, :4], X[:, :, ::2, ::2])
        assert not output[:, 4:].any()

    def test_channels_are_standardised(self):
        X = torch.rand(50, 3, 9, 7) * torch.tensor([1e-3, 100.0, 0.0]).view(3, 1, 1) + 5
        module = ResNet20(3)
        module.fit_statistics(X, None)
        Z = module.standardise(X)
        torch.testing.assert_close(Z[:, :2].mean((0, 2, 3)), torch.zeros(2), atol=1e-3, rtol=0)
        torch.testing.assert_close(
            Z[:, :2].std((0, 2, 3), correction=0), torch.ones(2), atol=1e-3, rtol=0
        )
        assert not module.standardise(X + 1)[:, 2].any()

    @pytest.mark.parametrize(
        ("augmentation", "flip"), [("crop-flip", True), ("crop", False), (None, None)]
    )
    def test_augmentation_is_for_training_alone(self, augmentation, flip):
        module = ResNet20(1, width=2, augmentation=augmentation)
        assert getattr(module.augment, "flip", None) is flip
        module.load_state_dict(ResNet20(1, width=2).state_dict())
        X = torch.rand(8, 1, 16, 16)
        varies = not torch.equal(module.augment(X), X)
        assert varies == (augmentation is not None)
        module.eval()
        assert torch.equal(module.augment(X), X)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"in_channels": 0}, "in_channels must be an int >= 1, got 0"),
            ({"width": 1.5}, r"width must be an int >= 1, got 1\.5"),
            ({"augmentation": "flip"}, r"augmentation must be one of \('crop', 'crop-flip'\)"),
        ],
    )
    def test_bad_parameters(self, parameters, message):
        with pytest.raises(ValueError, match=message):
            ResNet20(**{"in_channels": 1} | parameters)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((32, 32, 3), r"got \(n, 32, 32, 3\).*X\.transpose\(0, 3, 1, 2\).*module="),
        ((28, 28), r"got \(n, 28, 28\).*X\[:, None\]"),
        ((1, 3, 3), "at least 8 x 8 pixels"),
        ((1, 16, 16, 16), "For other shapes pass module="),
    ],
)
def test_shapes_without_a_default_network(shape, message):
    with pytest.raises(ValueError, match=message):
        default_module(shape)


@pytest.mark.parametrize("n_members", [1, 8])
def test_no_rows_have_no_logits(n_members):
    logits = TabularMLP(3, n_members=n_members).eval()(torch.empty(0, 3))
    assert logits.shape == ((0,) if n_members == 1 else (0, n_members))
