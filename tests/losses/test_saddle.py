import copy
import pickle

import numpy as np
import pytest
import torch

from skdam import PDSCA, AUCMarginLoss, CompositionalAUCLoss
from skdam._targets import Targets
from skdam.losses.saddle import AUCSaddleLoss


@pytest.fixture(params=["equal", "weights", "members", "weights of members"])
def problem(request, logits_and_targets):
    """Logits, targets and the weights of each column, for one model or for three."""
    logits, targets = logits_and_targets
    weights = torch.ones_like(logits)
    if "weights" in request.param:
        weights = 0.5 + torch.arange(64).double() % 5
    if "members" in request.param:
        logits = torch.stack([logits, 0.1 * logits, -logits], 1)
        weights = weights.unsqueeze(1).expand(-1, 3)
    if request.param == "weights of members":
        weights = weights * (1 + torch.arange(3))
        weights = torch.where(torch.arange(192).reshape(64, 3) % 5 == 0, 0.0, weights)
    if "weights" in request.param:
        targets = Targets.of(targets, weights)
    return logits.clone().requires_grad_(), targets, weights


def members_of(logits):
    return {"n_members": 3} if logits.ndim == 2 else {}


def moments(scores, weights):
    mean = np.average(scores, weights=weights)
    return mean, np.average((scores - mean) ** 2, weights=weights)


def columns_of(logits, targets, weights):
    """Scores and weights of both classes, column by column, as arrays."""
    n = len(logits)
    scores = torch.sigmoid(logits).detach().reshape(n, -1).numpy().T
    is_positive = targets.as_subclass(torch.Tensor).numpy() == 1
    for column, shares in zip(scores, weights.reshape(n, -1).numpy().T, strict=True):
        yield [(column[of], shares[of]) for of in (is_positive, ~is_positive)]


@pytest.mark.parametrize("margin", [0.05, 1.0])
def test_the_loss_is_the_formula(problem, margin):
    logits, targets, weights = problem
    expected = 0.0
    for positive, negative in columns_of(logits, targets, weights):
        (a, of_positive), (b, of_negative) = moments(*positive), moments(*negative)
        expected += of_positive + of_negative + max(0, margin - (a - b)) ** 2
    value = AUCSaddleLoss(margin, **members_of(logits))(logits, targets)
    assert value.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("margin", [0.05, 1.0])
def test_value_and_gradient_are_those_of_the_margin_loss_at_its_saddle_point(problem, margin):
    logits, targets, weights = problem
    running = AUCMarginLoss(margin, **members_of(logits)).double()
    means = [
        [moments(*one)[0] for one in classes] for classes in columns_of(logits, targets, weights)
    ]
    a, b = torch.tensor(np.array(means)).T
    with torch.no_grad():
        running.a.copy_(a.reshape(running.a.shape))
        running.b.copy_(b.reshape(running.b.shape))
    running.ascend(0.5)  # to its maximum
    expected = running(logits, targets)
    (gradient,) = torch.autograd.grad(expected, logits)
    value = AUCSaddleLoss(margin, **members_of(logits))(logits, targets)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, logits)[0], gradient)


@pytest.mark.parametrize("margin", [0.05, 1.0])
def test_gradients_agree_with_finite_differences(problem, margin):
    logits, targets, _ = problem
    loss = AUCSaddleLoss(margin, **members_of(logits))
    assert torch.autograd.gradcheck(lambda some: loss(some, targets), (logits,))


def test_gradients_may_be_differentiated(logits_and_targets):
    logits, targets = logits_and_targets
    inputs = (logits[:8].clone().requires_grad_(),)
    assert torch.autograd.gradgradcheck(lambda some: AUCSaddleLoss()(some, targets[:8]), inputs)


@pytest.mark.parametrize("absent", ["positives", "negatives"])
@pytest.mark.parametrize("by_weight", [False, True])
def test_without_a_class_the_variance_of_the_other_is_left(logits_and_targets, absent, by_weight):
    logits, targets = logits_and_targets
    kept = targets == (absent == "negatives")
    expected = torch.sigmoid(logits[kept]).var(correction=0)
    logits = logits.clone().requires_grad_()
    if by_weight:
        value = AUCSaddleLoss()(logits, Targets.of(targets, kept.double()))
    else:
        value = AUCSaddleLoss()(logits[kept], targets[kept])
    value.backward()
    torch.testing.assert_close(value, expected)
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[~kept].any()
    assert logits.grad[kept].any()


def test_a_class_may_be_absent_from_one_column(logits_and_targets):
    logits, targets = logits_and_targets
    weights = torch.stack([torch.ones_like(targets), 1 - targets], 1)
    value = AUCSaddleLoss(n_members=2)(torch.stack([logits] * 2, 1), Targets.of(targets, weights))
    expected = AUCSaddleLoss()(logits, targets)
    expected = expected + torch.sigmoid(logits[targets == 0]).var(correction=0)
    torch.testing.assert_close(value, expected)


def test_there_is_nothing_to_learn_or_to_save():
    loss = CompositionalAUCLoss(saddle="batch")
    assert not list(loss.parameters())
    assert not loss.state_dict()
    loss.ascend(0.1)


def test_the_composition_chooses(logits_and_targets):
    loss = CompositionalAUCLoss(0.7, saddle="batch", inner_loss="focal", n_members=None)
    assert (loss.saddle, CompositionalAUCLoss().saddle) == ("batch", "running")
    assert loss(*logits_and_targets, "outer") == AUCSaddleLoss(0.7)(*logits_and_targets)
    assert loss(*logits_and_targets, "inner") == CompositionalAUCLoss(inner_loss="focal")(
        *logits_and_targets, "inner"
    )
    loss.margin = 0.5
    assert (loss.outer.margin, loss.version, loss.prior) == (0.5, "v2", None)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert other(*logits_and_targets, "outer") == loss(*logits_and_targets, "outer")


def test_its_parameters_are_shown():
    shown = repr(AUCSaddleLoss(0.5, n_members=3))
    assert shown == "AUCSaddleLoss(margin=0.5, n_members=3)"


@pytest.mark.parametrize("name", ["a", "b", "alpha"])
def test_the_saddle_point_of_a_batch_is_no_attribute(name):
    loss = CompositionalAUCLoss(saddle="batch")
    with pytest.raises(AttributeError, match=f"there is no '{name}' with saddle='batch'"):
        getattr(loss, name)
    assert not hasattr(loss, name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"saddle": "point"}, "saddle must be 'running' or 'batch', got 'point'"),
        ({"saddle": "batch", "version": "v1"}, "takes neither version nor prior, got version='v1'"),
        ({"saddle": "batch", "prior": 0.2}, "they need saddle='running'"),
        ({"saddle": "batch", "margin": 0}, "margin must"),
        ({"saddle": "batch", "n_members": 0}, "n_members must"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        CompositionalAUCLoss(**arguments)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"adaptive": True, "lr": 0.02},
        {"variant": "lookahead", "hypergradient": "exact"},
        {"inner_steps": 0},
    ],
    ids=str,
)
def test_the_optimizer_takes_a_loss_without_parameters(network, batch, options, named):
    X, y = batch
    loss = CompositionalAUCLoss(saddle="batch")
    options = {"lr": 0.5} | options

    def new():
        return PDSCA(network.named_parameters() if named else network.parameters(), loss, **options)

    optimizer = new()
    start = loss(network(X), y, "outer").item()

    def inner_loss():
        return loss(network(X), y, phase="inner")

    for _ in range(40):
        optimizer.zero_grad()
        loss(network(X), y, phase=optimizer.phase).backward()
        optimizer.step(inner_loss=inner_loss)
    new().load_state_dict(optimizer.state_dict())
    optimizer.eval()
    assert loss(network(X), y, "outer").item() < 0.8 * start
