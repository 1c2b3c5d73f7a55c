"""Every way to compute gradients, against a loop in plain PyTorch."""

import shutil
import warnings

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from skdam import CompositionalAUCLoss, CompositionalAUCNet
from skdam.training.gradients import Autograd

HAS_COMPILER = bool(shutil.which("g++")) and hasattr(torch._dynamo.config, "trace_autograd_ops")
EXECUTORS = {
    "autograd": {},
    "compiled": {"compile": True, "compile__backend": "aot_eager"},
}
STRATEGIES = [
    {},
    {"optimizer__variant": "lookahead"},
    {"strategy": "two-stage"},
    {"strategy": "auc"},
    {"strategy": "cross-entropy"},
    {"criterion__saddle": "batch"},
]


class Derived(CompositionalAUCNet):
    pass


class Plain(CompositionalAUCNet):
    """Computes gradients as a loop in plain PyTorch does."""

    def train_step_single(self, batch, **fit_params):
        X, y = batch
        loss = self.criterion_(self.module_(X), y.clone(), phase=self.optimizer_.phase)
        loss.backward()
        return {"loss": loss, "y_pred": None}


class Observer(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


def perceptron(change=None):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Linear(6, 1))
        if change is not None:
            change(module)
    return module


def with_hook(module):
    module[0].weight.register_hook(lambda gradient: 2 * gradient)


def with_frozen_layer(module):
    module[0].requires_grad_(False)


def with_tied_weights(module):
    module[1] = nn.Sequential(nn.Tanh(), nn.Linear(6, 6), nn.Tanh())
    module[1][1].weight = module[2].weight


def with_batch_norm(module):
    module[1] = nn.BatchNorm1d(6)


def leave(module):
    pass


# a change of the module, a kind of net, and parameters of it
ODDITIES = {
    "none": (leave, CompositionalAUCNet, {}),
    "hook": (with_hook, CompositionalAUCNet, {}),
    "frozen layer": (with_frozen_layer, CompositionalAUCNet, {}),
    "empty subclass": (leave, Derived, {}),
    "tied weights": (with_tied_weights, CompositionalAUCNet, {}),
    "batch norm": (with_batch_norm, CompositionalAUCNet, {}),
    "loader with workers": (leave, CompositionalAUCNet, {"iterator_train__num_workers": 1}),
    "callback on batches": (leave, CompositionalAUCNet, {"callbacks": [Observer()]}),
}


def fitted(kind, change, toy, **parameters):
    net = kind(
        perceptron(change), max_epochs=2, batch_size=50, random_state=0, verbose=0, **parameters
    )
    return net.fit(*toy)


def state_of(net):
    optimizer = net.optimizer_.state_dict()
    return {
        "module": net.module_.state_dict(),
        "criterion": net.criterion_.state_dict(),
        "optimizer": optimizer["state"],
        "losses": [{k: v for k, v in row.items() if "loss" in k} for row in net.history],
    }


@pytest.mark.parametrize("oddity", ODDITIES)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_model_is_that_of_plain_pytorch(toy, executor, strategy, oddity):
    if executor == "compiled" and not HAS_COMPILER:
        pytest.skip("needs g++ and a torch that compiles gradients")
    change, kind, parameters = ODDITIES[oddity]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = fitted(kind, change, toy, **strategy, **parameters, **EXECUTORS[executor])
    expected = fitted(Plain, change, toy, callbacks=[Observer()], **strategy)
    has_no_effect = executor == "compiled" and oddity == "hook"
    assert net.gradients_.name == ("autograd" if has_no_effect else executor)
    messages = [str(w.message) for w in caught if "compile=True" in str(w.message)]
    assert len(messages) == has_no_effect
    assert all("parameters have hooks" in message for message in messages)
    exact = executor == "autograd"
    tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(state_of(net), state_of(expected), **tolerance)
    torch.compiler.reset()


def test_autograd_adds_to_the_gradients():
    module, criterion = perceptron(), CompositionalAUCLoss()
    gradients = Autograd(module, lambda logits, y, X, phase: criterion(logits, y, phase))
    X, y = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2
    loss, logits = gradients(X, y, "outer")
    once = [parameter.grad.clone() for parameter in module.parameters()]
    assert not loss.requires_grad
    torch.testing.assert_close(loss, criterion(module(X), y, "outer").detach())
    torch.testing.assert_close(logits, module(X))
    gradients(X, y, "outer")
    for parameter, gradient in zip(module.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient)


@pytest.mark.skipif(not HAS_COMPILER, reason="needs g++ and a torch that compiles gradients")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda net: None, None),
        (lambda net: with_hook(net.module_), "hooks"),
        (lambda net: setattr(net, "get_loss", lambda *args, **kwargs: None), "get_loss"),
        (lambda net: setattr(net, "infer", lambda X: None), "infer"),
    ],
)
def test_why_gradients_are_not_compiled(change, reason):
    from skdam.training.compiled import why_not

    net = CompositionalAUCNet(perceptron(), verbose=0).initialize()
    change(net)
    if reason is None:
        assert why_not(net) is None
    else:
        assert reason in why_not(net)


def test_arguments_of_fit_reach_the_module(toy):
    class Scaled(nn.Linear):
        def forward(self, X, factor=1.0):
            return factor * super().forward(X)

    fits = []
    for module, arguments in ((Scaled(4, 1), {"factor": 0.0}), (Scaled(4, 1), {})):
        net = CompositionalAUCNet(
            module, optimizer__weight_decay=0.0, max_epochs=1, batch_size=50, verbose=0
        )
        start = module.weight.detach().clone()
        net.fit(*toy, **arguments)
        fits.append((net.module_.weight.detach() - start).abs().max().item())
    assert fits[0] == 0
    assert fits[1] > 0


def test_an_unknown_argument_of_fit_is_refused(toy):
    net = CompositionalAUCNet(nn.Linear(4, 1), max_epochs=1, batch_size=32, verbose=0)
    with pytest.raises(TypeError, match="temperature"):
        net.fit(*toy, temperature=2.0)


def test_an_inner_loss_sees_what_the_forward_pass_left(toy):
    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 3), nn.Linear(3, 1)

        def forward(self, X):
            self.hidden = self.first(X).relu()
            return self.last(self.hidden)

    module = Remembering()
    n_gradients = []

    def inner_loss(logits, targets):
        if module.hidden.requires_grad:
            module.hidden.register_hook(lambda gradient: n_gradients.append(1))
        return (logits - targets).square() + module.hidden.square().mean()

    net = CompositionalAUCNet(
        module, criterion__inner_loss=inner_loss, max_epochs=1, batch_size=32, verbose=0
    )
    net.fit(*toy)
    assert len(n_gradients) == -(-len(net.history[0, "batches"]) // 2)


def test_an_autocast_of_the_user_counts(toy):
    nets = []
    for kind in (CompositionalAUCNet, Plain):
        with torch.autocast("cpu", torch.bfloat16):
            nets.append(fitted(kind, leave, toy))
    torch.testing.assert_close(*map(state_of, nets), rtol=0, atol=0)
    full = fitted(CompositionalAUCNet, leave, toy)
    assert not torch.equal(nets[0].module_[0].weight, full.module_[0].weight)


def test_targets_may_be_arrays(toy):
    def collate(items):
        X, y = zip(*items, strict=True)
        return torch.stack(X), np.array(y)

    class Listed(torch.utils.data.Dataset):
        def __init__(self, X, y):
            self.X, self.y = X, y

        def __len__(self):
            return len(self.X)

        def __getitem__(self, i):
            return self.X[i], self.y[i].item()

    X, y = map(torch.from_numpy, toy)
    nets = [
        fitted(CompositionalAUCNet, leave, (X, y), **parameters)
        for parameters in ({}, {"iterator_train__collate_fn": collate, "dataset": Listed})
    ]
    torch.testing.assert_close(*map(state_of, nets), rtol=0, atol=0)
