"""Targets: a tensor to everyone, with weights and what losses derive from them."""

import copy
import pickle

import pytest
import torch

from skdam import CompositionalAUCLoss
from skdam._targets import (
    Classes,
    Targets,
    are_plain,
    folds_of,
    rows_of,
    split_rows,
    weights_of,
)

LABELS = torch.tensor([1.0, 0.0, 0.0, 1.0])
WEIGHTS = torch.tensor([3.0, 1.0, 3.0, 1.0])


def test_what_is_computed_from_targets_is_an_ordinary_tensor():
    targets = Targets.of(LABELS.clone(), WEIGHTS)
    assert type(targets * 2) is torch.Tensor
    assert type(targets[:2]) is torch.Tensor
    assert type(torch.cat([targets, targets])) is torch.Tensor


@pytest.mark.parametrize("weights", [None, WEIGHTS, torch.stack([WEIGHTS, 1 / WEIGHTS], 1)])
def test_rows_and_dtypes_keep_the_weights(weights):
    targets = Targets.of(LABELS.clone(), weights)
    index = torch.tensor([3, 0])
    some = rows_of(targets, index).to(torch.float64)
    assert some.tolist() == [1.0, 1.0]
    assert some.dtype == torch.float64
    expected = None if weights is None else weights[index].double()
    torch.testing.assert_close(weights_of(some), expected)
    assert weights_of(LABELS) is None
    assert rows_of(LABELS, index).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_keep_the_weights(copier):
    targets = Targets.of(LABELS.clone(), WEIGHTS)
    assert targets.classes.rate == 0.5
    other = copier(targets)
    assert torch.equal(other, LABELS)
    torch.testing.assert_close(weights_of(other), WEIGHTS)
    other.zero_()
    assert other.classes.rate == 0
    assert torch.equal(targets, LABELS)


def test_targets_that_change_have_other_classes():
    targets = Targets.of(LABELS.clone(), WEIGHTS)
    assert targets.classes.is_positive.tolist() == [True, False, False, True]
    targets.numpy()[0] = 0
    assert targets.classes.is_positive.tolist() == [False, False, False, True]


def test_parts_keep_the_weights():
    parts = split_rows(Targets.of(LABELS.clone(), WEIGHTS), 3)
    assert [part.tolist() for part in parts] == [[1, 0, 0], [1]]
    assert [weights_of(part).tolist() for part in parts] == [[3, 1, 3], [1]]


def test_targets_without_weights_are_saved_as_an_ordinary_tensor(tmp_path):
    torch.save(Targets.of(LABELS.clone()), tmp_path / "targets.pt")
    assert type(torch.load(tmp_path / "targets.pt", weights_only=True)) is torch.Tensor


def test_weights_of_a_class_sum_to_one():
    classes = Classes.of(Targets.of(LABELS.clone(), WEIGHTS))
    torch.testing.assert_close(classes.mean_weights, torch.tensor([0.75, 0.25, 0.75, 0.25]))
    torch.testing.assert_close(classes.signed_weights, torch.tensor([0.75, -0.25, -0.75, 0.25]))
    torch.testing.assert_close(classes.batch_weights, WEIGHTS / 8)


def test_a_class_without_weight_contributes_nothing():
    weights = torch.tensor([[0.0, 1.0], [2.0, 1.0], [2.0, 1.0], [0.0, 1.0]])
    classes = Classes.of(Targets.of(LABELS.clone(), weights))
    expected = torch.tensor([[0.0, 0.5], [0.5, 0.5], [0.5, 0.5], [0.0, 0.5]])
    torch.testing.assert_close(classes.mean_weights, expected)
    torch.testing.assert_close(classes.rate, torch.tensor([0.0, 0.5]))


FOLDS = torch.tensor([0, 2, 1, 2])
TWO_COLUMNS = torch.stack([WEIGHTS, 1 / WEIGHTS, WEIGHTS * 2], 1)


def folded(weights=None):
    return Targets.of(LABELS.clone(), weights, FOLDS, 3)


@pytest.mark.parametrize("weights", [None, WEIGHTS, TWO_COLUMNS])
def test_a_member_gives_its_own_fold_no_weight(weights):
    expected = torch.tensor([[0.0, 1, 1], [1, 1, 0], [1, 0, 1], [1, 1, 0]])
    if weights is not None:
        expected = expected * (weights if weights.ndim == 2 else weights[:, None])
    torch.testing.assert_close(folded(weights).member_weights, expected)
    assert Targets.of(LABELS.clone(), weights).member_weights is weights


@pytest.mark.parametrize("weights", [None, WEIGHTS, TWO_COLUMNS])
@pytest.mark.parametrize(
    "copier",
    [
        copy.deepcopy,
        lambda t: pickle.loads(pickle.dumps(t)),
        lambda t: t.to(torch.float64),
        lambda t: t.to("cpu"),
        lambda t: rows_of(t, torch.arange(4)),
    ],
)
def test_copies_keep_weights_and_folds(copier, weights):
    other = copier(folded(weights))
    assert isinstance(other, Targets)
    assert torch.equal(other.float(), LABELS)
    assert torch.equal(folds_of(other), FOLDS)
    assert other.n_folds == 3
    assert not are_plain(other)
    torch.testing.assert_close(
        other.member_weights, folded(weights).member_weights, check_dtype=False
    )
    assert (weights_of(other) is None) == (weights is None)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_rows_and_parts_keep_their_folds(weights):
    some = rows_of(folded(weights), torch.tensor([3, 0]))
    assert some.tolist() == [1, 1]
    assert folds_of(some).tolist() == [2, 0]
    parts = split_rows(folded(weights), 3)
    assert [part.tolist() for part in parts] == [[1, 0, 0], [1]]
    assert [folds_of(part).tolist() for part in parts] == [[0, 2, 1], [2]]
    for part in (some, *parts):
        assert part.member_weights.shape == (len(part), 3)
        assert part.classes.mean_weights.shape == (len(part), 3)


def test_targets_without_weights_and_folds_are_plain():
    assert are_plain(LABELS)
    assert are_plain(Targets.of(LABELS.clone()))
    assert folds_of(LABELS) is None
    assert not are_plain(Targets.of(LABELS.clone(), WEIGHTS))
    assert type(split_rows(Targets.of(LABELS.clone()), 2)[0]) is torch.Tensor


@pytest.mark.parametrize("phase", ["inner", "outer"])
@pytest.mark.parametrize(
    "parameters", [{}, {"version": "v1"}, {"saddle": "batch"}, {"inner_loss": "focal"}], ids=str
)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_loss_is_the_sum_of_those_of_each_member_on_the_rows_that_it_sees(
    logits_and_targets, phase, parameters, is_weighted
):
    _, y = logits_and_targets
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(64, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(64, generator=generator, dtype=torch.float64) if is_weighted else None
    folds = torch.randint(3, (64,), generator=generator)

    def loss_of(n_members, a, b):
        loss = CompositionalAUCLoss(n_members=n_members, **parameters).double()
        if loss.saddle == "running":
            with torch.no_grad():
                loss.a.copy_(a)
                loss.b.copy_(b)
            loss.ascend(0.3)
        return loss

    a, b = torch.rand(2, 3, generator=generator, dtype=torch.float64)
    joint = loss_of(3, a, b)(logits, Targets.of(y, weights, folds, 3), phase=phase)
    alone = 0
    for member in range(3):
        rows = torch.nonzero(folds != member).squeeze(1)
        seen = y[rows] if weights is None else Targets.of(y[rows], weights[rows])
        loss = loss_of(None, a[member], b[member])
        alone = alone + loss(logits[rows, member], seen, phase=phase)
    torch.testing.assert_close(joint, alone, rtol=1e-6, atol=1e-6)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (joint, alone)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)
    assert not gradients[0][torch.arange(64), folds].any()


@pytest.mark.parametrize("parameters", [{}, {"version": "v1"}, {"saddle": "batch"}], ids=str)
@pytest.mark.parametrize("phase", ["inner", "outer"])
def test_a_batch_of_one_fold_teaches_its_member_nothing(phase, parameters):
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = Targets.of(LABELS.clone(), None, torch.ones(4, dtype=torch.int64), 3)
    loss = CompositionalAUCLoss(n_members=3, **parameters)(logits, targets, phase=phase)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert gradient[:, [0, 2]].all()
    assert not gradient[:, 1].any()


@pytest.mark.parametrize("light", [0.0, 1.0])
def test_a_class_of_small_weight_keeps_its_share_of_the_mean(light):
    labels = torch.tensor([1.0, 0.0] * 50)
    weights = torch.where(labels == light, 1e-9, 1.0)
    assert_close = torch.testing.assert_close
    assert_close(Targets.of(labels, weights).classes.mean_weights, torch.full((100,), 0.02))


def test_pinning_keeps_weights_and_folds(monkeypatch):
    # there is no memory to pin without an accelerator
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor, *args: tensor.clone())
    folds = torch.tensor([0, 1, 0, 1])
    pinned = Targets.of(LABELS.clone(), WEIGHTS, folds, 2).pin_memory()
    assert torch.equal(weights_of(pinned), WEIGHTS)
    assert torch.equal(folds_of(pinned), folds)
    assert torch.equal(pinned.member_weights[:, 0], WEIGHTS * folds)
    assert are_plain(Targets.of(LABELS.clone()).pin_memory())
