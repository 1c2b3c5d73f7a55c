"""What LibAUC 2.0.1 gets wrong, a test for each: none may come back here."""

import copy

import numpy as np
import pytest
import torch

from skdam import PDSCA, AUCMarginLoss, CompositionalAUCLoss, StratifiedBatchSampler


class CountingLoss(CompositionalAUCLoss):
    def __init__(self):
        super().__init__()
        self.phases = []

    def forward(self, logits, targets, phase):
        self.phases.append(phase)
        return super().forward(logits, targets, phase)


def train(network, loss, optimizer, batch, n_steps):
    X, y = batch
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss(network(X), y, phase=optimizer.phase).backward()
        optimizer.step()


@pytest.fixture
def training(network):
    loss = CountingLoss().double()
    return network, loss, PDSCA(network.parameters(), loss)


def test_1_the_inner_phase_comes_back_after_an_outer_step(training, batch):
    network, loss, optimizer = training
    train(*training, batch, 20)
    assert loss.phases == ["inner", "outer"] * 10


def test_1_inner_rate_and_average_matter_after_the_first_outer_step(network, batch):
    ends = []
    for inner_lr, beta0 in [(0.1, 0.9), (0.3, 0.9), (0.1, 0.5)]:
        module, loss = copy.deepcopy(network), CompositionalAUCLoss().double()
        optimizer = PDSCA(module.parameters(), loss)
        train(module, loss, optimizer, batch, 2)
        for group in optimizer.param_groups:
            group["inner_lr"], group["betas"] = inner_lr, (beta0, 0.9)
        train(module, loss, optimizer, batch, 2)
        ends.append(module[0].weight.detach())
    assert not torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_2_evaluating_the_loss_does_not_move_the_phase(training, batch):
    network, loss, optimizer = training
    X, y = batch
    train(*training, batch, 3)
    before = optimizer.phase
    with torch.no_grad():
        for _ in range(7):
            loss(network(X), y, phase="outer")
    assert optimizer.phase == before
    del loss.phases[:]
    train(*training, batch, 4)
    assert loss.phases == ["outer", "inner"] * 2


def test_2_the_phase_is_in_the_state_dict(training, batch):
    network, loss, optimizer = training
    train(*training, batch, 3)
    other = PDSCA(network.parameters(), loss)
    assert other.phase == "inner"
    other.load_state_dict(optimizer.state_dict())
    assert other.phase == "outer"


def test_3_the_reference_starts_at_the_initial_weights(network, batch):
    """With no gradient, a pull towards the reference keeps the weights where they are."""
    start = [p.detach().clone() for p in network.parameters()]
    loss = CompositionalAUCLoss().double()
    before = torch.get_rng_state()
    optimizer = PDSCA(network.parameters(), loss, epoch_decay=0.5, weight_decay=0)
    for _ in range(10):
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    for parameter, initial in zip(network.parameters(), start, strict=True):
        torch.testing.assert_close(parameter.detach(), initial)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_4_a_batch_of_one_class_has_a_finite_loss_and_gradient(version, label):
    loss = AUCMarginLoss(version=version)
    loss.alpha.fill_(0.5)
    logits = torch.randn(8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = loss(logits, torch.full((8,), label))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_4_a_score_of_exactly_zero_counts_in_the_mean():
    logits = torch.tensor([-200.0, -200.0, 0.0, 0.0])
    assert torch.sigmoid(logits)[0] == 0
    loss = AUCMarginLoss()
    with torch.no_grad():
        loss.a.fill_(0.5)
    value = loss(logits, torch.tensor([1, 1, 1, 0]))
    # positives (0 - 1/2)^2, (0 - 1/2)^2, (1/2 - 1/2)^2; negative (1/2 - 0)^2
    torch.testing.assert_close(value.detach(), torch.tensor(0.5 / 3 + 0.25))


@pytest.mark.parametrize("n_positive", [1, 4, 7])
def test_5_the_cross_term_of_v2_is_free_of_the_prior(n_positive):
    """Its gradient pulls the class means apart alike, whatever the rate of positives."""
    targets = (torch.arange(8) < n_positive).float()
    loss = AUCMarginLoss()
    logits = torch.zeros(8, requires_grad=True)
    with torch.no_grad():
        loss.a.fill_(0.5)  # at the means: the variances have no gradient
        loss.b.fill_(0.5)
        loss.alpha.fill_(1.0)
    loss(logits, targets).backward()
    slope = 2 * 0.25  # 2 alpha times the derivative of the sigmoid at 0
    torch.testing.assert_close(logits.grad[targets == 1].sum(), torch.tensor(-slope))
    torch.testing.assert_close(logits.grad[targets == 0].sum(), torch.tensor(slope))


def test_6_a_stage_restarts_without_epoch_decay(network, batch):
    loss = CompositionalAUCLoss().double()
    optimizer = PDSCA(network.parameters(), loss, lr=0.2, epoch_decay=0)
    train(network, loss, optimizer, batch, 4)
    optimizer.restart_stage(0.1)
    train(network, loss, optimizer, batch, 4)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.02)


def test_6_loading_a_state_leaves_the_argument_alone(training, batch):
    network, loss, optimizer = training
    train(*training, batch, 5)
    state = optimizer.state_dict()
    saved = copy.deepcopy(state)
    other = PDSCA(network.parameters(), loss)
    other.load_state_dict(state)
    train(network, loss, other, batch, 5)
    assert state.keys() == saved.keys()
    assert state["schedule"] == saved["schedule"]
    for key, values in saved["state"].items():
        for name, value in values.items():
            assert torch.equal(torch.as_tensor(state["state"][key][name]), torch.as_tensor(value))


def test_6_every_parameter_group_has_its_rate_and_decays(network):
    groups = [{"params": network[0].parameters(), "lr": 0.3}, {"params": network[2].parameters()}]
    optimizer = PDSCA(groups, CompositionalAUCLoss(), lr=0.1)
    optimizer.restart_stage(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.15, 0.05, 0.05])


def test_7_the_sampler_leaves_the_global_generator_alone(untouched_generators):
    with untouched_generators():
        list(StratifiedBatchSampler([0, 1] * 10, 4, random_state=0))


def test_7_a_batch_larger_than_the_data():
    batches = list(StratifiedBatchSampler([0, 0, 0, 1], batch_size=64))
    assert [len(batch) for batch in batches] == [4]


def test_7_fewer_negatives_than_a_batch_asks_for():
    y = np.array([0] + [1] * 99)
    batches = list(StratifiedBatchSampler(y, batch_size=10, sampling_rate=0.5))
    assert len(batches) == 10
    assert all((y[batch] == 0).sum() == 5 for batch in batches)


def test_8_the_prior_of_the_user_is_used():
    logits, targets = torch.tensor([1.0, -1.0, 0.5, 0.0]), torch.tensor([1, 0, 0, 0])
    values = [
        AUCMarginLoss(version="v1", prior=prior)(logits, targets).item()
        for prior in (None, 0.25, 0.01)
    ]
    assert values[0] == pytest.approx(values[1])  # 0.25 is the rate of the batch
    scores = torch.sigmoid(logits)
    expected = 0.99 * scores[0] ** 2 / 4 + 0.01 * (scores[1:] ** 2).sum() / 4
    assert values[2] == pytest.approx(expected.item())
