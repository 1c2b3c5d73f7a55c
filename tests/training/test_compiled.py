"""Compiled gradients."""

import pickle
import shutil
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from torch import nn

from skdam import CompositionalAUCClassifier, CompositionalAUCNet
from skdam.networks.dropout import Dropout

needs_compiler = pytest.mark.skipif(
    not shutil.which("g++") or not hasattr(torch._dynamo.config, "trace_autograd_ops"),
    reason="needs g++ and a torch that compiles gradients",
)
PLAIN = {"n_members": 1, "module__encoding": None, "module__dropout": 0.0}


@pytest.fixture(scope="module")
def data():
    X, y = load_breast_cancer(return_X_y=True)
    return X[:200].astype(np.float32), y[:200]


@pytest.fixture(autouse=True)
def _fresh_compiler():
    yield
    torch.compiler.reset()


def fitted(data, **parameters):
    clf = CompositionalAUCClassifier(max_epochs=3, random_state=0, **parameters)
    return clf.fit(*data)


@needs_compiler
@pytest.mark.parametrize(
    "parameters",
    [
        PLAIN,
        PLAIN | {"variant": "lookahead"},
        {"module__dropout": 0.3, "cross_fit": False},
        PLAIN | {"strategy": "two-stage", "inner_loss": "focal", "criterion__version": "v1"},
    ],
)
def test_the_compiled_model_is_the_same(data, parameters):
    scores = [
        fitted(data, compile=compiled, **parameters).decision_function(data[0])
        for compiled in (False, True)
    ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-3, atol=1e-4)


class Normalised(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(30, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))


@needs_compiler
def test_cross_fitted_members_are_not_compiled_and_a_warning_says_so(data):
    with pytest.warns(RuntimeWarning, match="compile=True has no effect.*use cross_fit=False"):
        clf = fitted(data, compile=True)
    np.testing.assert_array_equal(
        clf.decision_function(data[0]), fitted(data).decision_function(data[0])
    )


@needs_compiler
@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
def test_running_statistics_are_those_of_the_model_that_is_not_compiled(data, variant):
    X, y = data[0] / data[0].max(0), data[1]
    states = [
        fitted((X, y), module=Normalised, variant=variant, compile=c).net_.module_.state_dict()
        for c in (False, True)
    ]
    assert (states[0]["1.running_mean"] != 0).all()
    torch.testing.assert_close(states[1], states[0], rtol=1e-3, atol=1e-4)


@needs_compiler
def test_many_nets_are_compiled_in_one_process(data):
    X, y = data[0], data[1].astype(np.float32)
    for seed in range(12):  # torch gives up on a function that it has compiled 8 times
        net = CompositionalAUCNet(nn.Linear(X.shape[1], 1), verbose=0, max_epochs=1, compile=True)
        net.set_params(random_state=seed).fit(X / X.max(0), y)
        assert net.gradients_.name == "compiled"


@needs_compiler
def test_same_seed_same_compiled_model_with_dropout(data):
    scores = [fitted(data, compile=True, n_members=1).decision_function(data[0]) for _ in range(2)]
    np.testing.assert_array_equal(*scores)


class Uncompilable(nn.Linear):
    def forward(self, X):
        if X.sum().item() > 0:  # depends on the data
            return super().forward(X)
        return super().forward(-X)


def test_what_cannot_be_compiled_is_trained_without_and_says_so_once(data):
    X, y = data[0] / data[0].max(0), data[1]
    plain, compiled = (
        CompositionalAUCClassifier(
            Uncompilable,
            module__in_features=30,
            module__out_features=1,
            max_epochs=2,
            random_state=0,
            compile=compile_it,
        )
        for compile_it in (False, True)
    )
    plain.fit(X, y)
    with pytest.warns(RuntimeWarning, match="compile=True has no effect") as caught:
        compiled.fit(X, y)
    assert len([w for w in caught if "compile=True" in str(w.message)]) == 1
    np.testing.assert_array_equal(compiled.decision_function(X), plain.decision_function(X))


def test_the_exact_hypergradient_is_not_compiled(data):
    clf = CompositionalAUCClassifier(variant="lookahead", hypergradient="exact", compile=True)
    with pytest.raises(ValueError, match="compile=True needs hypergradient='first-order'"):
        clf.fit(*data)


@needs_compiler
def test_options_reach_the_compiler(data):
    with pytest.raises(ValueError, match="compile__backend='sorcery'"):
        fitted(data, compile=True, compile__backend="sorcery", **PLAIN)
    with pytest.raises(ValueError, match="compile__fullgraph is not a parameter"):
        fitted(data, compile=True, compile__fullgraph=False)


def perceptron():
    return nn.Sequential(nn.Linear(30, 6), nn.Tanh(), nn.Linear(6, 1))


def small_net(make_module=perceptron, **parameters):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = make_module()
    return CompositionalAUCNet(
        module, max_epochs=6, batch_size=32, random_state=0, verbose=0, **parameters
    )


class Slower(Callback):
    def on_epoch_begin(self, net, **kwargs):
        for group in net.optimizer_.param_groups:
            group["lr"] *= 0.8


def state_of(net):
    optimizer = net.optimizer_.state_dict()
    return {
        "module": net.module_.state_dict(),
        "criterion": net.criterion_.state_dict(),
        "states": optimizer["state"],
        "n_steps": optimizer["schedule"]["steps"],
        "rates": [group["lr"] for group in optimizer["param_groups"]],
    }


TRACED = {"compile": True, "compile__backend": "aot_eager"}


@needs_compiler
@pytest.mark.parametrize(
    "parameters",
    [
        {"optimizer__inner_steps": 3, "optimizer__inner_lr": 0.02},
        {"optimizer__epoch_decay": 0.0, "optimizer__weight_decay": 0.0},
        {"optimizer__clip_value": float("inf"), "lr": 1.0},
        {"strategy": "cross-entropy", "optimizer__betas": (0.5, 0.3)},
        {"strategy": "two-stage", "criterion__inner_loss": "focal"},
        {"callbacks": [Slower()]},
        {"callbacks": [LRScheduler("StepLR", step_size=1, step_every="batch")]},
        {"optimizer__adaptive": True, "lr": 0.01},
        {"criterion__saddle": "batch", "optimizer__averaging": 0.9},
        {"optimizer__param_groups": [("0.*", {"lr": 0.01})]},
    ],
    ids=str,
)
def test_the_whole_state_is_that_of_the_training_without_a_compiler(data, parameters):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)
    plain = small_net(**parameters).fit(X, y)
    compiled = small_net(**parameters, **TRACED).fit(X, y)
    assert compiled.gradients_.name == "compiled"
    torch.testing.assert_close(state_of(compiled), state_of(plain), rtol=1e-4, atol=1e-5)


@needs_compiler
def test_hooks_of_the_optimizer_are_called(data):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)
    net = small_net(**TRACED).initialize()
    calls = []
    net.optimizer_.register_step_post_hook(lambda *_: calls.append(1))
    net.partial_fit(X, y)
    assert len(calls) == sum(len(row["batches"]) for row in net.history)


class Listed(nn.Module):
    """Knows a weight also by a list, where nothing can be put in its place."""

    def __init__(self, instead):
        super().__init__()
        self.first, self.last = nn.Linear(30, 5), nn.Linear(5, 1)
        self.weights = [self.first.weight]
        self.instead = instead

    def forward(self, X):
        Y = nn.functional.linear(X, self.weights[0], self.first.bias)
        return self.last(Y if self.instead else Y + self.first(X).relu())


class Skipping(nn.Module):
    """Leaves out a layer from the third epoch on."""

    def __init__(self):
        super().__init__()
        self.layer, self.skip = nn.Linear(30, 1), nn.Linear(30, 1)
        self.is_whole = True

    def forward(self, X):
        return self.layer(X) + self.skip(X) if self.is_whole else self.layer(X)


class LeaveOut(Callback):
    def on_epoch_begin(self, net, **kwargs):
        net.module_.is_whole = len(net.history) < 3


def hold_dual(net):
    net.criterion_.a.requires_grad_(False)
    net.criterion_.b.requires_grad_(False)
    net.optimizer_.param_groups[-1]["lr"] = 1e-3


def patch_step(net):
    step = net.optimizer_.step
    net.optimizer_.step = lambda: step()


def patch_train_step(net):
    train_step_single = net.train_step_single
    net.train_step_single = lambda batch: train_step_single(batch)


@needs_compiler
@pytest.mark.parametrize(
    ("module", "change", "callbacks"),
    [
        (lambda: Listed(instead=True), None, []),
        (lambda: Listed(instead=False), None, []),
        (Skipping, None, [LeaveOut()]),
        (perceptron, hold_dual, []),
        (perceptron, patch_step, []),
        (perceptron, patch_train_step, []),
    ],
)
def test_unusual_modules_and_changes_count_as_without_a_compiler(data, module, change, callbacks):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)
    nets = []
    for parameters in ({}, TRACED):
        net = small_net(module, optimizer__epoch_decay=0.1, callbacks=callbacks, **parameters)
        net.initialize()
        if change is not None:
            change(net)
        nets.append(net.partial_fit(X, y))
    torch.testing.assert_close(state_of(nets[1]), state_of(nets[0]), rtol=1e-4, atol=1e-5)


@needs_compiler
def test_an_inner_loss_may_depend_on_a_weight(data):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)
    states = []
    for parameters in ({}, TRACED):
        net = small_net(**parameters)
        weight = net.module[0].weight

        def penalised(logits, targets, weight=weight):
            return (logits - targets).square() + 0.1 * weight.square().sum()

        net.set_params(criterion__inner_loss=penalised)
        states.append(state_of(net.fit(X, y)))
    torch.testing.assert_close(*states, rtol=1e-4, atol=1e-5)


@needs_compiler
def test_a_scheduler_hears_of_the_steps_of_a_net_that_was_pickled(data):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)
    net = small_net(callbacks=[LRScheduler("StepLR", step_size=1)], **TRACED).fit(X, y)
    pickle.loads(pickle.dumps(net)).partial_fit(X, y)  # torch would warn


@needs_compiler
def test_a_compiled_training_goes_on(data):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)
    nets = []
    for parameters in ({}, TRACED):
        net = small_net(**parameters).initialize()
        net.partial_fit(X, y, epochs=2)
        net = pickle.loads(pickle.dumps(net))
        nets.append(net.partial_fit(X, y, epochs=2))
    torch.testing.assert_close(*map(state_of, nets), rtol=1e-4, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_dropout_draws_as_it_does_when_not_compiled(p):
    layers = nn.Sequential(Dropout(p), Dropout(p))  # of one shape, and not the same
    X = torch.randn(20, 30)
    outputs = []
    for function in (layers, torch.compile(layers, backend="aot_eager", fullgraph=True)):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            outputs.append(function(X))
    torch.testing.assert_close(*outputs)
    n_kept = (1 - p) ** 2 * X.numel()
    assert abs((outputs[1] != 0).sum() - n_kept) <= 5 * n_kept**0.5


class DropoutSchedule(Callback):
    def on_epoch_begin(self, net, **kwargs):
        for layer in net.module_.modules():
            if isinstance(layer, Dropout):
                layer.p = 0.2 * len(net.history)


@needs_compiler
def test_what_a_callback_changes_is_compiled_again(data):
    parameters = {"n_members": 1, "callbacks": [DropoutSchedule()]}
    plain = fitted(data, **parameters).decision_function(data[0])
    clf = fitted(data, **parameters, **TRACED)
    assert clf.net_.gradients_.name == "compiled"
    scores = clf.decision_function(data[0])
    np.testing.assert_allclose(scores, plain, rtol=1e-3, atol=1e-4)
    unchanged = fitted(data, n_members=1).decision_function(data[0])
    assert not np.allclose(unchanged, plain, rtol=1e-3, atol=1e-4)


@needs_compiler
def test_hooks_of_parameters_are_called(data):
    class Frozen(nn.Linear):
        def __init__(self):
            super().__init__(30, 1)
            self.weight.register_hook(torch.zeros_like)

    X, y = data[0] / data[0].max(0), data[1]
    with pytest.warns(RuntimeWarning, match="no effect.*hooks"):
        clf = fitted((X, y), module=Frozen, compile=True, weight_decay=0.0, epoch_decay=0.0)
    weight = clf.net_.module_.weight.detach()
    torch.testing.assert_close(weight, fitted((X, y), module=Frozen, lr=1e-9).net_.module_.weight)


class Grow(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            net.module_.grow()
            net.optimizer_.add_param_group({"params": list(net.module_.late.parameters())})


class Growing(nn.Module):
    """Has a second layer from the second epoch on."""

    def __init__(self):
        super().__init__()
        self.layer, self.late = nn.Linear(30, 1), None

    def grow(self):
        self.late = nn.Linear(30, 1)
        nn.init.zeros_(self.late.weight)
        nn.init.zeros_(self.late.bias)

    def forward(self, X):
        return self.layer(X) if self.late is None else self.layer(X) + self.late(X).sin()


@needs_compiler
def test_parameters_that_join_later_are_trained(data):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)
    nets = []
    for parameters in ({}, TRACED):
        net = small_net(Growing, callbacks=[Grow()], **parameters)
        nets.append(net.fit(X, y))
    assert nets[1].gradients_.name == "compiled"
    assert (nets[1].module_.late.weight != 0).any()
    torch.testing.assert_close(*map(state_of, nets), rtol=1e-4, atol=1e-5)


class Register(Callback):
    """Registers a hook before the second batch."""

    def __init__(self, register):
        self.register = register

    def on_batch_begin(self, net, training=False, **kwargs):
        if training and len(net.history) == 1 and len(net.history[-1]["batches"]) == 2:
            self.register(net)


def on_parameter(net):
    net.module_[0].weight.register_hook(lambda gradient: 2 * gradient)


def on_module(net):
    net.module_[0].register_forward_hook(lambda module, inputs, output: 2 * output)


def on_criterion(net):
    net.criterion_.register_forward_hook(lambda module, inputs, output: 2 * output)


@needs_compiler
@pytest.mark.parametrize("register", [on_parameter, on_module, on_criterion])
def test_hooks_that_are_registered_in_mid_training_count(data, register):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)
    states = []
    for parameters in ({}, TRACED):
        net = small_net(callbacks=[Register(register)], **parameters)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "compile=True has no effect", RuntimeWarning)
            states.append(state_of(net.fit(X, y)))
    torch.testing.assert_close(*states, rtol=1e-4, atol=1e-5)


@needs_compiler
def test_outputs_of_half_precision_are_those_without_a_compiler(data):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)
    dtypes = []

    class Keep(Callback):
        def on_batch_end(self, net, training=False, y_pred=None, **kwargs):
            dtypes.append(y_pred.dtype)

    small_net(precision="bfloat16", callbacks=[Keep()], **TRACED).fit(X, y)
    assert set(dtypes) == {torch.float32}


class ScaledLinear(nn.Linear):
    def __init__(self):
        super().__init__(30, 1)

    def forward(self, X, factor=1.0):
        return factor * super().forward(X)


@needs_compiler
@pytest.mark.parametrize(
    ("as_X", "arguments", "reason"),
    [
        (lambda X: X, {"factor": 2.0}, "fit has the arguments factor"),
        (lambda X: {"X": X}, {}, "a batch is a dict, not a Tensor"),
    ],
)
def test_the_warning_says_what_cannot_be_compiled(data, as_X, arguments, reason):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)

    class Rows(torch.utils.data.Dataset):
        def __init__(self, X, y):
            self.X, self.y = X, y

        def __len__(self):
            return len(self.y)

        def __getitem__(self, index):
            return as_X(self.X[index]), self.y[index]

    net = small_net(ScaledLinear, dataset=Rows, **TRACED)
    with pytest.warns(RuntimeWarning, match=reason):
        net.fit(X, y, **arguments)
    assert net.gradients_.name == "autograd"


@needs_compiler
def test_an_error_of_the_module_is_raised_without_a_warning(data):
    X, y = data[0], data[1].astype(np.float32)

    class Broken(ScaledLinear):
        def forward(self, X):
            if self.training:
                raise RuntimeError("the module is broken")
            return super().forward(X)

    with pytest.raises(RuntimeError, match="the module is broken"):
        small_net(Broken, **TRACED).fit(X, y)


class Shifted(nn.Linear):
    """The gradient of its shift is the same for all elements."""

    def __init__(self):
        super().__init__(30, 1)
        self.shift = nn.Parameter(torch.zeros(3))

    def forward(self, X):
        return super().forward(X) + self.shift.sum()


@needs_compiler
def test_callbacks_may_clip_compiled_gradients(data):
    X, y = data[0] / data[0].max(0), data[1].astype(np.float32)
    clip = GradientNormClipping(0.01)
    states = [
        state_of(small_net(Shifted, callbacks=[clip], **parameters).fit(X, y))
        for parameters in ({}, TRACED)
    ]
    torch.testing.assert_close(*states, rtol=1e-4, atol=1e-5)
