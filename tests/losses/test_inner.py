import pytest
import torch

from skdam import CompositionalAUCLoss
from skdam._targets import Targets


def test_inner_cross_entropy_is_that_of_torch(logits_and_targets):
    logits, targets = logits_and_targets
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    torch.testing.assert_close(CompositionalAUCLoss()(logits, targets, phase="inner"), expected)


def test_focal_weights_cross_entropy_by_the_doubt_squared(logits_and_targets):
    logits, targets = logits_and_targets
    p = torch.sigmoid(logits)
    p_true = torch.where(targets == 1, p, 1 - p)
    expected = (-((1 - p_true) ** 2) * p_true.log()).mean()
    loss = CompositionalAUCLoss(inner_loss="focal")
    torch.testing.assert_close(loss(logits, targets, phase="inner"), expected)


def test_focal_keeps_its_gradient_for_confident_examples():
    logits = torch.tensor([40.0, -40.0], requires_grad=True)
    CompositionalAUCLoss(inner_loss="focal")(logits, torch.tensor([0, 1]), "inner").backward()
    torch.testing.assert_close(logits.grad, torch.tensor([0.5, -0.5]))


def test_inner_loss_may_be_a_callable(logits_and_targets):
    logits, targets = logits_and_targets
    loss = CompositionalAUCLoss(inner_loss=lambda h, t: (h - t) ** 2)
    expected = ((logits - targets) ** 2).mean()
    torch.testing.assert_close(loss(logits, targets, phase="inner"), expected)


def test_inner_loss_must_be_per_example(logits_and_targets):
    loss = CompositionalAUCLoss(inner_loss=lambda h, t: (h - t).mean())
    with pytest.raises(ValueError, match=r"inner_loss must return.*\(64,\), got \(\)"):
        loss(*logits_and_targets, phase="inner")


def test_a_function_may_work_in_place_and_have_parameters(logits_and_targets):
    logits, targets = logits_and_targets
    scale = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def in_place(logits, targets):
        return logits.clamp_(-1, 1).mul_(scale).sub_(targets).square()

    loss = CompositionalAUCLoss(inner_loss=in_place)
    leaf = logits.clone().requires_grad_()
    loss(leaf * 1, targets, "inner").backward()
    errors = 2 * logits.clamp(-1, 1) - targets
    expected = 2 * errors * 2 * (logits.abs() < 1) / len(logits)
    torch.testing.assert_close(leaf.grad, expected)
    torch.testing.assert_close(scale.grad, (2 * errors * logits.clamp(-1, 1)).mean())


def test_an_inner_loss_without_a_gradient_for_the_logits(logits_and_targets):
    weight = torch.ones((), requires_grad=True)
    loss = CompositionalAUCLoss(inner_loss=lambda logits, targets: weight * targets)
    loss(*logits_and_targets, "inner").backward()
    torch.testing.assert_close(weight.grad, torch.tensor(0.25))


@pytest.mark.parametrize("inner_loss", ["cross-entropy", "focal", lambda h, t: (h - t).abs()])
@pytest.mark.parametrize("n_members", [None, 2])
def test_weights_count_as_repetitions_in_the_inner_loss(logits_and_targets, inner_loss, n_members):
    logits, targets = logits_and_targets
    if n_members:
        logits = torch.stack([logits, -logits], 1)
    times = 1 + torch.arange(64) % 3
    loss = CompositionalAUCLoss(inner_loss=inner_loss, n_members=n_members)
    expected = loss(
        logits.repeat_interleave(times, 0), targets.repeat_interleave(times), phase="inner"
    )
    weighted = Targets.of(targets.clone(), times * 10.0)
    torch.testing.assert_close(loss(logits, weighted, phase="inner"), expected)
