import copy
import pickle

import pytest
import torch

from skdam import AUCMarginLoss, CompositionalAUCLoss


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"margin": 0}, "margin"),
        ({"margin": float("nan")}, "margin"),
        ({"version": "v3"}, "version"),
        ({"prior": 0.2}, "prior"),
        ({"prior": 1.0, "version": "v1"}, "prior"),
        ({"n_members": 0}, "n_members"),
        ({"inner_loss": "hinge"}, "inner_loss"),
    ],
)
def test_arguments_are_checked(arguments, name):
    with pytest.raises(ValueError, match=name):
        CompositionalAUCLoss(**arguments)


def test_unknown_phase():
    with pytest.raises(ValueError, match="phase must be 'inner' or 'outer', got 'middle'"):
        CompositionalAUCLoss()(torch.zeros(2), torch.zeros(2), phase="middle")


@pytest.mark.parametrize("n_members", [None, 3])
def test_the_outer_phase_is_the_margin_loss(logits_and_targets, n_members):
    logits, targets = logits_and_targets
    if n_members:
        logits = torch.stack([logits] * n_members, 1)
    loss = CompositionalAUCLoss(0.7, version="v1", prior=0.2, n_members=n_members)
    margin = AUCMarginLoss(0.7, version="v1", prior=0.2, n_members=n_members)
    for one in (loss, margin):
        with torch.no_grad():
            one.a.fill_(0.6)
            one.alpha.fill_(0.3)
    assert loss(logits, targets, "outer") == margin(logits, targets)


@pytest.mark.parametrize("inner_loss", ["cross-entropy", "focal"])
def test_the_inner_phase_is_the_sum_over_members(logits_and_targets, inner_loss):
    logits, targets = logits_and_targets
    alone = CompositionalAUCLoss(inner_loss=inner_loss)
    loss = CompositionalAUCLoss(inner_loss=inner_loss, n_members=2)
    expected = alone(logits, targets, "inner") + alone(-logits, targets, "inner")
    torch.testing.assert_close(loss(torch.stack([logits, -logits], 1), targets, "inner"), expected)


def test_a_b_and_alpha_are_those_of_the_outer_loss():
    loss = CompositionalAUCLoss()
    assert (loss.a, loss.b, loss.alpha) == (loss.outer.a, loss.outer.b, loss.outer.alpha)
    assert [name for name, _ in loss.named_parameters()] == ["outer.a", "outer.b"]
    assert list(loss.state_dict()) == ["outer.a", "outer.b", "outer.alpha"]


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_copies_are_independent(logits_and_targets, copier):
    loss = CompositionalAUCLoss(inner_loss="focal")
    other = copier(loss)
    other.ascend(0.1)
    assert other.alpha == pytest.approx(0.2)
    assert loss.alpha == 0
    assert loss(*logits_and_targets, "inner") == other(*logits_and_targets, "inner")


def test_attributes_are_those_of_the_outer_loss():
    loss = CompositionalAUCLoss(0.7, version="v1", prior=0.2, n_members=3)
    assert (loss.margin, loss.version, loss.prior, loss.n_members) == (0.7, "v1", 0.2, 3)
    loss.margin = 0.5
    assert loss.outer.margin == 0.5


def test_the_inner_loss_may_be_replaced(logits_and_targets):
    loss = CompositionalAUCLoss()
    loss.inner_loss = "focal"
    expected = CompositionalAUCLoss(inner_loss="focal")(*logits_and_targets, "inner")
    assert loss(*logits_and_targets, "inner") == expected


LOSSES = [
    (AUCMarginLoss(), {}),
    (CompositionalAUCLoss(), {"phase": "inner"}),
    (CompositionalAUCLoss(saddle="batch"), {"phase": "outer"}),
]


@pytest.mark.parametrize(("loss", "phase"), LOSSES, ids=str)
@pytest.mark.parametrize(
    "probabilities",
    [
        torch.sigmoid,
        lambda logits: torch.sigmoid(logits[:, None]).squeeze(1),
        lambda logits: torch.sigmoid(logits[:, None]).view(-1).half(),
        lambda logits: torch.stack([-logits, logits], 1).softmax(1)[:, 1],
    ],
)
def test_probabilities_in_place_of_logits_are_warned_of_once(loss, phase, probabilities):
    loss = copy.deepcopy(loss)
    scores, targets = probabilities(torch.zeros(8, requires_grad=True)), torch.arange(8) % 2
    with pytest.warns(UserWarning, match="output of a sigmoid or softmax.*pass logits"):
        loss(scores, targets, **phase)
    loss(scores, targets, **phase)


@pytest.mark.parametrize(("loss", "phase"), LOSSES, ids=str)
@pytest.mark.parametrize(
    "logits",
    [
        lambda x: x + 0.5,  # in [0, 1] as well
        lambda x: 3 * torch.sigmoid(x) - 1,
        lambda x: torch.tanh(torch.sigmoid(x)),
        lambda x: torch.sigmoid(x).detach(),  # nothing is trained
    ],
)
def test_logits_are_not_taken_for_probabilities(loss, phase, logits):
    scores = logits(torch.zeros(8, requires_grad=True))
    copy.deepcopy(loss)(scores, torch.arange(8) % 2, **phase)
