"""The phases of a batch, taken from tensors alone."""

import copy

import numpy as np
import pytest
import torch
from helpers import fit, make_net
from skorch.callbacks import (
    Callback,
)
from torch import nn

from skdam import PDSCA, CompositionalAUCLoss, CompositionalAUCNet
from skdam.training.gradients import Autograd
from skdam.training.step import Step, buffers_kept


def make(network, **parameters):
    """A step of a copy of the network, with its parts."""
    module, criterion = copy.deepcopy(network), CompositionalAUCLoss().double()
    optimizer = PDSCA(module.parameters(), criterion, **parameters)

    def inner_loss(batch):
        return criterion(module(batch[0]), batch[1], "inner")

    step = Step(module, optimizer, of_autograd(module, criterion, optimizer), inner_loss)
    return step, module, criterion, optimizer


def of_autograd(module, criterion, optimizer):
    """What a step takes for gradients, by autograd."""
    autograd = Autograd(module, lambda logits, y, X, phase: criterion(logits, y, phase))

    def gradients(batch):
        loss, logits = autograd(*batch, optimizer.phase)
        return {"loss": loss, "y_pred": logits}

    return gradients


def test_an_alternating_step_takes_one_phase(network, batch):
    step, module, criterion, optimizer = make(network)
    by_hand, criterion_by_hand = copy.deepcopy(network), CompositionalAUCLoss().double()
    optimizer_by_hand = PDSCA(by_hand.parameters(), criterion_by_hand)
    for phase in ("inner", "outer", "inner", "outer"):
        taken = step(batch)
        losses, logits = taken["losses"], taken["y_pred"]
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
    losses = step(batch)["losses"]
    assert list(losses) == ["inner_loss", "outer_loss"]
    assert optimizer.phase == "inner"


def test_the_exact_step_evaluates_the_inner_loss_with_the_same_random_numbers(batch):
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1)).double()
    criterion = CompositionalAUCLoss().double()
    optimizer = PDSCA(module.parameters(), criterion, variant="lookahead", hypergradient="exact")
    again = []

    def inner_loss(batch):
        again.append(criterion(module(batch[0]), batch[1], "inner"))
        return again[-1]

    step = Step(module, optimizer, of_autograd(module, criterion, optimizer), inner_loss)
    for _ in range(3):
        losses = step(batch)["losses"]
        torch.testing.assert_close(again[-1].detach(), losses["inner_loss"])
    assert len(again) == 3


@pytest.mark.parametrize("hypergradient", ["first-order", "exact"])
def test_running_statistics_are_those_of_one_pass(batch, hypergradient):
    module = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).double()
    step, module, *_ = make(module, variant="lookahead", hypergradient=hypergradient)
    step(batch)
    assert module[1].num_batches_tracked == 1


def test_buffers_that_have_no_values_yet_are_left_alone():
    module = nn.LazyBatchNorm1d()
    with buffers_kept(module):
        module(torch.randn(4, 2))
    assert module.running_mean.shape == (2,)


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


def test_the_exact_hessian_is_that_of_the_inner_loss_of_the_step(toy):
    """The inner loss is evaluated again with the same dropout mask, at the same weights."""
    values = []

    class Recorder(Callback):
        def on_train_begin(self, net, **kwargs):
            wrapped = net.criterion_.forward

            def forward(logits, targets, phase):
                loss = wrapped(logits, targets, phase)
                if phase == "inner":
                    values.append(loss.item())
                return loss

            net.criterion_.forward = forward

    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 1)
            )

        def forward(self, X):
            return self.layers(X)

    net = CompositionalAUCNet(
        Dropping, optimizer__variant="lookahead", optimizer__hypergradient="exact",
        max_epochs=2, callbacks=[Recorder()], verbose=0, random_state=0,
    )  # fmt: skip
    net.fit(*toy)
    assert len(values) == 2 * 2 * 2
    np.testing.assert_allclose(values[::2], values[1::2], rtol=1e-6)
    assert len(set(np.round(values, 6))) == 4


@pytest.mark.parametrize("hypergradient", ["first-order", "exact"])
def test_running_statistics_of_a_net_come_from_the_inner_point(toy, hypergradient):
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    net = CompositionalAUCNet(
        network, optimizer__variant="lookahead", optimizer__hypergradient=hypergradient,
        sampling_rate=0.15, batch_size=200, max_epochs=1, verbose=0,
    ).fit(*toy)  # fmt: skip
    first, normalise, _ = net.module_
    assert normalise.num_batches_tracked == 1
    with torch.no_grad():
        inputs = first(torch.from_numpy(toy[0]))  # of the one batch there was, at u
    torch.testing.assert_close(normalise.running_mean, 0.1 * inputs.mean(0))


def test_lookahead_undoes_the_replacement_of_a_buffer(toy):
    class Counting(nn.Linear):
        def __init__(self):
            super().__init__(4, 1)
            self.register_buffer("n_calls", torch.tensor(0))

        def forward(self, X):
            if self.training:
                self.n_calls = self.n_calls + 1
            return super().forward(X)

    net = CompositionalAUCNet(
        Counting, optimizer__variant="lookahead", batch_size=200, max_epochs=3, verbose=0
    ).fit(*toy)
    assert net.module_.n_calls == 3


class Counting(nn.Linear):
    """Puts another tensor, of another dtype, in the place of its buffer."""

    def __init__(self, in_features, out_features):
        super().__init__(in_features, out_features)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("late", None)
        self.register_buffer("queue", torch.zeros(1, in_features))

    def forward(self, X):
        if self.training:
            self.count = self.count + 0.5
            self.late = torch.ones(()) if self.late is None else self.late + 1
            self.queue = torch.cat([self.queue, X[:2]])
        return super().forward(X)


def test_buffers_that_change_shape_or_dtype_come_from_the_inner_point(toy):
    net = CompositionalAUCNet(
        Counting(4, 1), optimizer__variant="lookahead", max_epochs=1, batch_size=50, verbose=0
    )
    module = fit(net.initialize(), toy).module_
    n_batches = len(net.history[0]["batches"])
    assert module.count.item() == 0.5 * n_batches
    assert module.late.item() == n_batches + 1  # of the first pass, that made it
    assert module.queue.shape == (1 + 2 * n_batches, 4)


class Halves(CompositionalAUCNet):
    """Each half of a batch adds to the gradient; so it is twice that of the batch, about."""

    def train_step_single(self, batch, **fit_params):
        for part in (slice(0, None, 2), slice(1, None, 2)):
            X, y = batch[0][part], batch[1][part]
            if part.start:
                loss = self.get_loss(self.infer(X), y, X=X, training=True)
                loss.backward()
            else:
                super().train_step_single((X, y), **fit_params)
        self.gradients.append(self.module_.weight.grad.clone())
        return {"loss": loss, "y_pred": None}


def test_gradients_add_up_within_a_step_and_are_cleared_before_it(toy):
    net = make_net(Halves, max_epochs=3, lr=1e-6)
    net.gradients = []
    net.partial_fit(*toy)
    assert len(net.gradients) == 12
    norms = [gradient.norm().item() for gradient in net.gradients]
    assert max(norms[::2]) < 2 * min(norms[::2])  # of the inner loss
    assert max(norms[1::2]) < 2 * min(norms[1::2])
