"""Custom modules: classes, instances, and input of any shape."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from skdam import TabularMLP


class Flat(nn.Module):
    """A custom module for examples of any shape."""

    def __init__(self, n_inputs=12, n_outputs=1):
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, X):
        return self.linear(X.flatten(1))


def test_a_class_is_built_with_its_parameters_and_n_features(toy, make):
    clf = make(module=TabularMLP, module__hidden_layer_sizes=(7,)).fit(*toy)
    module = clf.net_.module_
    assert module.layers[2].weight.shape == (8, 7, 1)
    # four numbers, each with a column for its gaps
    assert module.linear.weight.shape == (8, 2 * 4, 7)


def test_an_instance_is_copied_with_its_weights(toy, make):
    module = Flat(4)
    before = copy.deepcopy(module.state_dict())
    clf = make(module=module, max_epochs=1, lr=1e-12).fit(*toy)
    assert clf.module is module
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
        torch.testing.assert_close(clf.net_.module_.state_dict()[name], value)


def test_a_custom_module_takes_input_of_any_shape(toy, make):
    X, y = toy
    images = np.repeat(X[:, :, None], 3, axis=2)
    clf = make(module=Flat).fit(images, y)
    assert clf.decision_function(images).shape == (200,)
    with pytest.raises(ValueError, match=r"shape \(4, 3\) as in fit, got \(4, 2\)"):
        clf.predict(images[:, :, :2])


def test_infinite_buffers_do_not_count_as_divergence(toy, make):
    class Masked(Flat):
        def __init__(self):
            super().__init__(4)
            self.register_buffer("mask", torch.full((2, 2), -torch.inf))

    assert make(module=Masked).fit(*toy).n_iter_ == 3


def test_what_is_not_trained_may_have_any_value_or_none(toy, make):
    class Masked(Flat):
        n_members = None

        def __init__(self):
            super().__init__(4)
            self.mask = nn.Parameter(torch.full((2, 2), -torch.inf), requires_grad=False)
            self.unused = nn.LazyLinear(1)

    assert make(module=Masked).fit(*toy).n_iter_ == 3


def test_lazy_modules_continue_training(toy, make):
    class Lazy(Flat):
        def __init__(self):
            super().__init__()
            self.linear = nn.LazyLinear(1)

    clf = make(module=Lazy).fit(*toy).partial_fit(*toy)
    assert clf.n_iter_ == 4


BAD_MODULES = [
    ({"n_members": 2, "module": Flat}, "n_members=2 needs a module class with a parameter of that"),
    ({"n_members": 2, "module": Flat(4)}, "n_members=2 needs a module class with a parameter of"),
    ({"module": Flat(7)}, "module Flat does not take a batch of shape .2, 4. and dtype"),
    ({"module": Flat(4).double()}, "module Flat does not take a batch of shape"),
    ({"module": Flat(4).requires_grad_(False)}, "module Flat has nothing to train"),
    ({"module": Flat, "module__n_inputs": 4, "module__n_outputs": 2}, r"shape \(n,\) or \(n, 1\)"),
    ({"module": Flat(4), "module__n_inputs": 4}, "module is an instance"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_MODULES, ids=str)
def test_unsuitable_modules_are_refused(toy, parameters, message, make, assert_refused):
    assert_refused(make(**parameters), toy, message, toy)
