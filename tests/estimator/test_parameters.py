"""Which part takes which parameter, and which parameters are refused."""

import inspect
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from skdam import CompositionalAUCClassifier, ResNet20, TabularMLP
from skdam.estimator.parameters import (
    CONSTRAINTS,
    PREFIXES,
    check_module_parameters,
    check_parameters,
    net_parameters,
    parameter_names,
)


def test_every_parameter_is_documented_and_checked():
    names = set(inspect.signature(CompositionalAUCClassifier).parameters)
    assert names == set(CONSTRAINTS)
    documented = CompositionalAUCClassifier.__doc__
    assert all(f"\n    {name} : " in documented for name in names)


def test_unknown_parameters_are_refused_before_fit(make):
    with pytest.raises(TypeError, match="no parameter 'max_epoch'"):
        CompositionalAUCClassifier(max_epoch=3)
    with pytest.raises(ValueError, match="Invalid parameter 'max_epoch'"):
        make().set_params(max_epoch=3)


TARGETS = np.arange(100) % 2
PREFIXED = {
    "module__hidden_layer_sizes": (8,),
    "module__dropout": 0.1,
    "criterion__version": "v1",
    "optimizer__adaptive": True,
    "iterator_train__batch_size": 32,
    "callbacks__print_log": None,
}


def test_prefixed_parameters_survive_set_params_and_clone_and_reach_the_net(toy, make):
    built = make(**PREFIXED, lr=0.01)
    assert PREFIXED.items() <= built.get_params().items()
    assert clone(built).get_params() == built.get_params()
    later = make(lr=0.01).set_params(**PREFIXED)
    assert later.get_params() == built.get_params()
    assert "module__dropout=0.1" in repr(built)
    assert built._repr_html_()
    first, second = built.fit(*toy), clone(later).fit(*toy)
    np.testing.assert_array_equal(first.decision_function(toy[0]), second.decision_function(toy[0]))
    net = first.net_
    assert net.module_.layers[2].weight.shape == (8, 8, 1)
    assert net.criterion_.outer.version == "v1"
    assert net.optimizer_.adaptive
    assert net.sampler_.n_positive + net.sampler_.n_negative == 32
    assert "print_log" not in dict(net.callbacks_)


def test_prefixed_parameters_are_keys_of_a_search(toy, make):
    grid = {"module__hidden_layer_sizes": [(4,), (8, 8)], "lr": [1e-3]}
    search = GridSearchCV(make(), grid, cv=2, scoring="roc_auc", error_score="raise").fit(*toy)
    best = search.best_estimator_
    sizes = [m.weight.shape[1] for m in best.net_.module_.layers if hasattr(m, "weight")]
    assert tuple(sizes) == search.best_params_["module__hidden_layer_sizes"]


def test_prefixed_parameters_reach_callbacks(toy, make):
    class Counter(Callback):
        def __init__(self, step=1):
            self.step = step

        def on_train_begin(self, net, **kwargs):
            self.total_ = 0

        def on_epoch_end(self, net, **kwargs):
            self.total_ += self.step

    clf = make(callbacks=[("counter", Counter())], callbacks__counter__step=5).fit(*toy)
    assert dict(clf.net_.callbacks_)["counter"].total_ == 15


def test_a_lambda_may_be_the_inner_loss(toy, make):
    clf = make(inner_loss=lambda logits, targets: (logits - targets) ** 2).fit(*toy)
    assert clf.history_["inner_loss"][0] != make().fit(*toy).history_["inner_loss"][0]


BAD_PARAMETERS = [
    ({"strategy": "magic"}, "'strategy' parameter .* must be a str among"),
    ({"variant": "sideways"}, "'variant' parameter .* must be a str among"),
    ({"hypergradient": "second"}, "'hypergradient' parameter .* must be a str among"),
    ({"hypergradient": "exact"}, "hypergradient='exact' needs variant='lookahead'"),
    ({"variant": "lookahead", "inner_steps": 2}, "takes inner_steps=1"),
    ({"inner_loss": "hinge"}, "'inner_loss' parameter"),
    ({"margin": 0}, "'margin' parameter"),
    ({"inner_steps": 0}, "'inner_steps' parameter"),
    ({"lr": -0.1}, "'lr' parameter"),
    ({"lr": "fast"}, "'lr' parameter"),
    ({"inner_lr": 0}, "'inner_lr' parameter"),
    ({"betas": (0.9,)}, "betas must be a pair"),
    ({"betas": (0.9, 1.5)}, "betas must be a pair"),
    ({"betas": 0.9}, "'betas' parameter"),
    ({"weight_decay": -1}, "'weight_decay' parameter"),
    ({"epoch_decay": -1}, "'epoch_decay' parameter"),
    ({"clip_value": 0}, "'clip_value' parameter"),
    ({"milestones": (0.5, 1.5)}, "milestones must be numbers in"),
    ({"milestones": 0.5}, "'milestones' parameter"),
    ({"lr_decay": 0}, "'lr_decay' parameter"),
    ({"max_epochs": 0}, "'max_epochs' parameter"),
    ({"max_epochs": "all"}, "'max_epochs' parameter"),
    ({"n_members": 0}, "'n_members' parameter"),
    ({"module__n_members": 2}, "module__n_members is not a parameter of TabularMLP that can be"),
    ({"batch_size": 1}, "'batch_size' parameter"),
    ({"batch_size": "all"}, "'batch_size' parameter"),
    ({"sampling_rate": 1.0}, "'sampling_rate' parameter"),
    ({"sampling_rate": "much"}, "'sampling_rate' parameter"),
    ({"cross_fit": "yes"}, "'cross_fit' parameter"),
    ({"calibration": "platt"}, "'calibration' parameter"),
    ({"calibration": "sigmoid", "cross_fit": False}, "calibration='sigmoid' needs out-of-bag"),
    ({"class_weight": "heavy"}, "'class_weight' parameter"),
    (
        {"class_weight": {7: 2.0}},
        r"class_weight holds unknown labels \[7\]; the classes are \[0.0, 1.0\]",
    ),
    ({"class_weight": {1: 0.0}}, "class_weight must hold numbers > 0"),
    ({"class_weight": {1: "a"}}, "class_weight must hold numbers > 0"),
    ({"early_stopping": "yes"}, "'early_stopping' parameter"),
    ({"n_jobs": 0}, "'n_jobs' parameter"),
    ({"n_jobs": -2}, "'n_jobs' parameter"),
    ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
    ({"n_iter_no_change": 0}, "'n_iter_no_change' parameter"),
    ({"n_iter_no_change": "all"}, "'n_iter_no_change' parameter"),
    ({"tol": -1}, "'tol' parameter"),
    ({"callbacks": "all"}, "'callbacks' parameter"),
    ({"callbacks": [1]}, "callbacks must be a list of skorch callbacks.*got 1"),
    ({"callbacks": [("a",)]}, "callbacks must be a list of skorch callbacks"),
    ({"betas": ("a", "b")}, "an item of betas must be a number"),
    ({"optimizer__eps": "x"}, "eps must be a number"),
    ({"module__dropout": "a"}, "dropout must be a number"),
    ({"module__hidden_layer_sizes": 8}, "hidden_layer_sizes must be a sequence"),
    ({"module__n_features": 7}, "module__n_features is not a parameter"),
    ({"inner_loss": nn.BCEWithLogitsLoss}, "inner_loss must be one of"),
    ({"iterator_valid__batch_size": 0}, "batch_size"),
    ({"device": "abacus"}, "device must be 'auto', 'cpu', 'cuda'"),
    ({"device": "meta"}, "device must be 'auto', 'cpu', 'cuda'"),
    ({"device": 0}, "'device' parameter"),
    ({"device": "cuda:99"}, "device='cuda:99' is not there: torch sees"),
    ({"random_state": "lucky"}, "'random_state' parameter"),
    ({"module": "resnet"}, "module must be an nn.Module subclass.*got 'resnet'"),
    ({"module": dict}, "module must be an nn.Module subclass.*got <class 'dict'>"),
    ({"module__depth": 3}, "module__depth is not a parameter of TabularMLP.*hidden_layer_sizes"),
    ({"module__dropout": 2.0}, "dropout must be"),
    ({"optimizer__momentum": 0.9}, "optimizer__momentum is not a parameter of PDSCA"),
    ({"optimizer__loss": None}, "optimizer__loss is not"),
    ({"criterion__gamma": 2}, "criterion__gamma is not a parameter"),
    ({"iterator_train__shuffle": True}, "iterator_train__shuffle is not a parameter.*batch_size"),
    ({"iterator_valid__sise": 3}, "iterator_valid__sise is not a parameter"),
    ({"callbacks__nobody__x": 1}, "callbacks__nobody__x names no callback"),
    ({"callbacks__print_log": 1}, "callbacks__print_log must be a skorch callback.*got 1"),
    ({"optimizer__adaptive": "no"}, "'optimizer__adaptive' parameter .*'bool'.*'no'"),
    ({"optimizer__adaptive": 0}, "'optimizer__adaptive' parameter"),
    ({"optimizer__averaging": True}, "averaging must be a number, got True"),
    ({"optimizer__eps": np.inf}, "eps must be a number > 0, got inf"),
    ({"optimizer__inner_steps": True}, "inner_steps must be an int"),
    ({"criterion__margin": "1"}, "margin must be a number, got '1'"),
    ({"criterion__margin": np.inf}, "margin must be a number > 0, got inf"),
    ({"criterion__version": "v1", "criterion__prior": "0.1"}, "prior must be a number, got '0.1'"),
    ({"module__activation": []}, r"activation must be one of .*got \[\]"),
    ({"module__hidden_layer_sizes": ""}, "hidden_layer_sizes must be a sequence"),
    ({"module__hidden_layer_sizes": {8, 9}}, "hidden_layer_sizes must be a sequence"),
    ({"module__n_values": 1}, "n_values must be a sequence of numbers, got 1"),
    ({"betas": {0.5, 0.6}}, "betas must be a sequence"),
    ({"iterator_train__batch_size": 32.0}, "'iterator_train__batch_size' parameter"),
    ({"iterator_train__batch_size": None}, "'iterator_train__batch_size' parameter"),
    ({"iterator_train__pin_memory": "no"}, "'iterator_train__pin_memory' parameter .*'bool'"),
    ({"iterator_train__num_workers": "1"}, "'iterator_train__num_workers' parameter"),
    ({"iterator_train__num_workers": True}, "'iterator_train__num_workers' parameter"),
    ({"iterator_valid__worker_init_fn": 1}, "'iterator_valid__worker_init_fn' parameter"),
    ({"iterator_valid__collate_fn": "x"}, "'iterator_valid__collate_fn' parameter"),
    *[
        (
            {name: value},
            f"{name.removeprefix('optimizer__')}.*single precision.*{re.escape(str(value))}",
        )
        for name in ("lr", "inner_lr", "margin", "weight_decay", "clip_value", "optimizer__lr")
        for value in (1e308, 1e-320)
    ],
    *[({name: np.nan}, f"{name}.*nan") for name in ("lr", "clip_value", "margin", "tol")],
    *[({name: True}, f"'{name}' parameter") for name in ("lr", "max_epochs", "n_jobs", "tol")],
    ({"lr": Decimal("0.5")}, r"'lr' parameter .*Decimal\('0.5'\)"),
    ({"lr": 0.5j}, "'lr' parameter .*0.5j"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS, ids=str)
def test_bad_parameters_are_refused_before_training(toy, parameters, message, make, assert_refused):
    assert_refused(make(**parameters), toy, message, toy)


# halves are exact in all of these types
@pytest.mark.parametrize("number", [np.float16, np.float32, Fraction])
def test_numbers_of_any_type_are_numbers(toy, number, make):
    names = (
        "lr", "inner_lr", "margin", "weight_decay", "epoch_decay", "clip_value", "lr_decay",
        "sampling_rate", "validation_fraction", "tol", "module__dropout", "optimizer__averaging",
        "optimizer__eps", "optimizer__beta2", "iterator_train__timeout",
    )  # fmt: skip
    parameters = {"early_stopping": True, "milestones": (0.5,), "betas": (0.5, 0.5)}
    scores = []
    for kind in (float, number):
        values = {name: kind(0.5) for name in names} | parameters
        clf = make(**values, n_members=2, module__hidden_layer_sizes=(4,)).fit(*toy)
        scores.append(clf.decision_function(toy[0]))
    np.testing.assert_array_equal(*scores)


def test_small_integers_of_numpy_do_not_overflow(toy, make):
    names = ("batch_size", "n_members", "max_epochs", "n_iter_no_change", "module__n_bins")
    scores = [
        make(**{name: kind(127) if name == "module__n_bins" else kind(9) for name in names})
        .fit(*toy)
        .decision_function(toy[0])
        for kind in (int, np.int8)
    ]
    np.testing.assert_array_equal(*scores)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_cuda_is_refused_if_absent(toy, make, assert_refused):
    assert_refused(make(device="cuda"), toy, "device='cuda' is not there: torch sees 0", toy)


def test_categories_go_to_a_class_that_has_a_parameter_for_them(make):
    parameters = make().get_params(deep=False)
    given = net_parameters(parameters, TabularMLP, (2,), TARGETS, (0, 3))
    assert given["module__n_categories"] == (0, 3)
    assert "module__n_categories" not in net_parameters(
        parameters, nn.Linear, (2,), TARGETS, (0, 3)
    )


def test_parameters_go_to_the_net_and_its_parts(make):
    parameters = make(lr=0.2, margin=2.0, betas=[0.5, 1], verbose=True).get_params(deep=False)
    given = net_parameters(parameters, TabularMLP, (5,), TARGETS)
    assert given["lr"] == 0.2
    assert given["criterion__margin"] == 2.0
    assert given["optimizer__betas"] == (0.5, 1)
    assert (given["batch_size"], given["max_epochs"]) == (128, 3)
    assert given["module__n_features"] == 5
    assert "module__n_members" not in given
    assert "module__n_categories" not in given
    assert given["verbose"] == 1
    # a few are for the estimator itself, or for arguments that are built from them
    passed_on = {name.rpartition("__")[2] for name in given}
    assert set(parameters) - passed_on == {
        "module", "early_stopping", "validation_fraction", "n_iter_no_change", "tol",
        "warm_start", "callbacks", "random_state", "n_members", "n_jobs", "categorical_features",
        "cross_fit", "calibration", "class_weight", "checkpoint",
    }  # fmt: skip


def test_a_prefixed_parameter_overrides_what_is_derived(make):
    parameters = make(
        margin=2.0, criterion__margin=3.0, iterator_valid__batch_size=5, module__dropout=0.5
    ).get_params(deep=False)
    given = net_parameters(parameters, TabularMLP, (5,), TARGETS)
    assert given["criterion__margin"] == 3.0
    assert given["iterator_valid__batch_size"] == 5
    assert given["module__dropout"] == 0.5
    assert given["criterion__saddle"] == "batch"
    assert {name.partition("__")[0] for name in given if "__" in name} <= set(PREFIXES)


def test_a_prefixed_parameter_may_be_none(make):
    given = net_parameters(
        make(optimizer__averaging=None).get_params(deep=False), TabularMLP, (5,), TARGETS
    )
    assert given["optimizer__averaging"] is None


@pytest.mark.parametrize("parameters", [{"version": "v1"}, {"prior": 0.2}], ids=str)
def test_parameters_of_the_running_form_of_the_loss_select_it(make, parameters):
    prefixed = {f"criterion__{name}": value for name, value in parameters.items()}
    given = net_parameters(make(**prefixed).get_params(deep=False), TabularMLP, (5,), TARGETS)
    assert "criterion__saddle" not in given
    assert prefixed.items() <= given.items()


def test_sizes_that_follow_from_the_data_go_to_the_module_unless_they_are_given(make):
    parameters = make(module__n_bins=5).get_params(deep=False)
    sizes = {"n_bins": 16, "n_landmarks": 100}
    given = net_parameters(parameters, TabularMLP, (5,), TARGETS, None, sizes)
    assert (given["module__n_bins"], given["module__n_landmarks"]) == (5, 100)


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (TabularMLP, (5,), {"module__n_features": 5}),
        (ResNet20, (3, 8, 8), {"module__in_channels": 3}),
        (nn.Linear, (5,), {}),
        (nn.Linear(5, 1), (5,), {}),
        (TabularMLP, (5, 2), {}),
    ],
    ids=str,
)
def test_a_module_class_is_told_the_size_of_its_input_if_it_asks(make, module, shape, expected):
    given = net_parameters(make().get_params(deep=False), module, shape, TARGETS)
    assert {k: v for k, v in given.items() if k.startswith("module__")} == expected


def test_n_members_goes_to_the_module(make):
    parameters = make(n_members=np.int64(3)).get_params(deep=False)
    given = net_parameters(parameters, TabularMLP, (5,), TARGETS)
    assert given["module__n_members"] == 3
    assert type(given["module__n_members"]) is int


def test_the_size_of_the_input_is_reserved_for_the_default_network_only(make):
    parameters = make(module__n_features=5).get_params(deep=False)
    with pytest.raises(ValueError, match="module__n_features is not a parameter of TabularMLP"):
        check_module_parameters(parameters, TabularMLP)
    check_module_parameters(parameters | {"module": TabularMLP}, TabularMLP)


def test_a_module_that_takes_any_keyword_takes_any_parameter(make):
    class Anything(nn.Module):
        def __init__(self, **options):
            super().__init__()

    parameters = make(module=Anything, module__depth=3, n_members=2).get_params(deep=False)
    check_parameters(parameters)
    check_module_parameters(parameters, Anything)
    assert parameter_names(Anything) is None
    assert parameter_names(lambda a, *, b=1: None) == {"a", "b"}
