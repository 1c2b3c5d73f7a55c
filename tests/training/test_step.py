"""The phases of a batch, taken from tensors alone."""

import copy

import pytest
import torch
from torch import nn

from skdam import PDSCA, CompositionalAUCLoss
from skdam.training.gradients import Autograd
from skdam.training.step import Step, buffers_kept


def make(network, **parameters):
    """A step of a copy of the network, with its parts."""
    module, criterion = copy.deepcopy(network), CompositionalAUCLoss().double()
    optimizer = PDSCA(module.parameters(), criterion, **parameters)
    gradients = Autograd(module, lambda logits, y, X, phase: criterion(logits, y, phase))

    def inner_loss(X, y):
        return criterion(module(X), y, "inner")

    return Step(module, optimizer, gradients, inner_loss), module, criterion, optimizer


def test_an_alternating_step_takes_one_phase(network, batch):
    step, module, criterion, optimizer = make(network)
    by_hand, criterion_by_hand = copy.deepcopy(network), CompositionalAUCLoss().double()
    optimizer_by_hand = PDSCA(by_hand.parameters(), criterion_by_hand)
    for phase in ("inner", "outer", "inner", "outer"):
        losses, logits = step(*batch)
        optimizer_by_hand.zero_grad()
        expected_logits = by_hand(batch[0])
        expected = criterion_by_hand(expected_logits, batch[1], phase)
        expected.backward()
        optimizer_by_hand.step()
        assert list(losses) == [f"{phase}_loss"]
        torch.testing.assert_close(losses[f"{phase}_loss"], expected.detach())
        torch.testing.assert_close(logits, expected_logits)
    torch.testing.assert_close(module.state_dict(), by_hand.state_dict())
    torch.testing.assert_close(criterion.state_dict(), criterion_by_hand.state_dict())


def test_a_lookahead_step_takes_both_phases(network, batch):
    step, *_, optimizer = make(network, variant="lookahead")
    losses, _ = step(*batch)
    assert list(losses) == ["inner_loss", "outer_loss"]
    assert optimizer.phase == "inner"


def test_the_exact_step_evaluates_the_inner_loss_with_the_same_random_numbers(batch):
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1)).double()
    criterion = CompositionalAUCLoss().double()
    optimizer = PDSCA(module.parameters(), criterion, variant="lookahead", hypergradient="exact")
    gradients = Autograd(module, lambda logits, y, X, phase: criterion(logits, y, phase))
    again = []

    def inner_loss(X, y):
        again.append(criterion(module(X), y, "inner"))
        return again[-1]

    step = Step(module, optimizer, gradients, inner_loss)
    for _ in range(3):
        losses, _ = step(*batch)
        torch.testing.assert_close(again[-1].detach(), losses["inner_loss"])
    assert len(again) == 3


@pytest.mark.parametrize("hypergradient", ["first-order", "exact"])
def test_running_statistics_are_those_of_one_pass(batch, hypergradient):
    module = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).double()
    step, module, *_ = make(module, variant="lookahead", hypergradient=hypergradient)
    step(*batch)
    assert module[1].num_batches_tracked == 1


def test_what_happens_to_buffers_is_undone():
    module = nn.BatchNorm1d(2)
    module.register_buffer("none", None)
    before = {name: buffer.clone() for name, buffer in module.state_dict().items()}
    running_mean = module.running_mean
    with buffers_kept(module):
        module(torch.randn(4, 2))
        module.running_var = torch.full((2,), 7.0)
    assert module.running_mean is running_mean
    torch.testing.assert_close(dict(module.state_dict()), before)
