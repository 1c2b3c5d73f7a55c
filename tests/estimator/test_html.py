"""How a notebook shows the classifier."""

import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

PAGE = "https://skdam.readthedocs.io/en/stable/generated/skdam.CompositionalAUCClassifier.html"


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_it_links_to_its_page_and_names_what_was_set(toy, make, in_pipeline):
    estimator = make(module__n_bins=8)
    if in_pipeline:
        estimator = make_pipeline(StandardScaler(), estimator)
    before = estimator_html_repr(estimator)
    after = estimator_html_repr(estimator.fit(*toy))
    for html in (before, after):
        assert f'href="{PAGE}"' in html
        assert "module__n_bins" in html
    assert "<span>Not fitted</span>" in before
    assert "<span>Fitted</span>" in after


def test_a_subclass_of_a_user_has_no_page_here(make):
    class Own(type(make())):
        pass

    assert "skdam.readthedocs" not in estimator_html_repr(Own())
