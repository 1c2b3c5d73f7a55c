import copy
import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, Checkpoint, LRScheduler
from torch import nn

from skdam import CompositionalAUCClassifier, DivergenceError, TabularMLP
from skdam.data.examples import labels_of


def make(**parameters):
    return CompositionalAUCClassifier(**({"max_epochs": 3, "random_state": 0} | parameters))


class Flat(nn.Module):
    """A custom module for examples of any shape."""

    def __init__(self, n_inputs=12, n_outputs=1):
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, X):
        return self.linear(X.flatten(1))


# --- what it returns -----------------------------------------------------------------


@pytest.mark.parametrize(
    "labels", [(0, 1), (-1, 1), ("fine", "fault"), (False, True), (2.0, 1.0)], ids=str
)
def test_any_two_labels(toy, labels):
    X, y = toy
    labels = np.array(labels)
    clf = make(max_epochs=20).fit(X, labels[y.astype(int)])
    np.testing.assert_array_equal(clf.classes_, np.sort(labels))
    scores = clf.decision_function(X)
    probabilities = clf.predict_proba(X)
    assert scores.shape == (200,)
    assert scores.dtype == probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_array_equal(np.argsort(probabilities[:, 1]), np.argsort(scores))
    expected = clf.classes_[(scores > 0).astype(int)]
    np.testing.assert_array_equal(clf.predict(X), expected)
    np.testing.assert_array_equal(clf.classes_[probabilities.argmax(1)], expected)
    positive = labels[y.astype(int)] == clf.classes_[1]
    assert roc_auc_score(positive, scores) > 0.8


def test_predict_cuts_midway_between_the_class_means(toy):
    X, y = toy
    clf = make(max_epochs=20).fit(X, y)
    raw = 1 / (1 + np.exp(-clf.net_.decision_function(X)))
    middle = (raw[y == 1].mean() + raw[y == 0].mean()) / 2
    np.testing.assert_array_equal(clf.predict(X) == 1, raw > middle)


def test_frames(cancer):
    X, y = cancer
    clf = make().fit(X, y)
    assert list(clf.feature_names_in_) == list(X.columns)
    np.testing.assert_array_equal(
        clf.decision_function(X), make().fit(X.to_numpy(), y).decision_function(X.to_numpy())
    )


def test_raw_features_work(cancer):
    """Neither the scale nor the offset of a column matters."""
    X, y = cancer
    moved = X * np.logspace(-4, 4, X.shape[1]) + np.linspace(-100, 100, X.shape[1])
    aucs = [roc_auc_score(y, make().fit(Z, y).decision_function(Z)) for Z in (X, moved)]
    assert aucs[1] == pytest.approx(aucs[0], abs=0.01)


def test_history(toy):
    clf = make(max_epochs=4, milestones=(0.5,)).fit(*toy)
    assert clf.n_iter_ == 4
    np.testing.assert_array_equal(clf.history_["epoch"], [1, 2, 3, 4])
    np.testing.assert_allclose(clf.history_["lr"], [0.1, 0.1, 0.01, 0.01])
    assert np.isfinite(clf.history_["inner_loss"]).all()
    assert np.isfinite(clf.history_["outer_loss"]).all()


def test_history_of_two_stages_has_gaps(toy):
    history = make(max_epochs=4, strategy="two-stage").fit(*toy).history_
    np.testing.assert_array_equal(np.isnan(history["inner_loss"]), [False, False, True, True])
    np.testing.assert_array_equal(np.isnan(history["outer_loss"]), [True, True, False, False])


def test_arrays_of_any_layout(toy):
    X, y = toy
    frozen = X.copy()
    frozen.setflags(write=False)
    expected = make().fit(X, y).decision_function(X)
    for other in (frozen, np.asfortranarray(X), X.repeat(2, axis=1)[:, ::2], X.tolist()):
        np.testing.assert_array_equal(make().fit(other, y).decision_function(other), expected)
    for other in (X[::-1], pd.DataFrame(X).iloc[::-1].to_numpy()):
        assert make().fit(other, y[::-1]).predict(other).shape == (200,)
    frame = pd.DataFrame(X, columns=list("abcd")).iloc[::-1]
    assert make().fit(frame, y[::-1]).predict(frame).shape == (200,)


def test_fit_does_not_change_the_data(toy):
    X, y = toy

    class InPlace(Flat):
        def __init__(self):
            super().__init__(4)

        def forward(self, X):
            return super().forward(torch.relu_(X))

    before = X.copy()
    make(module=InPlace).fit(X, y).predict(X)
    np.testing.assert_array_equal(X, before)


# --- modules -------------------------------------------------------------------------


def test_a_class_gets_its_parameters_and_n_features(toy):
    clf = make(module=TabularMLP, module__hidden_layer_sizes=(7,)).fit(*toy)
    assert clf.net_.module_.layers[0].weight.shape[2] == 7
    assert clf.net_.module_.standardise.mean.shape == (4,)


def test_n_members(toy):
    X, y = toy
    assert make().fit(X, y).net_.forward(X).shape == (200, 8)
    assert make(n_members=3).fit(X, y).net_.forward(X).shape == (200, 3)
    assert make(n_members=1).fit(X, y).net_.forward(X).shape == (200,)


@pytest.mark.parametrize(
    ("n", "batch_size", "n_epochs"), [(200, 128, 150), (200, 2, 20), (200, 16, 24), (50, 128, 300)]
)
def test_epochs_are_enough_for_300_batches(toy, n, batch_size, n_epochs):
    X, y = (part[:n] for part in toy)
    clf = make(max_epochs="auto", batch_size=batch_size, n_members=1, module__hidden_layer_sizes=())
    assert clf.fit(X, y).n_iter_ == n_epochs


@pytest.mark.parametrize(
    ("n", "batch_size"), [(50, 50), (5000, 64), (12_800, 100), (140_000, 1024)]
)
def test_batches_grow_with_the_data(n, batch_size):
    X = np.random.default_rng(0).normal(size=(n, 1)).astype(np.float32)
    clf = make(max_epochs=1, n_members=1, module__hidden_layer_sizes=())
    sampler = clf.fit(X, np.arange(n) % 3 == 0).net_.sampler_
    assert sampler.n_positive + sampler.n_negative == batch_size


def test_n_dimensional_input_with_a_module_of_ones_own(toy):
    X, y = toy
    images = np.repeat(X[:, :, None], 3, axis=2)
    clf = make(module=Flat).fit(images, y)
    assert clf.decision_function(images).shape == (200,)
    with pytest.raises(ValueError, match=r"shape \(4, 3\) as in fit, got \(4, 2\)"):
        clf.predict(images[:, :, :2])


def test_an_instance_is_copied_with_its_weights(toy):
    module = Flat(4)
    before = copy.deepcopy(module.state_dict())
    clf = make(module=module, max_epochs=1, lr=1e-12).fit(*toy)
    assert clf.module is module
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
        torch.testing.assert_close(clf.net_.module_.state_dict()[name], value)


def test_a_lambda_may_be_the_inner_loss(toy):
    clf = make(inner_loss=lambda logits, targets: (logits - targets) ** 2).fit(*toy)
    assert clf.history_["inner_loss"][0] != make().fit(*toy).history_["inner_loss"][0]


# --- parameters ----------------------------------------------------------------------


PREFIXED = {
    "module__hidden_layer_sizes": (8,),
    "module__dropout": 0.1,
    "criterion__version": "v1",
    "optimizer__adaptive": True,
    "iterator_train__batch_size": 32,
    "callbacks__print_log": None,
}


def test_prefixed_parameters_in_constructor_set_params_and_clone(toy):
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
    assert net.module_.layers[0].weight.shape[2] == 8
    assert net.criterion_.version == "v1"
    assert net.optimizer_.adaptive
    assert net.sampler_.n_positive + net.sampler_.n_negative == 32
    assert "print_log" not in dict(net.callbacks_)


def test_prefixed_parameters_are_keys_of_a_search(toy):
    grid = {"module__hidden_layer_sizes": [(4,), (8, 8)], "lr": [0.1]}
    search = GridSearchCV(make(), grid, cv=2, scoring="roc_auc", error_score="raise").fit(*toy)
    best = search.best_estimator_
    sizes = [m.weight.shape[2] for m in best.net_.module_.layers if hasattr(m, "weight")]
    assert tuple(sizes[:-1]) == search.best_params_["module__hidden_layer_sizes"]


def test_callbacks_and_their_parameters(toy):
    class Counter(Callback):
        def __init__(self, step=1):
            self.step = step

        def on_train_begin(self, net, **kwargs):
            self.total_ = 0

        def on_epoch_end(self, net, **kwargs):
            self.total_ += self.step

    clf = make(callbacks=[("counter", Counter())], callbacks__counter__step=5).fit(*toy)
    assert dict(clf.net_.callbacks_)["counter"].total_ == 15


def test_unknown_names_are_refused_at_once():
    with pytest.raises(TypeError, match="no parameter 'max_epoch'"):
        CompositionalAUCClassifier(max_epoch=3)
    with pytest.raises(ValueError, match="Invalid parameter 'max_epoch'"):
        make().set_params(max_epoch=3)


def test_every_parameter_is_documented_and_checked():
    names = set(inspect.signature(CompositionalAUCClassifier).parameters)
    assert names == set(CompositionalAUCClassifier._parameter_constraints)
    documented = CompositionalAUCClassifier.__doc__
    assert all(f"\n    {name} : " in documented for name in names)


def test_verbose_prints_a_line_for_each_epoch(toy, capsys):
    make(verbose=1).fit(*toy)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["epoch", "-------", "1", "2", "3"]
    make().fit(*toy)
    assert capsys.readouterr().out == ""


def test_cuda_where_it_is_and_the_cpu_where_not(toy):
    clf = make(device="auto").fit(*toy)
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert next(clf.net_.module_.parameters()).device.type == expected


# --- randomness ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"module__dropout": 0.3},
        {"variant": "lookahead", "hypergradient": "exact", "module__dropout": 0.3},
        {"strategy": "two-stage"},
        {"early_stopping": True},
    ],
    ids=str,
)
def test_the_same_seed_gives_the_same_model(toy, parameters, untouched_generators):
    first = make(**parameters).fit(*toy)
    np.random.seed(7)
    torch.manual_seed(7)
    with untouched_generators():
        second = make(**parameters).fit(*toy)
        second.predict(toy[0])
    for name, value in first.net_.module_.state_dict().items():
        assert torch.equal(value, second.net_.module_.state_dict()[name])


def test_seeds_differ(toy):
    def scores(seed):
        return make(random_state=seed).fit(*toy).decision_function(toy[0])

    assert not np.array_equal(scores(0), scores(1))
    assert not np.array_equal(scores(None), scores(None))
    rng = np.random.RandomState(0)
    assert not np.array_equal(scores(rng), scores(rng))


def test_no_seed_leaves_the_global_generators_alone(toy, untouched_generators):
    with untouched_generators():
        make(random_state=None).fit(*toy)


# --- early stopping, warm start, partial fit -------------------------------------------


def test_early_stopping_keeps_the_best_weights(toy):
    clf = make(
        early_stopping=True, max_epochs=100, n_iter_no_change=4, validation_fraction=0.3, lr=0.3
    ).fit(*toy)
    aucs = clf.history_["valid_roc_auc"]
    best = int(np.argmax(aucs))
    assert clf.best_score_ == aucs[best]
    assert clf.n_iter_ == len(aucs) < 100
    short = make(
        early_stopping=True, max_epochs=best + 1, validation_fraction=0.3, lr=0.3, milestones=()
    )
    assert best + 1 < 50  # before the first milestone, so that the shorter run is the same
    short.fit(*toy)
    np.testing.assert_array_equal(short.decision_function(toy[0]), clf.decision_function(toy[0]))


def test_early_stopping_counts_only_improvements_of_tol(toy):
    options = {"early_stopping": True, "max_epochs": 60, "n_iter_no_change": 3, "lr": 0.3}
    assert make(tol=0.9, **options).fit(*toy).n_iter_ == 4


def test_early_stopping_validates_on_a_stratified_share(toy):
    X, y = toy  # 30 positives, 170 negatives
    sizes = []

    class Look(Callback):
        def on_train_begin(self, net, X, y, **kwargs):
            valid = labels_of(net.train_split(None)[1])
            sizes.extend([(y.sum(), (1 - y).sum()), (valid.sum(), (1 - valid).sum())])

    make(early_stopping=True, validation_fraction=0.2, callbacks=[Look()]).fit(X, y)
    assert sizes == [(24, 136), (6, 34)]


def test_early_stopping_with_the_fewest_examples(toy):
    X, y = toy
    rows = np.r_[np.flatnonzero(y == 1)[:2], np.flatnonzero(y == 0)]
    clf = make(early_stopping=True).fit(X[rows], y[rows])
    assert 0 <= clf.best_score_ <= 1
    with pytest.raises(ValueError, match=r"at least 2 examples of each class, got 1 of 1\.0"):
        clf.fit(X[rows[1:]], y[rows[1:]])
    assert not hasattr(make().fit(X, y), "best_score_")


def test_a_fit_without_early_stopping_forgets_the_score(toy):
    clf = make(early_stopping=True).fit(*toy)
    assert not hasattr(clf.set_params(early_stopping=False).fit(*toy), "best_score_")


def test_warm_start_goes_on_from_the_weights(toy):
    cold = make(max_epochs=20).fit(*toy)
    warm = clone(cold).set_params(warm_start=True).fit(*toy)
    scores = warm.decision_function(toy[0])
    np.testing.assert_array_equal(scores, cold.decision_function(toy[0]))
    warm.set_params(lr=1e-12).fit(*toy)
    assert warm.n_iter_ == 40
    np.testing.assert_allclose(warm.decision_function(toy[0]), scores, atol=1e-6)
    assert warm.history_["inner_loss"][-1] < warm.history_["inner_loss"][0]
    assert cold.fit(*toy).n_iter_ == 20


def test_warm_start_wants_the_same_data_and_classes(toy):
    X, y = toy
    clf = make(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="3 features"):
        clf.fit(X[:, :3], y)
    with pytest.raises(ValueError, match=r"y holds \[2.0\]"):
        clf.fit(X, y * 2)
    with pytest.raises(ValueError, match="the network is another one than in the last fit"):
        clf.set_params(module__hidden_layer_sizes=(3,)).fit(X, y)


@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
def test_partial_fit_continues_training(toy, variant):
    clf = make(variant=variant, batch_size=100)
    losses = []
    for _ in range(30):
        losses.append(clf.partial_fit(*toy).history_["outer_loss"][-1])
    assert clf.n_iter_ == 30
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert clf.net_.optimizer_.state_dict()["schedule"]["steps"] == 30 * 2 * (
        2 if variant == "lookahead" else 1
    )
    again = make(variant=variant, batch_size=100)
    for _ in range(30):
        again.partial_fit(*toy)
    np.testing.assert_array_equal(again.decision_function(toy[0]), clf.decision_function(toy[0]))


def test_partial_fit_checks_classes_and_forgets_the_score(toy):
    clf = make(early_stopping=True).fit(*toy)
    with pytest.raises(ValueError, match=r"classes holds \[5\], the classes are"):
        clf.partial_fit(*toy, classes=[0, 5])
    assert not hasattr(clf.partial_fit(*toy), "best_score_")


def test_partial_fit_takes_the_rates_of_the_parameters(toy):
    clf = make().partial_fit(*toy)
    scores = clf.net_.decision_function(toy[0])
    # the inner points are averages of weights: without averaging, no rate means no change
    clf.set_params(lr=1e-12, betas=(1, 1)).partial_fit(*toy)
    np.testing.assert_allclose(clf.net_.decision_function(toy[0]), scores, atol=1e-6)


def test_partial_fit_learns_the_classes_from_the_first_call(toy):
    X, y = toy
    names = np.where(y == 1, "ill", "well")
    clf = make().partial_fit(X, names, classes=["well", "ill"])
    assert list(clf.classes_) == ["ill", "well"]
    with pytest.raises(ValueError, match=r"y holds \['dead'\], the classes are"):
        clf.partial_fit(X, np.where(y == 1, "dead", "well"))
    with pytest.raises(ValueError, match="Only binary classification"):
        make().partial_fit(X, names, classes=["well", "ill", "dead"])


def test_two_stages_by_partial_fit(toy):
    clf = make(strategy="two-stage", max_epochs=4)
    for _ in range(4):
        clf.partial_fit(*toy)
    gaps = np.isnan(clf.history_["inner_loss"])
    np.testing.assert_array_equal(gaps, [False, False, True, True])


def test_partial_fit_with_another_strategy_starts_a_new_schedule(toy):
    clf = make(strategy="cross-entropy").partial_fit(*toy)
    clf.set_params(strategy="auc").partial_fit(*toy)
    np.testing.assert_array_equal(np.isnan(clf.history_["outer_loss"]), [True, False])


# --- what skorch users do ---------------------------------------------------------------


def halving(**parameters):
    return LRScheduler("StepLR", step_size=1, gamma=0.5, **parameters)


def test_schedulers_of_skorch_work_with_every_way_to_train(toy):
    clf = make(callbacks=[halving()], milestones=()).fit(*toy)
    np.testing.assert_allclose(clf.history_["lr"], [0.1, 0.05, 0.025])
    clf.partial_fit(*toy)
    clf.set_params(warm_start=True).fit(*toy)
    assert clf.n_iter_ == 7
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(clf)).predict(toy[0]), clf.predict(toy[0])
    )


def test_a_scheduler_stays_connected_in_the_second_stage(toy):
    clf = make(strategy="two-stage", max_epochs=6, callbacks=[halving()], milestones=())
    lr = clf.fit(*toy).history_["lr"]
    assert lr[3] == 0.1  # the second stage begins at the first rate
    np.testing.assert_allclose(lr[4:] / lr[3:-1], 0.5)


def test_a_checkpoint_of_the_first_stage_can_be_the_best(toy, tmp_path):
    checkpoint = Checkpoint(monitor=None, load_best=True, dirname=str(tmp_path))
    clf = make(strategy="two-stage", max_epochs=4, callbacks=[checkpoint]).fit(*toy)
    assert clf.predict(toy[0]).shape == (200,)


def test_early_stopping_reaches_the_second_stage(toy):
    clf = make(strategy="two-stage", early_stopping=True, n_iter_no_change=1, max_epochs=20)
    assert np.isfinite(clf.fit(*toy).history_["outer_loss"]).any()


def test_parameters_from_numpy_can_be_saved(toy):
    clf = make(
        lr=np.float64(0.1), inner_lr=np.float32(0.1), betas=np.array([0.9, 0.9]),
        lr_decay=np.float64(0.5), inner_steps=np.int64(2), margin=np.float64(1),
        max_epochs=np.int64(3), batch_size=np.int64(32),
    ).fit(*toy)  # fmt: skip
    for other in (pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf)):
        np.testing.assert_array_equal(other.predict(toy[0]), clf.predict(toy[0]))


def test_a_mask_of_infinities_is_no_divergence(toy):
    class Masked(Flat):
        def __init__(self):
            super().__init__(4)
            self.register_buffer("mask", torch.full((2, 2), -torch.inf))

    assert make(module=Masked).fit(*toy).n_iter_ == 3


def test_dropout_may_change_between_fits(toy):
    clf = make(warm_start=True).fit(*toy)
    assert clf.set_params(module__dropout=0.5).fit(*toy).n_iter_ == 6


def test_lazy_modules_go_on(toy):
    class Lazy(Flat):
        def __init__(self):
            super().__init__()
            self.linear = nn.LazyLinear(1)

    clf = make(module=Lazy).fit(*toy).partial_fit(*toy)
    assert clf.n_iter_ == 4


# --- bad input -----------------------------------------------------------------------


def with_value(X, value):
    X = X.copy()
    X[3, 2] = value
    return X


BAD_DATA = {
    "one class": (lambda X, y: (X, np.ones_like(y)), "must hold two classes, got one class"),
    "three classes": (
        lambda X, y: (X, np.arange(len(y)) % 3),
        "Only binary classification is supported.*multiclass, with 3 distinct",
    ),
    "NaN": (lambda X, y: (with_value(X, np.nan), y), r"contains NaN(.|\n)*not finite.*\[2\]"),
    "infinity": (lambda X, y: (with_value(X, np.inf), y), r"infinity(.|\n)*not finite.*\[2\]"),
    "too large": (
        lambda X, y: (with_value(X.astype(float), 1e300), y),
        r"infinity or a value too large(.|\n)*\[2\]",
    ),
    "NaN in a frame": (
        lambda X, y: (pd.DataFrame(with_value(X, np.nan), columns=list("abcd")), y),
        r"NaN(.|\n)*\['c'\]",
    ),
    "text in a frame": (
        lambda X, y: (pd.DataFrame(X, columns=list("abcd")).assign(city="Rome"), y),
        r"convert string to float(.|\n)*\['city'\]",
    ),
    "3-D": (lambda X, y: (X[:, :, None], y), r"take X of shape \(n, n_features\).*module="),
    "lengths": (lambda X, y: (X[:-1], y), "inconsistent numbers of samples"),
    "dates": (
        lambda X, y: (pd.DataFrame({"a": X[:, 0], "t": pd.Timestamp("2020-01-01")}), y),
        r"dates and durations have to be encoded as numbers: \['t'\]",
    ),
    "objects": (
        lambda X, y: (pd.DataFrame(X, columns=list("abcd")).assign(o=[{}] * len(X)), y),
        r"not finite numbers: \['o'\]",
    ),
    "NaN in y": (lambda X, y: (X, np.where(np.arange(len(y)) == 0, np.nan, y)), "y contains NaN"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data(toy, case):
    spoil, message = BAD_DATA[case]
    assert_refused(make(), spoil(*toy), message, toy)


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
    ({"n_members": 2, "module": Flat}, "n_members=2 needs a module class with a parameter of that"),
    ({"n_members": 2, "module": Flat(4)}, "n_members=2 needs a module class with a parameter of"),
    ({"module__n_members": 2}, "module__n_members is not a parameter of TabularMLP that can be"),
    ({"batch_size": 1}, "'batch_size' parameter"),
    ({"batch_size": "all"}, "'batch_size' parameter"),
    ({"sampling_rate": 1.0}, "'sampling_rate' parameter"),
    ({"sampling_rate": "much"}, "'sampling_rate' parameter"),
    ({"early_stopping": "yes"}, "'early_stopping' parameter"),
    ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
    ({"n_iter_no_change": 0}, "'n_iter_no_change' parameter"),
    ({"tol": -1}, "'tol' parameter"),
    ({"callbacks": "all"}, "'callbacks' parameter"),
    ({"callbacks": [1]}, "callbacks must be a list of skorch callbacks.*got 1"),
    ({"callbacks": [("a",)]}, "callbacks must be a list of skorch callbacks"),
    ({"betas": ("a", "b")}, "betas must hold numbers"),
    ({"optimizer__eps": "x"}, "eps must hold numbers"),
    ({"module__dropout": "a"}, "dropout must be a number"),
    ({"module__hidden_layer_sizes": 8}, "hidden_layer_sizes must be a sequence"),
    ({"module__n_features": 7}, "module__n_features is not a parameter"),
    ({"inner_loss": nn.BCEWithLogitsLoss}, "inner_loss must be one of"),
    ({"iterator_valid__batch_size": 0}, "batch_size"),
    ({"module": Flat(7)}, "module Flat does not take a batch of shape .2, 4. and dtype"),
    ({"module": Flat(4).double()}, "module Flat does not take a batch of shape"),
    ({"module": Flat(4).requires_grad_(False)}, "module Flat has nothing to train"),
    ({"device": "abacus"}, "device must be 'auto', 'cpu', 'cuda'"),
    ({"device": "meta"}, "device must be 'auto', 'cpu', 'cuda'"),
    ({"device": 0}, "'device' parameter"),
    ({"device": "cuda:99"}, "device='cuda:99' is not there: torch sees"),
    ({"random_state": "lucky"}, "'random_state' parameter"),
    ({"module": "resnet"}, "module must be an nn.Module subclass.*got 'resnet'"),
    ({"module": dict}, "module must be an nn.Module subclass.*got <class 'dict'>"),
    ({"module": Flat, "module__n_inputs": 4, "module__n_outputs": 2}, r"shape \(n,\) or \(n, 1\)"),
    ({"module__depth": 3}, "module__depth is not a parameter of TabularMLP.*hidden_layer_sizes"),
    ({"module": Flat(4), "module__n_inputs": 4}, "module is an instance"),
    ({"module__dropout": 2.0}, "dropout must be"),
    ({"optimizer__momentum": 0.9}, "optimizer__momentum is not a parameter of PDSCA"),
    ({"optimizer__loss": None}, "optimizer__loss is not"),
    ({"criterion__gamma": 2}, "criterion__gamma is not a parameter"),
    ({"iterator_train__shuffle": True}, "iterator_train__shuffle is not a parameter.*batch_size"),
    ({"iterator_valid__sise": 3}, "iterator_valid__sise is not a parameter"),
    ({"callbacks__nobody__x": 1}, "callbacks__nobody__x names no callback"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS, ids=str)
def test_bad_parameters(toy, parameters, message):
    assert_refused(make(**parameters), toy, message, toy)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_cuda_asked_for_and_absent(toy):
    assert_refused(make(device="cuda"), toy, "device='cuda' is not there: torch sees 0", toy)


def assert_refused(estimator, data, message, good):
    """Refused before a first epoch, and without harm to an earlier fit."""
    epochs = []

    class Spy(Callback):
        def on_epoch_begin(self, net, **kwargs):
            epochs.append(1)

    if estimator.callbacks is None:
        estimator.set_params(callbacks=[Spy()])
    for method in ("fit", "partial_fit"):
        if method == "partial_fit" and "milestones" in message:
            continue  # it has none
        fitted = make().fit(*good)
        before = {**vars(fitted)}
        scores = fitted.decision_function(good[0])
        fitted.set_params(**estimator.get_params(deep=False))
        parameters = fitted.get_params(deep=False)
        with pytest.raises((ValueError, TypeError), match=message):
            getattr(clone(fitted), method)(*data)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X has feature names")
            with pytest.raises((ValueError, TypeError)):
                getattr(fitted, method)(*data)
        assert epochs == []
        assert fitted.get_params(deep=False) == parameters
        np.testing.assert_array_equal(fitted.decision_function(good[0]), scores)
        kept = {name for name in before if name.endswith("_")}
        assert all(vars(fitted)[name] is before[name] for name in kept)


def test_scores_of_the_training_data_that_overflow_are_an_error(toy):
    X, y = toy
    far = np.full_like(X, -3e38)
    far[0] = 3e38
    clf = make().fit(X, y)
    with pytest.raises(DivergenceError, match=r"overflow|diverged"):
        clf.fit(far, y)
    assert np.isfinite(clf.decision_function(X)).all()


@pytest.mark.parametrize("size", [1, 17, 50, 100])
def test_scores_do_not_depend_on_the_batch(toy, size):
    X, y = toy
    clf = make().fit(X, y)
    parts = [clf.decision_function(X[i : i + size]) for i in range(0, 100, size)]
    np.testing.assert_array_equal(np.concatenate(parts)[:100], clf.decision_function(X)[:100])


def test_bad_input_to_predict(toy):
    X, y = toy
    clf = make().fit(X, y)
    with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 4"):
        clf.predict(X[:, :3])
    with pytest.raises(ValueError, match=r"NaN(.|\n)*\[2\]"):
        clf.predict_proba(with_value(X, np.nan))
    clf.fit(X * np.float32(1e-3), y)
    with pytest.raises(ValueError, match=r"scores of 1 rows of X overflow, the first in row 3"):
        clf.decision_function(with_value(X, 3e38))


def test_divergence_stops_and_leaves_an_earlier_fit(toy):
    X, y = toy
    clf = make().fit(X, y)
    scores = clf.decision_function(X)
    clf.set_params(lr=1e38, clip_value=1e30)
    for method in ("fit", "partial_fit"):
        with pytest.raises(DivergenceError, match=r"diverged in epoch \d.*lr=1e\+38"):
            getattr(clf, method)(X, y)
        np.testing.assert_array_equal(clf.decision_function(X), scores)
        assert clf.n_iter_ == 3


def test_an_interrupt_keeps_what_was_trained(toy):
    class Impatient(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    clf = make(max_epochs=50, callbacks=[Impatient()]).fit(*toy)
    assert clf.n_iter_ == 2
    assert clf.predict(toy[0]).shape == (200,)
