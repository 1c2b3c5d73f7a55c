"""What is chosen by the network, the shape and the number of rows of the data."""

import ast
import inspect
import math
import re

import numpy as np
import pytest
from sklearn.datasets import make_classification
from torch import nn

from skdam import CompositionalAUCClassifier, ResNet20, TabularMLP
from skdam.estimator.defaults import is_tabular, module_for, network_size, recipe, takes_gaps
from skdam.estimator.parameters import check_parameters, net_parameters


class Custom(TabularMLP):
    """A user's variant of the default network."""


def test_the_default_network_depends_on_the_shape_of_an_example():
    assert module_for(None, (5,)) is TabularMLP
    assert module_for(None, (3, 32, 32)) is ResNet20
    with pytest.raises(ValueError, match="pass module="):
        module_for(None, (5, 5))
    linear = nn.Linear(5, 1)
    assert module_for(linear, (5, 5)) is linear


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (TabularMLP, True),
        (Custom, True),
        (TabularMLP(2), True),
        (nn.Linear, False),
        (nn.Linear(2, 1), False),
        (ResNet20, False),
    ],
)
def test_the_recipe_for_tables_is_for_the_default_network_and_its_subclasses(module, expected):
    assert is_tabular(module) == takes_gaps(module) == expected
    assert ("optimizer__adaptive" in recipe(module, "alternating", targets(500), (2,))) == expected
    is_class = isinstance(module, type)
    assert bool(network_size(module, None, 500, 2)) == (expected and is_class)


def test_the_default_network_takes_gaps():
    assert takes_gaps(None)


def targets(n_rows, share=0.1):
    return np.arange(n_rows) < share * n_rows


SIZES = [4, 50, 200, 3_000, 12_800, 100_000, 10**6, 10**7]


@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
@pytest.mark.parametrize(
    ("n_features", "least"), [(3, 3600), (1_000, 3600), (2_000, 1800), (20_000, 300)]
)
@pytest.mark.parametrize("n_rows", SIZES)
def test_training_of_the_default_network_has_8_epochs_and_300_to_3600_batches_at_least(
    n_rows, n_features, least, variant
):
    if n_rows >= 20_000:
        least = max(least / 3, 300)
    chosen = recipe(TabularMLP, variant, targets(n_rows), (n_features,))
    assert 128 <= chosen["batch_size"] <= 1024
    n_batches = math.ceil(n_rows / chosen["batch_size"])
    assert chosen["max_epochs"] >= 8
    assert chosen["max_epochs"] * n_batches >= least
    # and no more epochs than that takes
    assert chosen["max_epochs"] == 8 or (chosen["max_epochs"] - 1) * n_batches < least
    assert chosen["lr"] == pytest.approx(0.001 * math.sqrt(chosen["batch_size"] / 128))


@pytest.mark.parametrize(
    ("module", "shape", "largest"),
    [(nn.Linear, (3,), 1024), (ResNet20, (3, 32, 32), 128)],
)
@pytest.mark.parametrize("n_rows", SIZES)
def test_training_of_others_has_20_epochs_and_300_batches_at_least(n_rows, module, shape, largest):
    chosen = recipe(module, "alternating", targets(n_rows), shape)
    assert 64 <= chosen["batch_size"] <= largest
    n_batches = math.ceil(n_rows / chosen["batch_size"])
    assert chosen["max_epochs"] >= 20
    assert chosen["max_epochs"] * n_batches >= 300
    assert chosen["max_epochs"] == 20 or (chosen["max_epochs"] - 1) * n_batches < 300


def test_a_new_residual_network_has_decays_and_a_rate_of_its_own():
    def of(module, **kwargs):
        chosen = recipe(module, kwargs.pop("variant", "alternating"), y, (3, 8, 8), **kwargs)
        return tuple(chosen[name] for name in ("lr", "weight_decay", "epoch_decay"))

    y = targets(1000)
    assert of(ResNet20) == (0.3, 5e-4, 0)
    for changes in ({"strategy": "auc"}, {"strategy": "two-stage"}, {"variant": "lookahead"}):
        assert of(ResNet20, **changes) == (0.1, 5e-4, 0)
    # an instance may have learnt weights
    assert of(ResNet20(3)) == of(nn.Conv2d) == (0.1, 1e-4, 2e-3)


@pytest.mark.parametrize("n_rows", SIZES)
def test_training_of_tables_that_cannot_stop_early_is_shorter(n_rows):
    stopping = recipe(TabularMLP, "alternating", targets(n_rows), (3,))
    chosen = recipe(TabularMLP, "alternating", targets(n_rows), (3,), stops=False)
    n_batches = math.ceil(n_rows / chosen["batch_size"])
    assert chosen["max_epochs"] * n_batches >= 400
    assert chosen["max_epochs"] == 8 or (chosen["max_epochs"] - 1) * n_batches < 400
    assert chosen | {"max_epochs": stopping["max_epochs"]} == stopping


@pytest.mark.parametrize(("module", "shape"), [(TabularMLP, (3,)), (ResNet20, (3, 32, 32))])
def test_batches_grow_with_the_data(module, shape):
    sizes = [
        recipe(module, "alternating", targets(n_rows), shape)["batch_size"] for n_rows in SIZES
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5])
def test_the_rarer_class_of_a_large_table_is_drawn_more_often_but_not_half_of_the_time(share):
    rate = recipe(TabularMLP, "alternating", targets(20_000, share), (3,))["sampling_rate"]
    assert rate**2 == pytest.approx(share * 0.5)
    mirrored = recipe(TabularMLP, "alternating", targets(20_000, 1 - share), (3,))
    assert mirrored["sampling_rate"] == pytest.approx(1 - rate)


@pytest.mark.parametrize(
    ("module", "n_rows"), [(TabularMLP, 19_999), (nn.Linear, 50_000), (ResNet20, 50_000)]
)
def test_half_of_the_other_batches_is_positive(module, n_rows):
    assert recipe(module, "alternating", targets(n_rows, 0.02), (3,))["sampling_rate"] == 0.5


@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
def test_what_is_chosen_are_parameters_of_the_classifier(variant):
    for module, shape in ((TabularMLP, (3,)), (nn.Linear, (3,)), (ResNet20, (3, 8, 8))):
        chosen = recipe(module, variant, targets(1000), shape)
        clf = CompositionalAUCClassifier(variant=variant, **chosen)
        check_parameters(clf.get_params(deep=False))


@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
@pytest.mark.parametrize(
    ("n_rows", "batch_size", "lr", "max_epochs"),
    [
        (10_000, 32, 5e-4, 12),  # 313 batches an epoch
        (10_000, 512, 2e-3, 180),  # 20 batches an epoch
        (1_000, 128, 1e-3, 450),
        (1_000, 5_000, 1e-3 * math.sqrt(1_000 / 128), 3_600),  # one batch of all rows
        (50, 64, 1e-3 * math.sqrt(0.5), 3_600),
        (50, 128, 1e-3, 3_600),
    ],
)
def test_rate_and_epochs_follow_the_batch_size_given_by_the_user(
    n_rows, batch_size, lr, max_epochs, variant
):
    def derived(**given):
        parameters = CompositionalAUCClassifier(variant=variant, **given).get_params(deep=False)
        return net_parameters(parameters, TabularMLP, (3,), targets(n_rows))

    mine = derived(batch_size=batch_size)
    assert mine["lr"] == pytest.approx(lr)
    assert (mine["batch_size"], mine["max_epochs"]) == (batch_size, max_epochs)
    automatic = derived()
    assert derived(batch_size=automatic["batch_size"]) == automatic
    # a loader with batches of its own leaves them as they are
    other = derived(batch_size=batch_size, iterator_train__batch_size=16)
    assert [other[name] for name in ("lr", "max_epochs")] == [
        automatic[name] for name in ("lr", "max_epochs")
    ]


def test_epochs_of_other_networks_follow_the_batch_size_given_by_the_user():
    parameters = CompositionalAUCClassifier(batch_size=500).get_params(deep=False)
    derived = net_parameters(parameters, nn.Conv2d, (3, 8, 8), targets(5_000))
    assert derived["max_epochs"] == 30  # 300 batches
    assert derived["lr"] == 0.1


def test_parameters_given_by_the_user_are_kept():
    given = {"batch_size": 7, "max_epochs": 5, "lr": 0.3, "optimizer__averaging": 0.5}
    given |= {"module__n_bins": 3, "module__n_landmarks": 9, "criterion__saddle": "running"}
    parameters = CompositionalAUCClassifier(**given).get_params(deep=False)
    derived = net_parameters(parameters, TabularMLP, (3,), targets(1000))
    assert {name: derived[name] for name in given} == given


@pytest.mark.parametrize(
    ("given", "saddle"),
    [
        ({"criterion__version": "v1"}, "running"),
        ({"criterion__version": "v1", "criterion__prior": 0.2}, "running"),
        ({"criterion__version": "v2"}, "batch"),
        ({"criterion__prior": None}, "batch"),
    ],
)
def test_a_version_of_the_loss_given_by_the_user_is_trained(toy, make, given, saddle):
    assert make(max_epochs=1, **given).fit(*toy).net_.criterion_.saddle == saddle


def test_a_network_of_the_user_has_other_steps_than_the_default_one(toy, make):
    default, custom = make(max_epochs=1), make(module=nn.Linear, module__out_features=1)
    custom.set_params(module__in_features=4, max_epochs=1)
    assert default.fit(*toy).net_.criterion_.saddle == "batch"
    assert custom.fit(*toy).net_.criterion_.saddle == "running"


def network(n_rows, n_features=3):
    return network_size(TabularMLP, None, n_rows, n_features)


def test_landmarks_are_no_more_than_the_rows():
    assert network(40)["n_landmarks"] == 40
    assert network(512)["n_landmarks"] == network(20_000)["n_landmarks"] == 512


def test_there_is_no_kernel_machine_above_20_000_rows():
    assert network(20_001)["n_landmarks"] == network(10**6)["n_landmarks"] == 0
    assert TabularMLP(3, **network(20_001)).kernel_machine is None
    assert TabularMLP(3, **network(20_000)).kernel_machine is not None


def test_very_few_rows_and_many_columns_have_no_encoding():
    for n_rows, n_features in ((999, 3), (4, 1), (10**6, 1_001), (1_000, 10_000)):
        chosen = network(n_rows, n_features)
        assert chosen["encoding"] is None
        assert TabularMLP(n_features, (), **chosen).encoded is None
    for n_rows, n_features in ((1_000, 3), (1_000, 1_000), (10**6, 1_000)):
        assert "encoding" not in network(n_rows, n_features)


def test_few_rows_have_8_bins():
    assert network(1_000)["n_bins"] == network(2_499)["n_bins"] == 8
    assert "n_bins" not in network(2_500)
    assert inspect.signature(TabularMLP).parameters["n_bins"].default > 8


def test_the_rules_reach_the_network_that_is_trained(toy, make):
    X, y = toy
    many = np.tile(X, (5, 1)), np.tile(y, 5)
    small, large = (make(max_epochs=1).fit(*data).net_.module_ for data in (toy, many))
    assert small.encoded is None
    assert large.encoded.vectors[0].shape[1] == 9  # 8 bins
    given = {"module__encoding": "piecewise-linear", "module__n_bins": 3}
    encoded = make(max_epochs=1, **given).fit(*toy).net_.module_.encoded
    assert encoded.vectors[0].shape[1] == 4


@pytest.fixture
def many():
    """Columns of a large table: whole numbers of few and of many values, gaps, fractions."""
    n = 20_000
    number = np.arange(n)
    return np.column_stack(
        [
            number % 400,
            number % 401,
            np.where(number % 3, number % 60 - 30, np.nan),
            number % 4 / 2,
            np.full(n, np.nan),
            np.where(number == 12_345, 0.5, number % 7),
        ]
    ).astype(np.float32)


def test_whole_numbers_of_a_large_table_have_a_vector_for_each_of_up_to_400_values(many):
    chosen = network_size(TabularMLP, many, len(many), many.shape[1])
    distinct = [len(np.unique(c[~np.isnan(c)])) for c in many.T]
    assert chosen["n_values"] == (distinct[0], 0, distinct[2], 0, 0, 0)
    assert TabularMLP(many.shape[1], **chosen)
    few = many[:19_999]
    assert "n_values" not in network_size(TabularMLP, few, len(few), many.shape[1])


def test_a_value_that_a_sample_of_the_rows_has_not_is_counted(many):
    column = np.concatenate([many[:, 0]] * 3)[:, None]
    column[1] = 400  # the sample holds every third row
    assert network_size(TabularMLP, column, len(column), 1)["n_values"] == (0,)
    column[1] = 0.5
    assert network_size(TabularMLP, column, len(column), 1)["n_values"] == (0,)
    column[1] = 7
    assert network_size(TabularMLP, column, len(column), 1)["n_values"] == (400,)


def test_tables_of_too_many_values_have_bins(many):
    wide = np.broadcast_to(many[:, :1], (len(many), 42))
    assert network_size(TabularMLP, wide, len(wide), 42)["n_values"] is None
    assert network_size(TabularMLP, wide[:, :40], len(wide), 40)["n_values"] == (400,) * 40


DOCUMENTED = {
    name: (of_tables, of_others)
    for name, of_tables, of_others in re.findall(
        r"^ +``(\w+)`` +(\S.*?) {2,}(\S.*)$", CompositionalAUCClassifier.__doc__, re.MULTILINE
    )
}


@pytest.mark.parametrize(
    "name", ["betas", "weight_decay", "epoch_decay", "clip_value", "milestones"]
)
def test_what_is_automatic_is_what_the_documentation_says(name):
    of_tables, of_others = DOCUMENTED[name]
    of_others, _, of_resnet = of_others.partition("; ResNet20: ")
    for module, shape, text in (
        (TabularMLP, (3,), of_tables),
        (nn.Conv2d, (3, 8, 8), of_others),
        (ResNet20, (3, 8, 8), of_resnet or of_others),
    ):
        expected = math.inf if text == "inf" else ast.literal_eval(text)
        assert recipe(module, "alternating", targets(500), shape)[name] == expected


def test_the_default_network_predicts_with_the_average_that_is_documented():
    averaging = recipe(TabularMLP, "alternating", targets(500), (3,))["optimizer__averaging"]
    assert f"``optimizer__averaging={averaging}``" in CompositionalAUCClassifier.__doc__
    assert "optimizer__averaging" not in recipe(TabularMLP, "lookahead", targets(500), (3,))


@pytest.mark.parametrize("strategy", ["two-stage", "auc", "cross-entropy"])
def test_strategies_without_a_composition_have_no_variant(strategy):
    X, y = make_classification(weights=[0.8], random_state=0)
    scores = [
        CompositionalAUCClassifier(
            strategy=strategy, variant=variant, max_epochs=4, random_state=0
        ).fit(X, y).decision_function(X)
        for variant in ("alternating", "lookahead")
    ]  # fmt: skip
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("n_rows", SIZES)
def test_batches_of_tables_are_a_share_of_the_rows(n_rows):
    ours, others = (
        recipe(module, "alternating", targets(n_rows), (3,))["batch_size"]
        for module in (TabularMLP, nn.Linear)
    )
    assert ours == min(max(n_rows // 96, 128), 1024)
    assert others == min(max(n_rows // 128, 64), 1024)


def test_large_tables_have_more_dropout_but_very_large_ones_have_not():
    assert network(20_000)["dropout"] == network(199_999)["dropout"] == 0.3
    for n_rows in (19_999, 200_000):
        assert "dropout" not in network(n_rows)
