import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import Dataset

from skdam import PDSCA, CompositionalAUCLoss, CompositionalAUCNet, TabularMLP
from skdam.networks.dropout import Dropout
from skdam.networks.members import MemberLinear
from skdam.training.chain import Chain, ChainedModule


def seeded(function):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return function()


def tied():
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Tanh(), nn.Linear(6, 1))


CHAINS = {
    "relu": lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1)),
    "relu in place": lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(True), nn.Linear(5, 1)),
    "tanh": lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)),
    "silu": lambda: nn.Sequential(nn.Linear(6, 5), nn.SiLU(True), nn.Linear(5, 1)),
    "gelu": lambda: nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 1)),
    "gelu, approximate": lambda: nn.Sequential(
        nn.Linear(6, 5), nn.GELU(approximate="tanh"), nn.Linear(5, 1)
    ),
    "dropout": lambda: nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.4), nn.Linear(5, 1)),
    "all dropped": lambda: nn.Sequential(nn.Linear(6, 5), nn.Dropout(1.0), nn.Linear(5, 1)),
    "own dropout": lambda: nn.Sequential(
        nn.Linear(6, 8), nn.Tanh(), Dropout(0.4), nn.Linear(8, 1), Dropout(0.1)
    ),
    "evaluation": lambda: nn.Sequential(nn.Linear(6, 5), Dropout(0.4), nn.Linear(5, 1)).eval(),
    "activations in a row": lambda: nn.Sequential(
        nn.Tanh(), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Tanh(), nn.SiLU(), nn.ReLU(),
        nn.Linear(5, 1), nn.Tanh(),
    ),
    "dropout first": lambda: nn.Sequential(nn.Dropout(0.3), nn.Linear(6, 1)),
    "linear alone": lambda: nn.Sequential(nn.Linear(6, 1, bias=False)),
    "linear after linear": lambda: nn.Sequential(nn.Linear(6, 3, bias=False), nn.Linear(3, 1)),
    "shared layer": tied,
}  # fmt: skip


@pytest.mark.parametrize("shape", [(7, 6), (4, 3, 6)], ids=str)
@pytest.mark.parametrize("name", CHAINS)
def test_gradients_of_a_chain_are_those_of_autograd(name, shape):
    layers = seeded(CHAINS[name])
    assert Chain.suits(layers)
    X = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    slopes = torch.randn((*shape[:-1], 1), generator=torch.Generator().manual_seed(2))
    expected = seeded(lambda: layers(X.clone()))
    expected.backward(slopes)
    gradients = [parameter.grad for parameter in layers.parameters()]
    layers.zero_grad()
    chain = Chain(layers)
    given = X.clone()
    output = seeded(lambda: chain(X))
    assert not output.requires_grad
    torch.testing.assert_close(X, given, rtol=0, atol=0)
    torch.testing.assert_close(output, expected.detach())
    chain.backward(slopes.clone(), {})
    torch.testing.assert_close([p.grad for p in layers.parameters()], gradients)
    # and what there is, is added to
    seeded(lambda: chain(X))
    chain.backward(slopes.clone(), {})
    doubled = [2 * gradient for gradient in gradients]
    torch.testing.assert_close([p.grad for p in layers.parameters()], doubled)


def test_gradients_of_members_are_those_of_autograd():
    layers = seeded(
        lambda: nn.Sequential(MemberLinear(3, 6, 5), nn.ReLU(), Dropout(0.3), MemberLinear(3, 5, 1))
    )
    X, slopes = torch.randn(3, 7, 6), torch.randn(3, 7, 1)
    seeded(lambda: layers(X)).backward(slopes)
    gradients = [parameter.grad for parameter in layers.parameters()]
    layers.zero_grad()
    chain = Chain(layers)
    seeded(lambda: chain(X))
    chain.backward(slopes, {})
    torch.testing.assert_close([p.grad for p in layers.parameters()], gradients)


def test_gradients_are_put_in_their_places():
    layers = seeded(CHAINS["relu"])
    chain = Chain(layers)
    X, slopes = torch.randn(7, 6), torch.randn(7, 1)
    chain(X)
    chain.backward(slopes, {})
    expected = [parameter.grad for parameter in layers.parameters()]
    layers.zero_grad()
    places = {id(p): torch.full_like(p, torch.nan) for p in layers.parameters()}
    chain(X)
    chain.backward(slopes, places)
    for parameter, gradient in zip(layers.parameters(), expected, strict=True):
        assert parameter.grad is places[id(parameter)]
        torch.testing.assert_close(parameter.grad, gradient)


class OtherLinear(nn.Linear):
    pass


def frozen(layers):
    layers[0].bias.requires_grad_(False)


def hook_of_parameter(layers):
    layers[0].weight.register_hook(lambda gradient: 2 * gradient)


def late_hook_of_parameter(layers):
    layers[0].weight.register_post_accumulate_grad_hook(lambda parameter: None)


def forward_hook(layers):
    layers[1].register_forward_hook(lambda layer, inputs, output: 2 * output)


def forward_pre_hook(layers):
    layers.register_forward_pre_hook(lambda layer, inputs: None)


def backward_hook(layers):
    layers[1].register_full_backward_hook(lambda layer, of_inputs, of_outputs: None)


def backward_pre_hook(layers):
    layers[1].register_full_backward_pre_hook(lambda layer, of_outputs: None)


def patched(layers):
    layers[1].forward = torch.sin


def weight_norm(layers):
    nn.utils.parametrizations.weight_norm(layers[0])


def pruned(layers):
    prune.l1_unstructured(layers[0], "weight", 2)


def normalised(layers):
    layers.append(nn.BatchNorm1d(1))


def of_another_class(layers):
    layers[0].__class__ = OtherLinear


def weight_of_no_parameter(layers):
    weight = layers[0].weight.detach().clone()
    del layers[0].weight
    layers[0].weight = weight


def without_linear(layers):
    del layers[2], layers[0]


CHANGES = [
    frozen, hook_of_parameter, late_hook_of_parameter, forward_hook, forward_pre_hook,
    backward_hook, backward_pre_hook, patched, weight_norm, pruned, normalised, of_another_class,
    weight_of_no_parameter, without_linear,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_more_than_a_chain_is_none(change):
    layers = seeded(CHAINS["relu"])
    assert Chain.suits(layers)
    assert ChainedModule.suits(layers)
    change(layers)
    assert not Chain.suits(layers)
    assert not ChainedModule.suits(layers)


@pytest.mark.parametrize(
    "register",
    [
        nn.modules.module.register_module_forward_hook,
        nn.modules.module.register_module_forward_pre_hook,
        nn.modules.module.register_module_full_backward_hook,
        nn.modules.module.register_module_full_backward_pre_hook,
    ],
)
def test_hooks_of_all_modules(register):
    layers = seeded(CHAINS["relu"])
    handle = register(lambda *_: None)
    try:
        assert not ChainedModule.suits(layers)
    finally:
        handle.remove()
    assert ChainedModule.suits(layers)


class Own(TabularMLP):
    pass


def learnt_encoding(module):
    module.encode.register_parameter("gain", nn.Parameter(torch.ones(())))


def hook_of_layers(module):
    module.layers.register_forward_hook(lambda *_: None)


def hook_of_module(module):
    module.register_forward_hook(lambda *_: None)


def other_class(module):
    module.__class__ = Own


@pytest.mark.parametrize(
    "change", [learnt_encoding, hook_of_layers, hook_of_module, other_class, None]
)
def test_a_tabular_network_that_does_more(change):
    module = TabularMLP(3, (4,))
    if change is None:
        assert ChainedModule.suits(module)
    else:
        change(module)
        assert not ChainedModule.suits(module)


class Watching(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


NETWORKS = {
    "one": {"n_members": 1, "encoding": None},
    "one, encoded": {"n_members": 1, "dropout": 0.2},
    "perceptrons": {"n_members": 3, "n_landmarks": 0, "activation": "gelu"},
    "default": {},
    "linear": {"hidden_layer_sizes": ()},
}


@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_model_is_that_of_autograd(toy, network, variant, monkeypatch):
    X, y = toy
    n_steps = []
    call = ChainedModule.__call__
    monkeypatch.setattr(
        ChainedModule, "__call__", lambda self, X: n_steps.append(1) or call(self, X)
    )
    nets = []
    for callbacks in ([], [Watching()]):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            module = TabularMLP(X.shape[1], **NETWORKS[network])
            module.fit_statistics(torch.from_numpy(X), torch.from_numpy(y))
            net = CompositionalAUCNet(
                module, optimizer__variant=variant, callbacks=callbacks, max_epochs=3,
                batch_size=32, random_state=0, verbose=0,
            )  # fmt: skip
            nets.append(net.fit(X, y))
    chained, watched = nets
    n_batches = len(chained.history[:, "batches", :, "train_loss"][0])
    assert len(n_steps) == 3 * n_batches * chained.optimizer_.phases_per_batch
    states = [net.module_.state_dict() | net.criterion_.state_dict() for net in nets]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert chained.history[:, "batches"] == watched.history[:, "batches"]
    for parameter, other in zip(
        chained.module_.parameters(), watched.module_.parameters(), strict=True
    ):
        torch.testing.assert_close(parameter.grad, other.grad)


@pytest.mark.parametrize("inner_loss", ["focal", lambda logits, targets: (logits - targets) ** 2])
def test_other_inner_losses(toy, inner_loss):
    X, y = toy
    states = []
    for callbacks in ([], [Watching()]):
        net = CompositionalAUCNet(
            seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))),
            criterion__inner_loss=inner_loss, callbacks=callbacks, max_epochs=3, batch_size=32,
            random_state=0, verbose=0,
        )  # fmt: skip
        states.append(net.fit(X, y).module_.state_dict())
    torch.testing.assert_close(*states)


class ListedExamples(Dataset):
    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], self.y[i].item()


class Remembering(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 3), nn.Linear(3, 1)

    def forward(self, X):
        self.hidden = self.first(X).relu()
        return self.last(self.hidden)


@pytest.mark.parametrize("kind", ["module", "chain"])
def test_an_inner_loss_that_uses_what_the_forward_pass_left(toy, kind):
    if kind == "module":
        module = seeded(Remembering)
    else:
        module = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)))
        module[2].register_forward_pre_hook(lambda layer, inputs: keep(inputs[0]))
    seen = []

    def keep(hidden):
        seen[:] = [hidden]

    def inner_loss(logits, targets):
        hidden = module.hidden if kind == "module" else seen[0]
        if hidden.requires_grad:
            hidden.register_hook(lambda gradient: n_gradients.append(1))
        return (logits - targets).square() + hidden.square().mean()

    n_gradients = []
    net = CompositionalAUCNet(module, max_epochs=1, batch_size=32, verbose=0).initialize()
    net.criterion_.inner_loss = inner_loss
    net.partial_fit(*toy)
    assert n_gradients


def test_a_chain_in_an_autocast_of_the_user(toy):
    nets = []
    for callbacks in ([], [Watching()]):
        net = CompositionalAUCNet(
            seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))), max_epochs=2,
            batch_size=32, random_state=0, verbose=0, callbacks=callbacks,
        )  # fmt: skip
        with torch.autocast("cpu", torch.bfloat16):
            nets.append(net.fit(*toy))
    torch.testing.assert_close(*(net.module_.state_dict() for net in nets))


def test_targets_of_a_loader_of_the_user(toy):
    def collate(items):
        X, y = zip(*items, strict=True)
        return torch.stack(X), np.array(y)

    X, y = map(torch.from_numpy, toy)
    losses = []
    for callbacks in ([], [Watching()]):
        net = CompositionalAUCNet(
            seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))), max_epochs=2,
            batch_size=32, random_state=0, verbose=0, callbacks=callbacks,
            iterator_train__collate_fn=collate, dataset=ListedExamples,
        )  # fmt: skip
        losses.append(net.fit(X, y).history[:, "train_loss"])
    assert losses[0] == losses[1]


def test_an_infer_of_the_user_is_called(toy):
    net = CompositionalAUCNet(
        nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)), max_epochs=1, batch_size=32, verbose=0
    ).initialize()
    calls = []
    infer = net.infer
    net.infer = lambda X, **params: calls.append(1) or infer(X, **params)
    net.partial_fit(*toy)
    assert len(calls) >= len(net.history[0, "batches"])


def test_arguments_of_fit_reach_the_module(toy):
    net = CompositionalAUCNet(
        nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)), max_epochs=1, batch_size=32, verbose=0
    )
    with pytest.raises(TypeError, match="temperature"):
        net.fit(*toy, temperature=2.0)


def test_places_of_gradients_change_no_step():
    """A gradient in its place is used as one elsewhere is, and left as it is."""
    optimizers = []
    for _ in range(2):
        network = seeded(CHAINS["relu"])
        loss = CompositionalAUCLoss()
        optimizers.append((network, PDSCA(network.parameters(), loss, clip_value=0.01)))
    generator = torch.Generator().manual_seed(3)
    X = torch.randn(8, 6, generator=generator)
    y = torch.arange(8) % 2
    used = 0
    for _ in range(6):
        for in_place, (network, optimizer) in enumerate(optimizers):
            optimizer.zero_grad()
            optimizer.loss.backward(network(X), y, optimizer.phase)
            places = optimizer.gradient_places if in_place else {}
            for parameter in optimizer.trained_parameters:
                if parameter.grad is not None and id(parameter) in places:
                    parameter.grad = places[id(parameter)].copy_(parameter.grad)
                    used += 1
            before = [p.grad.clone() for p in network.parameters()]
            optimizer.step()
            torch.testing.assert_close([p.grad for p in network.parameters()], before)
    assert used
    torch.testing.assert_close(*(network.state_dict() for network, _ in optimizers))
