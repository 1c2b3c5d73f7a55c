"""Threads of torch in fit and in prediction."""

import numpy as np
import pytest
import torch
from helpers import image_classifier
from skorch.callbacks import Callback
from torch import nn

from skdam._threads import n_threads, threads, work_of

WORK_OF_TWO = 2**29


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Look(nn.Linear):
    """Notes with how many threads it runs."""

    seen = set()  # noqa: RUF012

    def __init__(self, n_features):
        super().__init__(n_features, 1)

    def forward(self, X):
        self.seen.add(torch.get_num_threads())
        return super().forward(X)


class Large(Look):
    """Has so many parameters that batches of 200 are work for two threads."""

    def __init__(self, n_features):
        super().__init__(n_features)
        self.idle = nn.Parameter(torch.zeros(WORK_OF_TWO // 200))


@pytest.fixture
def seen(four_threads):
    Look.seen.clear()
    return Look.seen


@pytest.mark.parametrize(
    ("module", "n_jobs", "expected"),
    [(Look, None, 1), (Large, None, 2), (Look, 3, 3), (Large, 1, 1), (Look, -1, 4), (Look, 9, 4)],
)
def test_n_jobs_or_the_work_chooses_the_threads(toy, make, seen, module, n_jobs, expected):
    X, y = toy
    clf = make(module=module, max_epochs=1, batch_size=200, n_jobs=n_jobs)
    for call in (
        lambda: clf.fit(X, y, X_val=X, y_val=y),
        lambda: clf.partial_fit(X, y),
        lambda: clf.predict_proba(X[:1]),
        lambda: clf.embed(X),
    ):
        seen.clear()
        call()
        assert seen == {expected}
        assert torch.get_num_threads() == 4


def test_the_number_of_threads_is_put_back_after_an_error(toy, make, four_threads):
    class Fail(Callback):
        def on_epoch_end(self, net, **kwargs):
            assert torch.get_num_threads() == 2
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        make(n_jobs=2, callbacks=[Fail()]).fit(*toy)
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("n_jobs", [None, -1, 2])
def test_threads_are_never_more_than_torch_has(toy, make, seen, n_jobs):
    torch.set_num_threads(1)  # as joblib does in its workers
    make(module=Large, max_epochs=1, batch_size=200, n_jobs=n_jobs).fit(*toy)
    assert seen == {1}


def test_a_small_model_does_not_depend_on_the_threads_of_torch(toy, make, four_threads):
    several = make().fit(*toy).decision_function(toy[0])
    with threads(1):
        one = make().fit(*toy).decision_function(toy[0])
    np.testing.assert_array_equal(several, one)


def test_the_model_is_the_same_up_to_rounding_for_any_number(toy, make, four_threads):
    one, two = (make(n_jobs=n).fit(*toy).decision_function(toy[0]) for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)


def test_a_model_of_images_counts_the_sites_of_its_weights(few_digits, four_threads):
    X, y = few_digits
    clf = image_classifier(max_epochs=1).fit(X, y)
    n_parameters = sum(parameter.numel() for parameter in clf.net_.module_.parameters())
    assert work_of(clf.net_.module_, 64, (1, 8, 8)) == 64 * n_parameters * 8


@pytest.mark.parametrize(
    ("work", "expected"), [(0, 1), (WORK_OF_TWO - 1, 1), (WORK_OF_TWO, 2), (2**40, 4)]
)
def test_one_thread_for_each_share_of_the_work(four_threads, work, expected):
    assert n_threads(None, work) == expected


def test_the_work_of_a_lazy_module_is_that_of_its_known_parameters():
    assert work_of(nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1)), 10, (5,)) == 10 * 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_the_threads_are_left_alone(toy, make, seen):
    make(module=Look, device="cuda", n_jobs=1).fit(*toy).predict(toy[0])
    assert seen == {4}
