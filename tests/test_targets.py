"""Targets: a tensor to everyone, with weights and what losses derive from them."""

import copy
import pickle

import pytest
import torch

from skdam._targets import Classes, Targets, rows_of, split_rows, weights_of

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
