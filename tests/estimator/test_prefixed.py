"""Prefixed parameters of any scikit-learn estimator."""

import inspect

import pytest
from sklearn.base import BaseEstimator, clone

from skdam import CompositionalAUCClassifier
from skdam.estimator.prefixed import PrefixedParametersMixin, of_prefix


class Estimator(PrefixedParametersMixin, BaseEstimator):
    _prefixes = ("part", "other_part")

    def __init__(self, size=1, **prefixed):
        self.size = size
        self._store_prefixed(prefixed)


def test_prefixed_parameters_are_parameters():
    estimator = Estimator(part__depth=2)
    assert estimator.get_params() == {"size": 1, "part__depth": 2}
    estimator.set_params(size=3, part__depth=4, other_part__x=None)
    assert estimator.get_params() == {"size": 3, "part__depth": 4, "other_part__x": None}
    assert clone(estimator).get_params() == estimator.get_params()


def test_the_signature_is_that_of_the_class_without_prefixed():
    class Other(CompositionalAUCClassifier):
        def __init__(self, extra=1, **kwargs):
            super().__init__(**kwargs)
            self.extra = extra

    assert list(inspect.signature(Estimator).parameters) == ["size"]
    assert list(inspect.signature(Other).parameters) == ["extra"]
    assert "lr" in inspect.signature(CompositionalAUCClassifier).parameters
    assert clone(Other(extra=2, lr=0.1, module__dropout=0.3)).get_params()["extra"] == 2


@pytest.mark.parametrize("name", ["depth", "part", "part__", "__depth", "third__depth"])
def test_other_names_are_refused(name):
    with pytest.raises(TypeError, match=f"no parameter '{name}'.*part__, other_part__"):
        Estimator(**{name: 1})
    with pytest.raises(ValueError, match="Invalid parameter"):
        Estimator().set_params(**{name: 1})


@pytest.mark.parametrize("name", ["module__", "callbacks__", "lr__x"])
def test_a_name_without_its_end_is_refused(make, name):
    clf = make()
    with pytest.raises(ValueError, match=f"Invalid parameter '{name}'"):
        clf.set_params(**{name: 1})
    assert clf.get_params() == make().get_params()


def test_a_prefix_selects_its_parameters():
    parameters = {"size": 1, "part__depth": 2, "part__of__it": 3, "other_part__depth": 4}
    assert of_prefix(parameters, "part") == {"depth": 2, "of__it": 3}
    assert of_prefix(parameters, "other_part") == {"depth": 4}
    assert of_prefix(parameters, "size") == {}


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("learning_rate", "lr"),
        ("epochs", "max_epochs"),
        ("n_epochs", "max_epochs"),
        ("hidden_layer_sizes", "module__hidden_layer_sizes"),
        ("scale_pos_weight", "sampling_rate"),
        ("n_estimators", "n_members"),
        ("verbosity", "verbose"),
        ("bath_size", "batch_size"),
    ],
)
def test_a_name_of_another_library_or_a_typing_error_gets_a_suggestion(make, name, suggestion):
    with pytest.raises(TypeError, match=f"no parameter '{name}'; did you mean '{suggestion}'"):
        make(**{name: 1})
    with pytest.raises(ValueError, match=f"no parameter '{name}'; did you mean '{suggestion}'"):
        make().set_params(**{name: 1})


def test_a_name_like_no_other_gets_the_list(make):
    with pytest.raises(TypeError, match=r"no parameter 'xyz'; it has .*batch_size.*module__"):
        make(xyz=1)


class Renamed(CompositionalAUCClassifier):
    """Has another default, and passes on the rest, as is usual with skorch."""

    def __init__(self, module=None, *, lr=0.002, **others):
        super().__init__(module, lr=lr, **others)


def test_a_subclass_that_passes_on_keywords_has_all_parameters(toy):
    clf = Renamed(max_epochs=2, module__dropout=0.1, random_state=0)
    assert clf.get_params().keys() == {
        *CompositionalAUCClassifier().get_params(),
        "module__dropout",
    }
    copy = clone(clf).set_params(max_epochs=1).fit(*toy)
    assert (copy.n_iter_, copy.lr, copy.module__dropout) == (1, 0.002, 0.1)
    assert "max_epochs=2" in repr(clf)
