"""Copies, pickles, and training that goes on."""

import copy
import pickle
from collections import namedtuple

import numpy as np
import pytest
import torch
from helpers import fit, make_net
from skorch.callbacks import (
    Callback,
)
from torch import nn

from skdam import CompositionalAUCNet


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"optimizer__variant": "lookahead"},
        {"strategy": "two-stage"},
        {"strategy": "cross-entropy", "optimizer__adaptive": True, "lr": 0.01},
        {"strategy": "two-stage", "optimizer__averaging": 0.8},
        {"criterion__saddle": "batch"},
    ],
    ids=str,
)
def test_copies_predict_and_train_as_the_original(toy, parameters, copier):
    net = fit(make_net(milestones=(), **parameters), toy)
    before = torch.get_rng_state()
    other = copier(net)
    assert torch.equal(torch.get_rng_state(), before)
    X = toy[0]
    np.testing.assert_array_equal(other.decision_function(X), net.decision_function(X))
    assert other.history[:, "train_loss"] == net.history[:, "train_loss"]
    assert len(other.history) == 4
    for one in (net, other):
        fit(one, toy)
    np.testing.assert_array_equal(other.decision_function(X), net.decision_function(X))


def test_calls_of_partial_fit_see_all_the_data(toy):
    X, y = toy
    seen = set()

    class Watch(Callback):
        def on_batch_begin(self, net, batch=None, **kwargs):
            seen.update(batch[0][:, 1].tolist())

    net = make_net(callbacks=[Watch()], sampling_rate=0.5, max_epochs=1)
    for _ in range(12):
        net.partial_fit(X, 1 - y)
    assert len(seen) > 190


def test_parameters_of_two_stages_load_into_a_new_net(toy, tmp_path):
    files = {f"f_{part}": tmp_path / part for part in ("params", "optimizer", "criterion")}
    net = fit(make_net(strategy="two-stage"), toy)
    net.save_params(**files)
    other = make_net(strategy="two-stage")
    other.load_params(**files)
    assert not other.optimizer_.pretraining
    np.testing.assert_array_equal(other.decision_function(toy[0]), net.decision_function(toy[0]))


def test_a_net_with_an_additional_attribute_pickles(toy):
    net = fit(make_net(), toy)
    net.note = "mine"
    assert len(pickle.loads(pickle.dumps(net)).history) == 4


def test_an_unfitted_net_pickles():
    net = CompositionalAUCNet(nn.Linear, module__in_features=4, module__out_features=1)
    other = pickle.loads(pickle.dumps(net))
    assert not other.initialized_
    assert other.module__in_features == 4


def test_continuing_leaves_the_other_net_as_it_is(toy):
    net = fit(make_net(), toy)
    scores = net.decision_function(toy[0])
    for restart in (False, True):
        other = make_net()
        other.continue_from(net, restart=restart)
        np.testing.assert_array_equal(other.decision_function(toy[0]), scores)
        fit(other, toy)
        assert len(other.history) == 8
    assert len(net.history) == 4
    np.testing.assert_array_equal(net.decision_function(toy[0]), scores)


@pytest.mark.parametrize("saddle", ["running", "batch"])
def test_training_goes_on_with_another_saddle_point(toy, saddle):
    net = fit(make_net(criterion__saddle=saddle), toy)
    other = make_net(criterion__saddle="running" if saddle == "batch" else "batch")
    other.continue_from(net)
    X = toy[0]
    np.testing.assert_array_equal(other.decision_function(X), net.decision_function(X))
    assert len(fit(other, toy).history) == 8


@pytest.mark.parametrize("averaging", [(0.9, None), (None, 0.9), (0.9, 0.5)])
def test_training_goes_on_with_another_average(toy, averaging):
    net, other = (make_net(optimizer__averaging=one) for one in averaging)
    fit(net, toy)
    other.continue_from(net)
    X = toy[0]
    np.testing.assert_array_equal(other.decision_function(X), net.decision_function(X))
    live = make_net(optimizer__averaging=averaging[0])
    live.load_training_state(copy.deepcopy(net.training_state()))
    live.optimizer_.train()
    other.optimizer_.train()
    assert torch.equal(other.module_.weight, live.module_.weight)
    fit(other, toy)


def test_a_state_that_cannot_be_saved_is_named(toy):
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"scale": namedtuple("Scale", ["low", "high"])(0, 1)}

        def set_extra_state(self, state):
            pass

    net = fit(make_net(module=Extra), toy)
    with pytest.raises(TypeError, match=r"cannot hold .*'scale'.*, which is a Scale"):
        pickle.dumps(net)
