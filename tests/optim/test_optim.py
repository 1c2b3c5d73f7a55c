import copy
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import ReferencePDSCA
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from skdam import PDSCA, CompositionalAUCLoss, StratifiedBatchSampler

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "pdsca_trajectories.json").read_text())


def take_step(network, loss, optimizer, X, y):
    """One phase; returns the loss before it."""
    optimizer.zero_grad()
    value = loss(network(X), y, phase=optimizer.phase)
    value.backward()
    if getattr(optimizer, "hypergradient", None) == "exact" and optimizer.phase == "outer":
        optimizer.step(inner_loss=lambda: loss(network(X), y, phase="inner"))
    else:
        optimizer.step()
    return value.item()


def dual_state(loss):
    return [loss.a.detach(), loss.b.detach(), loss.alpha]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=range(len(GOLDEN["cases"])))
def test_golden_trajectories(case):
    h = case["hp"]
    network = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), case["init"], strict=True):
            parameter.copy_(torch.tensor(value))
    loss = CompositionalAUCLoss(h["margin"], version=case["version"])
    optimizer = PDSCA(
        network.parameters(),
        loss,
        lr=h["lr"],
        inner_lr=h["inner_lr"],
        betas=(h["beta0"], h["beta1"]),
        weight_decay=h["weight_decay"],
        epoch_decay=h["epoch_decay"],
        clip_value=h["clip_value"],
        inner_steps=case["inner_steps"],
    )
    compared = 0
    for t, (X, y) in enumerate(zip(case["X"], case["y"], strict=True)):
        value = take_step(network, loss, optimizer, torch.tensor(X), torch.tensor(y))
        assert value == pytest.approx(case["losses"][t], abs=1e-5)
        if snapshot := case["snapshots"].get(str(t + 1)):
            for parameter, expected in zip(network.parameters(), snapshot["params"], strict=True):
                torch.testing.assert_close(
                    parameter.detach(), torch.tensor(expected), atol=1e-5, rtol=0
                )
            expected = [torch.tensor(snapshot[name]) for name in ("a", "b", "alpha")]
            torch.testing.assert_close(dual_state(loss), expected, atol=1e-5, rtol=0)
            compared += 1
    assert compared == len(case["snapshots"]) == 5


def copy_with(network, kind, options):
    """A copy of the network, with a loss and an optimizer of its own."""
    module, loss = copy.deepcopy(network), CompositionalAUCLoss(0.9).double()
    return module, loss, kind(module.parameters(), loss, **options)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(
    ("variant", "inner_steps"),
    [("alternating", 0), ("alternating", 1), ("alternating", 3), ("lookahead", 1)],
)
def test_agrees_with_the_readable_twin(network, batch, variant, inner_steps, adaptive):
    options = {
        "lr": 0.02 if adaptive else 0.3,
        "inner_lr": 0.03 if adaptive else 0.2,
        "betas": (0.8, 0.7),
        "weight_decay": 0.02,
        "epoch_decay": 0.05,
        "clip_value": 0.05,
        "variant": variant,
        "inner_steps": inner_steps,
        "adaptive": adaptive,
    }
    X, y = batch
    sides = [copy_with(network, kind, options) for kind in (PDSCA, ReferencePDSCA)]
    for t in range(100):
        if t in (40, 70):
            for *_, optimizer in sides:
                optimizer.restart_stage(0.3)
        rows = torch.arange(t, t + 16) % len(X)
        for module, loss, optimizer in sides:
            module.zero_grad()
            loss.zero_grad()
            loss(module(X[rows]), y[rows], phase=optimizer.phase).backward()
            optimizer.step()
        ours, twin = ([*m.parameters(), *dual_state(loss)] for m, loss, _ in sides)
        torch.testing.assert_close(ours, twin, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("clip_value", [0.02, float("inf")])
def test_adaptive_steps_are_those_of_adamw(network, batch, clip_value):
    X, y = batch
    plain, loss = copy.deepcopy(network), CompositionalAUCLoss().double()
    optimizer = PDSCA(
        network.parameters(), loss, lr=0.03, inner_lr=0.01, betas=(1, 0.1), weight_decay=0.2,
        epoch_decay=0, clip_value=clip_value, adaptive=True, inner_steps=2, eps=1e-6,
    )  # fmt: skip
    dual = [p.detach().clone().requires_grad_() for p in (loss.a, loss.b)]
    options = {"betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.2}
    weights = torch.optim.AdamW(plain.parameters(), **options)
    others = torch.optim.AdamW(dual, lr=0.03, **options)
    for t in range(12):
        outer = t % 4 > 1
        weights.param_groups[0]["lr"] = 0.03 if outer else 0.01
        duals = {"outer.a": dual[0], "outer.b": dual[1], "outer.alpha": loss.alpha.clone()}
        arguments = (plain(X), y, "outer" if outer else "inner")
        weights.zero_grad()
        others.zero_grad()
        torch.func.functional_call(loss, duals, arguments).backward()
        for one in (weights, others) if outer else (weights,):
            torch.nn.utils.clip_grad_value_(one.param_groups[0]["params"], clip_value)
            one.step()
        take_step(network, loss, optimizer, X, y)
        torch.testing.assert_close(flat(network.parameters()), flat(plain.parameters()))
        torch.testing.assert_close(dual_state(loss)[:2], [p.detach() for p in dual])


@pytest.mark.parametrize("parts", ["gradients", "parameters"])
def test_adaptive_steps_of_tensors_that_lie_across_memory(parts):
    """A fused kernel reads and writes memory in the order in which it lies."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(5, 3, 4, generator=generator, dtype=torch.float64)

    def across(tensor):
        return tensor.t().contiguous().t()

    ends = []
    for lay in (lambda tensor: tensor, across):
        parameter = torch.nn.Parameter(values[0].clone())
        if parts == "parameters":
            parameter.data = lay(parameter.data)
        loss = CompositionalAUCLoss().double()
        optimizer = PDSCA([parameter], loss, lr=0.1, clip_value=float("inf"), adaptive=True)
        for gradient in values[1:]:
            parameter.grad = lay(gradient) if parts == "gradients" else gradient.clone()
            optimizer.step()
        ends.append(parameter.detach().contiguous())
    torch.testing.assert_close(*ends, atol=1e-14, rtol=0)


def test_the_count_of_adaptive_steps_keeps_its_digits():
    network, loss = torch.nn.Linear(2, 1).bfloat16(), CompositionalAUCLoss()
    optimizer = PDSCA(network.parameters(), loss, adaptive=True)
    for _ in range(301):  # more than eight bits can count
        network.weight.grad = torch.ones_like(network.weight)
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.state[network.weight]["step"] == 301


def test_inner_points_that_are_not_averaged_take_no_memory(network, batch):
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(network.parameters(), loss, betas=(1, 0.5))
    for _ in range(2):
        take_step(network, loss, optimizer, *batch)
    assert not any("inner_point" in state for state in optimizer.state.values())


class Branches(torch.nn.Module):
    """Of three linear maps, each call takes the first and some of the others."""

    def __init__(self):
        super().__init__()
        self.maps = torch.nn.ModuleList(torch.nn.Linear(5, 1) for _ in range(3)).double()
        self.taken = (0,)

    def forward(self, X):
        return sum(self.maps[k](X) for k in self.taken)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(("variant", "inner_steps"), [("alternating", 2), ("lookahead", 1)])
def test_parameters_without_a_gradient_in_some_steps(batch, variant, inner_steps, adaptive):
    options = {
        "lr": 0.05, "inner_lr": 0.04, "betas": (0.6, 0.7), "weight_decay": 0.02,
        "epoch_decay": 0.05, "clip_value": 0.5, "variant": variant, "inner_steps": inner_steps,
        "adaptive": adaptive,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = Branches()
    X, y = batch
    sides = [copy_with(network, kind, options) for kind in (PDSCA, ReferencePDSCA)]
    for t in range(60):
        for module, loss, optimizer in sides:
            if t == 30:
                optimizer.restart_stage(0.5)
            module.taken = [(0, 1), (0,), (0, 2), (0, 1, 2), (0,)][t % 5]
            module.zero_grad()
            loss.zero_grad()
            loss(module(X), y, phase=optimizer.phase).backward()
            optimizer.step()
        ours, twin = ([*m.parameters(), *dual_state(loss)] for m, loss, _ in sides)
        torch.testing.assert_close(ours, twin, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("inner", [(0, 1), (0,)])
@pytest.mark.parametrize("outer", [(0, 1), (0,), (1,)])
def test_exact_step_with_parameters_that_only_one_loss_reaches(batch, inner, outer):
    X, y = batch
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = Branches()
    loss, optimizer = lookahead(network)
    start = flat(network.parameters())

    def take(phase):
        network.taken = inner if phase == "inner" else outer

    _, _, objective = composed(network, loss, X, y, 0.5, before=take)
    expected = torch.func.grad(objective)(start)
    for taken in (inner, outer):
        network.taken = taken
        optimizer.zero_grad()
        loss(network(X), y, phase=optimizer.phase).backward()
        if optimizer.phase == "inner":
            optimizer.step()
        else:
            network.taken = inner
            optimizer.step(inner_loss=lambda: loss(network(X), y, phase="inner"))
    torch.testing.assert_close(flat(network.parameters()), start - expected.detach())


@pytest.mark.parametrize("lr", [0.1, 0.9])
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_outer_phase_converges_to_the_saddle_point_for_fixed_weights(network, batch, margin, lr):
    X, y = batch
    scores = torch.sigmoid(network(X)).squeeze(1).detach()
    a, b = scores[y == 1].mean(), scores[y == 0].mean()
    alpha = (margin + b - a).clamp(min=0)
    loss = CompositionalAUCLoss(margin).double()
    optimizer = PDSCA(
        [torch.nn.Parameter(torch.zeros(()))],
        loss,
        lr=lr,
        inner_steps=0,
        weight_decay=0,
        epoch_decay=0,
    )
    for _ in range(300):
        take_step(network, loss, optimizer, X, y)
    torch.testing.assert_close(dual_state(loss), [a, b, alpha], atol=1e-3, rtol=0)


def lookahead(network, **options):
    loss = CompositionalAUCLoss().double()
    with torch.no_grad():
        loss.a.fill_(0.7)
        loss.b.fill_(0.2)
        loss.alpha.fill_(0.4)
    defaults = {
        "lr": 1.0, "inner_lr": 0.5, "betas": (1.0, 1.0), "weight_decay": 0.0,
        "epoch_decay": 0.0, "clip_value": float("inf"), "variant": "lookahead",
        "hypergradient": "exact",
    }  # fmt: skip
    return loss, PDSCA(network.parameters(), loss, **(defaults | options))


def flat(tensors):
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def composed(network, loss, X, y, inner_lr, clip_value=float("inf"), before=lambda phase: None):
    """F(w - inner_lr * clip(grad L(w))) as a function of the weights, in one vector."""
    names = [name for name, _ in network.named_parameters()]
    shapes = [p.shape for p in network.parameters()]

    def unflatten(vector):
        parts = vector.split([shape.numel() for shape in shapes])
        return {n: p.reshape(s) for n, p, s in zip(names, parts, shapes, strict=True)}

    def evaluate(vector, phase):
        before(phase)
        logits = torch.func.functional_call(network, unflatten(vector), (X,))
        return loss(logits, y, phase=phase)

    def inner(vector):
        return evaluate(vector, "inner")

    def outer(vector):
        return evaluate(vector, "outer")

    def objective(vector):
        slope = torch.func.grad(inner)(vector).clamp(-clip_value, clip_value)
        return outer(vector - inner_lr * slope)

    return inner, outer, objective


@pytest.mark.parametrize("clip_value", [float("inf"), 0.02])
def test_exact_step_is_the_central_difference_of_the_composed_objective(network, batch, clip_value):
    X, y = batch
    loss, optimizer = lookahead(network, clip_value=clip_value)
    start = flat(network.parameters())
    _, _, objective = composed(network, loss, X, y, 0.5, clip_value)
    step = 1e-5
    units = step * torch.eye(len(start), dtype=torch.float64)
    expected = torch.stack(
        [(objective(start + e) - objective(start - e)) / (2 * step) for e in units]
    )
    for _ in range(2):
        take_step(network, loss, optimizer, X, y)
    gradient = flat(p.grad for p in network.parameters())
    torch.testing.assert_close(gradient, expected.detach(), atol=1e-6, rtol=0)
    if clip_value == float("inf"):
        torch.testing.assert_close(flat(network.parameters()), start - gradient)


def test_exact_step_is_the_full_hessian_applied(network, batch):
    X, y = batch
    loss, optimizer = lookahead(network)
    start = flat(network.parameters())
    inner, outer, _ = composed(network, loss, X, y, 0.5)
    hessian = torch.autograd.functional.hessian(inner, start)
    at_u = torch.func.grad(outer)(start - 0.5 * torch.func.grad(inner)(start))
    expected = at_u - 0.5 * hessian @ at_u
    for _ in range(2):
        take_step(network, loss, optimizer, X, y)
    torch.testing.assert_close(flat(network.parameters()), start - expected.detach())
    assert (expected - at_u).abs().max() > 1e-3  # the Hessian matters here


def test_exact_step_with_rates_by_group(network, batch):
    X, y = batch
    loss, _ = lookahead(network)
    groups = [
        {"params": network[0].parameters(), "inner_lr": 0.5},
        {"params": network[2].parameters(), "inner_lr": 0.1},
    ]
    optimizer = PDSCA(
        groups, loss, lr=1.0, betas=(1, 1), weight_decay=0, epoch_decay=0,
        clip_value=float("inf"), variant="lookahead", hypergradient="exact",
    )  # fmt: skip
    start = flat(network.parameters())
    rates = torch.cat([torch.full((24,), 0.5), torch.full((5,), 0.1)]).double()
    _, _, objective = composed(network, loss, X, y, rates)
    expected = torch.func.grad(objective)(start)
    for _ in range(2):
        take_step(network, loss, optimizer, X, y)
    torch.testing.assert_close(flat(network.parameters()), start - expected.detach())


def test_exact_step_needs_the_inner_loss(network, batch):
    X, y = batch
    loss, optimizer = lookahead(network)
    take_step(network, loss, optimizer, X, y)
    with pytest.raises(ValueError, match=r"needs step\(inner_loss=...\)"):
        optimizer.step()


def test_lookahead_predicts_with_the_inner_point(network, batch):
    X, y = batch
    loss, optimizer = lookahead(network, hypergradient="first-order", betas=(0.5, 0.9))
    points = []
    for _ in range(6):
        take_step(network, loss, optimizer, X, y)
        if optimizer.phase == "outer":
            points.append(flat(network.parameters()))
    primal = flat(network.parameters())
    optimizer.eval()
    torch.testing.assert_close(flat(network.parameters()), points[-1], atol=0, rtol=0)
    optimizer.eval()  # again: no change
    torch.testing.assert_close(flat(network.parameters()), points[-1], atol=0, rtol=0)
    with pytest.raises(RuntimeError, match="eval mode"):
        take_step(network, loss, optimizer, X, y)
    optimizer.train()
    torch.testing.assert_close(flat(network.parameters()), primal, atol=0, rtol=0)
    assert not torch.equal(primal, points[-1])


def test_parameter_groups_have_rates_of_their_own_and_all_decay(network, batch):
    X, y = batch
    loss = CompositionalAUCLoss().double()
    groups = [
        {"params": network[0].parameters(), "lr": 0.2, "inner_lr": 0.05, "weight_decay": 0.1},
        {"params": network[2].parameters()},
    ]
    optimizer = PDSCA(groups, loss, lr=0.5)
    optimizer.restart_stage(0.1)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.02, 0.05, 0.05])
    assert [g["inner_lr"] for g in optimizer.param_groups] == [pytest.approx(0.005), None, None]
    before = network[0].weight.detach().clone()
    optimizer.zero_grad()
    loss(network(X), y, phase="inner").backward()
    gradient = network[0].weight.grad.clone()
    optimizer.step()
    torch.testing.assert_close(
        network[0].weight.detach(), before - 0.005 * (gradient + 0.1 * before)
    )


def test_named_parameters_are_accepted(network, batch):
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(network.named_parameters(), loss)
    take_step(network, loss, optimizer, *batch)
    assert optimizer.phase == "outer"


def test_gradients_are_cleared_or_set_to_zero(network, batch):
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(network.parameters(), loss)
    take_step(network, loss, optimizer, *batch)
    optimizer.zero_grad(set_to_none=False)
    assert not flat(p.grad for p in network.parameters()).any()
    optimizer.zero_grad()
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(
    "register",
    [
        lambda optimizer, hook: optimizer.register_step_pre_hook(hook),
        lambda optimizer, hook: optimizer.register_step_post_hook(hook),
        lambda _, hook: register_optimizer_step_pre_hook(hook),
        lambda _, hook: register_optimizer_step_post_hook(hook),
    ],
    ids=["pre", "post", "global pre", "global post"],
)
def test_hooks_of_steps_are_called(network, batch, register):
    loss = CompositionalAUCLoss().double()
    optimizer, calls = PDSCA(network.parameters(), loss), []
    handle = register(optimizer, lambda *_: calls.append(1))
    try:
        take_step(network, loss, optimizer, *batch)
    finally:
        handle.remove()
    take_step(network, loss, optimizer, *batch)
    assert len(calls) == 1


def test_the_profiler_shows_steps(network, batch):
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(network.parameters(), loss)
    with torch.autograd.profiler.profile() as profile:
        take_step(network, loss, optimizer, *batch)
    assert "Optimizer.step#PDSCA.step" in {event.key for event in profile.key_averages()}


def test_a_closure_may_evaluate_the_loss(network, batch):
    X, y = batch
    twin = copy.deepcopy(network)
    values = []
    for module, with_closure in ((network, True), (twin, False)):
        loss = CompositionalAUCLoss().double()
        optimizer = PDSCA(module.parameters(), loss)

        def closure(module=module, loss=loss, optimizer=optimizer):
            optimizer.zero_grad()
            value = loss(module(X), y, phase=optimizer.phase)
            value.backward()
            return value

        for _ in range(3):
            if with_closure:
                values.append(optimizer.step(closure).item())
            else:
                closure()
                optimizer.step()
    torch.testing.assert_close(flat(network.parameters()), flat(twin.parameters()))
    assert len(set(values)) == 3


def test_gradients_stay_as_they_were_unless_exact(network, batch):
    X, y = batch
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(network.parameters(), loss, clip_value=1e-3, weight_decay=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        loss(network(X), y, phase=optimizer.phase).backward()
        before = flat(p.grad for p in network.parameters())
        optimizer.step()
        torch.testing.assert_close(flat(p.grad for p in network.parameters()), before)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("copier", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_and_pickles_go_on(network, batch, copier, adaptive):
    X, y = batch
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(network.parameters(), loss, adaptive=adaptive)
    for _ in range(3):
        take_step(network, loss, optimizer, X, y)
    sides = [(network, loss, optimizer), copier((network, loss, optimizer))]
    for side in sides:
        for _ in range(3):
            take_step(*side, X, y)
    ours, theirs = (flat(side[0].parameters()) for side in sides)
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    assert sides[1][2].loss is sides[1][1]


CONTINUE = """
import sys, torch
torch.set_num_threads(1)  # as here: sums over threads round in another order
sys.path[:0] = sys.argv[2:]
from test_optim import make_training, run
folder = sys.argv[1]
saved = torch.load(f"{folder}/saved.pt", weights_only=True)
parts = make_training(seed=99, **saved["options"])
for part, state in zip(parts, saved["states"], strict=True):
    part.load_state_dict(state)
run(parts, saved["left"])
torch.save([part.state_dict() for part in parts], f"{folder}/continued.pt")
"""


def make_training(seed, variant, adaptive, hypergradient):
    """A module, a loss, an optimizer and a sampler, of random weights and order."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)
        )
    loss = CompositionalAUCLoss()
    optimizer = PDSCA(
        module.parameters(), loss, lr=0.01 if adaptive else 0.2, variant=variant,
        adaptive=adaptive, hypergradient=hypergradient,
    )  # fmt: skip
    sampler = StratifiedBatchSampler(training_data()[1], batch_size=8, random_state=seed)
    return module, loss, optimizer, sampler


def training_data():
    generator = torch.Generator().manual_seed(5)
    X = torch.randn(50, 3, generator=generator)
    return X, (X[:, 0] > 0.7).float()


def run(parts, n_steps):
    """Take so many steps, with a milestone at each twelfth; a batch serves all its phases."""
    module, loss, optimizer, sampler = parts
    X, y = training_data()
    taken = 0
    while taken < n_steps:
        for indices in sampler:
            for _ in range(optimizer.phases_per_batch):
                take_step(module, loss, optimizer, X[indices], y[indices])
                if optimizer.state_dict()["schedule"]["steps"] % 12 == 0:
                    optimizer.restart_stage(0.5)
            taken += optimizer.phases_per_batch
            if taken >= n_steps:
                return


def assert_states_equal(actual, expected):
    assert type(actual) is type(expected)
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key in expected:
            assert_states_equal(actual[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_states_equal(one, other)
    elif isinstance(expected, torch.Tensor):
        torch.testing.assert_close(actual, expected, atol=0, rtol=0)
    else:
        assert actual == expected


@pytest.mark.parametrize(
    ("variant", "adaptive", "hypergradient"),
    [
        ("alternating", False, "first-order"),
        ("alternating", True, "first-order"),
        ("lookahead", False, "exact"),
    ],
)
def test_stopped_and_continued_in_a_new_process_is_never_stopped(
    tmp_path, variant, adaptive, hypergradient
):
    options = {"variant": variant, "adaptive": adaptive, "hypergradient": hypergradient}
    total, stop = 40, 18  # the middle of an epoch of seven batches, in the second stage
    whole = make_training(seed=1, **options)
    run(whole, total)

    stopped = make_training(seed=1, **options)
    run(stopped, stop)
    torch.save(
        {
            "options": options,
            "left": total - stop,
            "states": [part.state_dict() for part in stopped],
        },
        tmp_path / "saved.pt",
    )
    here = Path(__file__).parent
    arguments = [tmp_path, here, here.parent]
    subprocess.run([sys.executable, "-c", CONTINUE, *map(str, arguments)], check=True)
    continued = torch.load(tmp_path / "continued.pt", weights_only=True)
    assert_states_equal(continued, [part.state_dict() for part in whole])


@pytest.mark.parametrize("stop", range(2, 21, 2))
@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
@pytest.mark.parametrize("adaptive", [False, True])
def test_any_batch_is_a_good_one_to_stop_after(stop, variant, adaptive):
    stop += variant == "alternating"  # there a batch is one step, here two
    options = {"variant": variant, "adaptive": adaptive, "hypergradient": "first-order"}
    whole = make_training(seed=1, **options)
    run(whole, 22)
    stopped = make_training(seed=1, **options)
    run(stopped, stop)
    continued = make_training(seed=2, **options)
    for part, other in zip(continued, stopped, strict=True):
        part.load_state_dict(other.state_dict())
    run(continued, 22 - stop)
    states = [[part.state_dict() for part in parts] for parts in (continued, whole)]
    assert_states_equal(*states)


def test_stopping_between_the_two_phases_of_lookahead(network, batch):
    X, y = batch
    loss, optimizer = lookahead(network)
    for _ in range(3):
        take_step(network, loss, optimizer, X, y)
    assert optimizer.phase == "outer"
    other = copy.deepcopy(network)
    other_loss, other_optimizer = lookahead(other)
    other_loss.load_state_dict(loss.state_dict())
    other_optimizer.load_state_dict(optimizer.state_dict())
    for side in ((network, loss, optimizer), (other, other_loss, other_optimizer)):
        take_step(*side, X, y)
    torch.testing.assert_close(flat(network.parameters()), flat(other.parameters()), atol=0, rtol=0)


def test_a_state_of_another_variant_is_refused(network):
    loss = CompositionalAUCLoss()
    state = PDSCA(network.parameters(), loss, variant="lookahead").state_dict()
    with pytest.raises(ValueError, match="made with variant='lookahead'"):
        PDSCA(network.parameters(), loss).load_state_dict(state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0}, "lr must"),
        ({"lr": float("nan")}, "lr must"),
        ({"inner_lr": -1}, "inner_lr must"),
        ({"betas": (0, 0.5)}, "betas must"),
        ({"betas": (0.5,)}, "betas must"),
        ({"weight_decay": -1}, "weight_decay must"),
        ({"weight_decay": float("inf")}, "weight_decay must"),
        ({"epoch_decay": -1}, "epoch_decay must"),
        ({"clip_value": 0}, "clip_value must"),
        ({"beta2": 0}, "beta2 must"),
        ({"beta2": 1.5}, "beta2 must"),
        ({"eps": 0}, "eps must"),
        ({"variant": "sideways"}, "variant must be one of"),
        ({"hypergradient": "second"}, "hypergradient must be one of"),
        ({"hypergradient": "exact"}, "needs variant='lookahead'"),
        ({"inner_steps": 1.5}, "inner_steps must"),
        ({"inner_steps": -1}, "inner_steps must"),
        ({"inner_steps": 2, "variant": "lookahead"}, "takes inner_steps=1"),
        ({"lr": "fast"}, "lr must"),
        ({"betas": 0.9}, "betas must"),
        ({"betas": (0.9, None)}, "betas must"),
        ({"beta2": None}, "beta2 must"),
        ({"adaptive": 1}, "adaptive must be a bool, got 1"),
        ({"pretraining": "yes"}, "pretraining must be a bool, got 'yes'"),
        ({"averaging": 1}, "averaging must be a number in"),
        ({"averaging": 0.0}, "averaging must be a number in"),
        ({"averaging": "long"}, "averaging must"),
        ({"averaging": 0.9, "variant": "lookahead"}, "averaging=0.9 needs variant='alternating'"),
    ],
)
def test_arguments_are_checked(network, arguments, message):
    arguments = {"loss": CompositionalAUCLoss(), **arguments}
    with pytest.raises(ValueError, match=message):
        PDSCA(network.parameters(), **arguments)


def test_numbers_of_numpy_and_torch_become_those_of_python(network):
    optimizer = PDSCA(
        network.parameters(), CompositionalAUCLoss(), lr=torch.tensor(1.0),
        inner_lr=np.float32(0.5), betas=np.array([0.5, 0.5]), inner_steps=np.int64(2),
    )  # fmt: skip
    optimizer.restart_stage(np.float64(0.1))
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    assert [group["lr"] for group in state["param_groups"]] == pytest.approx([0.1, 0.1])
    assert type(state["schedule"]["inner_steps"]) is int


def test_sparse_gradients_are_refused():
    embedding = torch.nn.Embedding(4, 1, sparse=True)
    loss = CompositionalAUCLoss()
    optimizer = PDSCA(embedding.parameters(), loss)
    loss(embedding(torch.arange(4)), torch.tensor([0, 1, 0, 1]), phase="inner").backward()
    with pytest.raises(ValueError, match="sparse gradients are not supported"):
        optimizer.step()


def test_half_precision_logits_are_compared_in_the_precision_of_the_loss():
    for n_members in (None, 2):
        loss = CompositionalAUCLoss(n_members=n_members)
        logits = torch.ones(4, 2 if n_members else 1, dtype=torch.bfloat16)
        assert loss(logits, torch.tensor([0, 1, 0, 1]), phase="outer").dtype == torch.float32


def test_the_dual_rate_is_that_of_its_own_group(network, batch):
    loss = CompositionalAUCLoss().double()
    groups = [{"params": network.parameters(), "lr": 0.3}]
    optimizer = PDSCA(groups, loss, lr=0.05, inner_steps=0)
    take_step(network, loss, optimizer, *batch)
    expected = 2 * 0.05 * (1 + loss.b - loss.a)
    torch.testing.assert_close(loss.alpha, expected.detach())


def test_pretraining_leaves_the_dual_problem_alone_and_ends_afresh(network, batch):
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(
        network.parameters(), loss, lr=0.05, inner_lr=0.2, inner_steps=0, pretraining=True
    )
    plain = copy.deepcopy(network)
    sgd = torch.optim.SGD(plain.parameters(), lr=0.2, momentum=0.1, dampening=0.1)
    for group in optimizer.param_groups:
        group.update(weight_decay=0, epoch_decay=0)
    for _ in range(5):
        take_step(network, loss, optimizer, *batch)
        sgd.zero_grad()
        loss(plain(batch[0]), batch[1], phase="inner").backward()
        sgd.step()
    torch.testing.assert_close(flat(network.parameters()), flat(plain.parameters()))
    assert [value.item() for value in dual_state(loss)] == [0, 0, 0]
    optimizer.restart_stage(0.1)
    optimizer.start_auc_stage()
    assert (optimizer.phase, optimizer.param_groups[0]["lr"]) == ("outer", pytest.approx(0.05))
    take_step(network, loss, optimizer, *batch)
    assert loss.alpha > 0


def test_adaptive_pretraining_steps_are_those_of_adamw_at_the_inner_rate(network, batch):
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(
        network.parameters(), loss, lr=0.5, inner_lr=0.01, betas=(1, 0.1), weight_decay=0.1,
        epoch_decay=0, pretraining=True, adaptive=True,
    )  # fmt: skip
    plain = copy.deepcopy(network)
    adamw = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(3):
        take_step(network, loss, optimizer, *batch)
        adamw.zero_grad()
        loss(plain(batch[0]), batch[1], phase="inner").backward()
        adamw.step()
    torch.testing.assert_close(flat(network.parameters()), flat(plain.parameters()))


def test_the_auc_stage_begins_with_the_first_rates_or_those_that_were_kept(network):
    loss = CompositionalAUCLoss()
    for kept in (False, True):
        optimizer = PDSCA(network.parameters(), loss, lr=0.1, inner_lr=0.05, pretraining=True)
        # as a schedule does, which knows one of the rates only
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        if kept:
            optimizer.keep_rates()
        optimizer.restart_stage(0.5)
        optimizer.start_auc_stage()
        rates = {(group["lr"], group["inner_lr"]) for group in optimizer.param_groups}
        assert rates == {(0.0 if kept else 0.1, 0.05)}


def test_the_auc_stage_begins_with_the_inner_phase(network, batch):
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(network.parameters(), loss, inner_steps=2, pretraining=True)
    for _ in range(3):
        take_step(network, loss, optimizer, *batch)
    optimizer.start_auc_stage()
    phases = []
    for _ in range(4):
        phases.append(optimizer.phase)
        take_step(network, loss, optimizer, *batch)
    assert phases == ["inner", "inner", "outer", "outer"]


@pytest.mark.parametrize(("variant", "n_steps"), [("alternating", 2), ("lookahead", 3)])
def test_a_network_that_holds_what_predicts_may_be_trained_in_eval_mode(
    network, batch, variant, n_steps
):
    loss, optimizer = lookahead(network, variant=variant, hypergradient="first-order")
    for _ in range(n_steps):
        take_step(network, loss, optimizer, *batch)
    before = flat(network.parameters())
    optimizer.eval()
    assert torch.equal(flat(network.parameters()), before)
    take_step(network, loss, optimizer, *batch)
    assert not torch.equal(flat(network.parameters()), before)


def test_weights_loaded_in_eval_mode_are_where_training_goes_on(network, batch):
    loss, optimizer = lookahead(network, hypergradient="first-order")
    for _ in range(4):
        take_step(network, loss, optimizer, *batch)
    optimizer.eval()
    loaded = {name: value + 1 for name, value in network.state_dict().items()}
    network.load_state_dict(loaded)
    optimizer.train()
    torch.testing.assert_close(dict(network.state_dict()), loaded)


def test_of_weights_changed_in_eval_mode_all_are_where_training_goes_on(network, batch):
    loss, optimizer = lookahead(network, hypergradient="first-order")
    for _ in range(4):
        take_step(network, loss, optimizer, *batch)
    optimizer.eval()
    first, *others = network.parameters()
    with torch.no_grad():
        first.add_(1)
    held = [parameter.detach().clone() for parameter in (first, *others)]
    optimizer.train()
    assert others
    torch.testing.assert_close([*network.parameters()], held)


def test_schedulers_start_from_the_rate_of_now(network):
    optimizer = PDSCA(network.parameters(), CompositionalAUCLoss(), lr=0.1)
    optimizer.restart_stage(0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)
    assert schedule.base_lrs == pytest.approx([0.01, 0.01])


@pytest.mark.parametrize("averaging", [None, 0.9])
def test_frozen_parameters_stay(network, batch, averaging):
    options = {"variant": "alternating", "averaging": averaging} if averaging else {}
    loss, optimizer = lookahead(network, **({"hypergradient": "first-order"} | options))
    for t in range(8):
        if t == 4:
            network[0].requires_grad_(False)
            frozen = flat(network[0].parameters())
        take_step(network, loss, optimizer, *batch)
    optimizer.eval()
    torch.testing.assert_close(flat(network[0].parameters()), frozen, atol=0, rtol=0)


def test_a_dropped_iteration_leaves_the_primal_point(network, batch):
    loss, optimizer = lookahead(network)
    for _ in range(2):
        take_step(network, loss, optimizer, *batch)
    start = flat(network.parameters())
    optimizer.drop_iteration()  # between iterations there is none to drop
    take_step(network, loss, optimizer, *batch)
    assert not torch.equal(flat(network.parameters()), start)
    optimizer.drop_iteration()
    torch.testing.assert_close(flat(network.parameters()), start, atol=0, rtol=0)
    assert optimizer.phase == "inner"


def test_a_state_of_another_optimizer_is_refused(network):
    state = torch.optim.SGD(network.parameters(), lr=0.1).state_dict()
    with pytest.raises(ValueError, match="of another optimizer"):
        PDSCA(network.parameters(), CompositionalAUCLoss()).load_state_dict(state)


def test_a_bad_group_is_not_added(network):
    optimizer = PDSCA(network[0].parameters(), CompositionalAUCLoss())
    with pytest.raises(ValueError, match="lr must"):
        optimizer.add_param_group({"params": network[2].parameters(), "lr": -1})
    assert len(optimizer.param_groups) == 2
    optimizer.add_param_group({"params": network[2].parameters(), "lr": 0.3})


def train_a_little(network, X, y, n_steps=4, **parameters):
    loss = CompositionalAUCLoss()
    optimizer = PDSCA(network.parameters(), loss, **parameters)
    for _ in range(n_steps):
        take_step(network, loss, optimizer, X.float(), y)
    return loss, optimizer


def test_parameters_that_share_memory_go_on_sharing_it(batch):
    X, y = batch
    network = torch.nn.Sequential(
        torch.nn.Linear(5, 5), torch.nn.Linear(5, 5), torch.nn.Linear(5, 1)
    )
    network[1].weight.data = network[0].weight.data
    train_a_little(network, X, y)
    assert network[1].weight.data_ptr() == network[0].weight.data_ptr()
    alone = torch.nn.Linear(5, 1).share_memory()
    train_a_little(alone, X, y)
    assert alone.weight.is_shared()


@pytest.mark.parametrize("adaptive", [False, True])
def test_an_old_graph_is_refused_after_a_step(batch, adaptive):
    X, y = batch
    network = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 1))
    loss, optimizer = train_a_little(network, X, y, adaptive=adaptive)
    value = loss(network(X.float()), y, phase="inner")
    value.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
def test_parameters_are_ordinary_tensors_at_any_time(batch, variant):
    X, y = batch
    network = torch.nn.Sequential(torch.nn.Linear(5, 1000), torch.nn.Linear(1000, 1))
    shared = [parameter.detach() for parameter in network.parameters()]
    size = len(saved(network.state_dict()))
    loss = CompositionalAUCLoss()
    optimizer = PDSCA(network.parameters(), loss, variant=variant)
    for _ in range(5):
        before = [parameter.clone() for parameter in shared]
        take_step(network, loss, optimizer, X.float(), y)
        for parameter, other, start in zip(network.parameters(), shared, before, strict=True):
            assert torch.equal(parameter, other)
            assert not torch.equal(other, start)
            assert parameter.untyped_storage().nbytes() == parameter.nbytes
        assert len(saved(network.state_dict())) == size
    states = [value for state in optimizer.state.values() for value in state.values()]
    tensors = [value for value in states if isinstance(value, torch.Tensor)]
    assert len(tensors) > 10
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in tensors)


def saved(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def test_a_state_that_is_cleared_is_forgotten(batch):
    X, y = batch
    ends = []
    for cleared in (False, True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = torch.nn.Linear(5, 1)
        loss, optimizer = train_a_little(network, X, y)
        if cleared:
            optimizer.state.clear()
        for _ in range(4):
            take_step(network, loss, optimizer, X.float(), y)
        ends.append(network.weight.detach())
    assert not torch.equal(*ends)


def test_a_lazy_layer_that_is_not_used(batch):
    X, y = batch

    class Partly(torch.nn.Linear):
        def __init__(self):
            super().__init__(5, 1)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("warnings.warn", lambda *_, **__: None)
                self.unused = torch.nn.LazyLinear(3)

    network = Partly()
    before = network.weight.detach().clone()
    train_a_little(network, X, y)
    assert not torch.equal(network.weight, before)


def test_parameters_replaced_between_steps_are_the_ones_that_move(batch):
    X, y = batch
    network = torch.nn.Linear(5, 1)
    loss, optimizer = train_a_little(network, X, y)
    network.weight.data = torch.full((1, 5), 7.0)
    take_step(network, loss, optimizer, X.float(), y)
    assert (network.weight != 7).all()
    assert ((network.weight - 7).abs() < 2).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_average_of_a_long_stage_keeps_its_digits(dtype):
    network = torch.nn.Linear(1, 1).to(dtype)
    with torch.no_grad():
        network.weight.fill_(30.0)
    optimizer = PDSCA(
        network.parameters(), CompositionalAUCLoss(), lr=1e-30, weight_decay=0, inner_steps=0
    )
    for _ in range(3000):
        network.weight.grad = torch.zeros_like(network.weight)
        optimizer.step()
    optimizer.restart_stage()
    torch.testing.assert_close(optimizer.state[network.weight]["reference"], network.weight.data)


def test_betas_may_become_a_list(network, batch):
    ends = []
    for betas in ((0.5, 0.4), [0.5, 0.4]):
        module, loss = copy.deepcopy(network), CompositionalAUCLoss().double()
        optimizer = PDSCA(module.parameters(), loss)
        for group in optimizer.param_groups:
            group["betas"] = betas
        for _ in range(4):
            take_step(module, loss, optimizer, *batch)
        ends.append(flat(module.parameters()))
    assert torch.equal(*ends)


def test_parameters_of_an_inner_loss_are_left_alone(network, batch):
    class Power(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.exponent = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, logits, targets):
            return (logits - targets).abs() ** self.exponent

    inner_loss = Power()
    loss = CompositionalAUCLoss(inner_loss=inner_loss).double()
    optimizer = PDSCA(network.parameters(), loss, weight_decay=0.1, variant="lookahead")
    assert [name for name, _ in loss.named_parameters()] == [
        "outer.a", "outer.b", "inner_loss.exponent"
    ]  # fmt: skip
    for _ in range(6):
        take_step(network, loss, optimizer, *batch)
    assert inner_loss.exponent == 2


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("averaging", [0.5, 0.95])
def test_the_average_of_weights_is_that_of_the_readable_twin(network, batch, averaging, adaptive):
    options = {
        "lr": 0.03, "inner_lr": 0.02, "betas": (0.8, 0.7), "weight_decay": 0.02,
        "epoch_decay": 0.05, "clip_value": 0.5, "adaptive": adaptive, "averaging": averaging,
    }  # fmt: skip
    sides = [copy_with(network, kind, options) for kind in (PDSCA, ReferencePDSCA)]
    (ours, _, optimizer), (twin, _, reference) = sides
    for _ in range(40):
        for side in sides:
            take_step_on(*side, *batch)
        optimizer.eval()
        averages = flat(reference.average[p] for p in twin.parameters())
        torch.testing.assert_close(flat(ours.parameters()), averages, atol=1e-10, rtol=1e-10)
        optimizer.train()
        torch.testing.assert_close(flat(ours.parameters()), flat(twin.parameters()))
    assert (averages - flat(twin.parameters())).abs().max() > 1e-4


def take_step_on(module, loss, optimizer, X, y):
    """A step of an optimizer, which may be the twin."""
    module.zero_grad()
    loss.zero_grad()
    loss(module(X), y, phase=optimizer.phase).backward()
    optimizer.step()


def averaged(network, **options):
    loss = CompositionalAUCLoss().double()
    return loss, PDSCA(network.parameters(), loss, averaging=0.9, **options)


def test_the_average_predicts_and_the_weights_are_trained(network, batch):
    loss, optimizer = averaged(network)
    plain = copy.deepcopy(network)
    plain_loss = CompositionalAUCLoss().double()
    plain_optimizer = PDSCA(plain.parameters(), plain_loss)
    optimizer.eval()  # before the first step there is no average
    assert torch.equal(flat(network.parameters()), flat(plain.parameters()))
    for _ in range(6):
        optimizer.train()
        take_step(network, loss, optimizer, *batch)
        take_step(plain, plain_loss, plain_optimizer, *batch)
        assert torch.equal(flat(network.parameters()), flat(plain.parameters()))
        optimizer.eval()
        average = flat(network.parameters())
        optimizer.eval()  # again: no change
        assert torch.equal(flat(network.parameters()), average)
        with pytest.raises(RuntimeError, match="eval mode"):
            take_step(network, loss, optimizer, *batch)
    assert not torch.equal(average, flat(plain.parameters()))
    assert torch.equal(loss.a, plain_loss.a)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("adaptive", [False, True])
def test_an_average_goes_on_after_loading(network, batch, mode, adaptive):
    loss, optimizer = averaged(network, adaptive=adaptive, lr=0.01)
    for _ in range(5):
        take_step(network, loss, optimizer, *batch)
    getattr(optimizer, mode)()
    other = copy.deepcopy(network)
    with torch.no_grad():
        other[0].weight.zero_()
    other_loss, other_optimizer = averaged(other, adaptive=adaptive, lr=0.01)
    buffer = io.BytesIO(saved([p.state_dict() for p in (network, loss, optimizer)]))
    states = torch.load(buffer, weights_only=True)
    for part, state in zip((other, other_loss, other_optimizer), states, strict=True):
        part.load_state_dict(state)
    sides = [(network, loss, optimizer), (other, other_loss, other_optimizer)]
    sides.append(copy.deepcopy(sides[0]))
    for side in sides:
        side[2].train()
        for _ in range(5):
            take_step(*side, *batch)
        side[2].eval()
    for side in sides[1:]:
        assert_states_equal(*[[part.state_dict() for part in parts] for parts in (side, sides[0])])


def test_weights_changed_in_eval_mode_are_live_and_average(network, batch):
    loss, optimizer = averaged(network)
    for _ in range(4):
        take_step(network, loss, optimizer, *batch)
    optimizer.eval()
    loaded = {name: value + 1 for name, value in network.state_dict().items()}
    network.load_state_dict(loaded)
    for mode in (optimizer.train, optimizer.eval):
        mode()
        torch.testing.assert_close(dict(network.state_dict()), loaded)


def test_parameters_that_join_later_have_an_average_from_then_on(network, batch):
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(network[0].parameters(), loss, averaging=0.9)
    for _ in range(10):
        take_step(network, loss, optimizer, *batch)
    optimizer.add_param_group({"params": network[2].parameters(), "lr": 0.3})
    points = []
    for _ in range(3):
        take_step(network, loss, optimizer, *batch)
        points.append(flat(network[2].parameters()))
    optimizer.eval()
    # the steps of the optimizer count, and not those of the parameter
    old = [min(0.9, 1 - 1 / (1 + t / 5)) for t in (12, 13)]
    expected = points[0]
    for weight, point in zip(old, points[1:], strict=True):
        expected = weight * expected + (1 - weight) * point
    torch.testing.assert_close(flat(network[2].parameters()), expected)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_auc_stage_goes_on_from_the_weights_and_averages_anew(network, batch, mode):
    loss, optimizer = averaged(network, inner_steps=0, pretraining=True)
    for _ in range(5):
        take_step(network, loss, optimizer, *batch)
    live = flat(network.parameters())
    getattr(optimizer, mode)()
    optimizer.start_auc_stage()
    assert torch.equal(flat(network.parameters()), live)
    optimizer.train()
    assert torch.equal(flat(network.parameters()), live)
    take_step(network, loss, optimizer, *batch)
    live = flat(network.parameters())
    optimizer.eval()
    assert torch.equal(flat(network.parameters()), live)
    optimizer.train()
    optimizer.restart_stage()  # the average goes on
    take_step(network, loss, optimizer, *batch)
    optimizer.eval()
    assert not torch.equal(flat(network.parameters()), live)
