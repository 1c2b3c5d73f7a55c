"""The public names, and the examples in their docstrings."""

import doctest
import pickle

import pytest

import skdam

PUBLIC = [getattr(skdam, name) for name in skdam.__all__]
CLASSES = [value for value in PUBLIC if isinstance(value, type)]
METHODS = {
    f"{kind.__name__}.{name}": member
    for kind in CLASSES
    for name, member in vars(kind).items()
    if callable(member) and ">>>" in (member.__doc__ or "")
}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_public_class_has_one_path(kind):
    assert f"{kind.__module__}.{kind.__qualname__}" == f"skdam.{kind.__name__}"
    assert pickle.loads(pickle.dumps(kind)) is kind


@pytest.mark.parametrize("name", METHODS)
def test_examples_of_methods(name):
    # pytest collects those of classes and functions; methods are defined in other files
    (example,) = doctest.DocTestFinder(recurse=False).find(METHODS[name], name, globs={})
    assert doctest.DocTestRunner().run(example).failed == 0


def test_methods_with_examples_are_found():
    assert "CompositionalAUCClassifier.embed" in METHODS
