"""Generators of a thread's own, and the global ones."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import nn

from skdam._generators import (
    forked_rng,
    generator_in_use,
    get_rng_state,
    own_generator,
    redirected_draws,
)
from skdam.networks.augmentation import RandomCropFlip
from skdam.networks.dropout import Dropout
from skdam.networks.statistics import draw_by_class

ONES = torch.ones(3, 4)
LABELS = (torch.arange(100) % 4 == 0).float()
IN_INITIALISATION = {
    "linear": lambda: nn.Linear(3, 2).weight,
    "convolution": lambda: nn.Conv2d(2, 3, 3).weight,
    "recurrent": lambda: nn.GRU(3, 2).weight_hh_l0,
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(3, 3)),
    "truncated": lambda: nn.init.trunc_normal_(torch.empty(3, 3)),
    "rand": lambda: torch.rand(3),
    "randn": lambda: torch.randn(3),
    "randint": lambda: torch.randint(10, (3,)),
    "randint from": lambda: torch.randint(5, 10, (3,)),
    "randperm": lambda: torch.randperm(9),
    "normal": lambda: torch.normal(ONES, ONES),
    "multinomial": lambda: torch.multinomial(ONES, 2),
    "bernoulli": lambda: torch.bernoulli(ONES / 2),
    "dropout": lambda: nn.functional.dropout(ONES),
}
IN_TRAINING = {
    "dropout": lambda: Dropout(0.5)(ONES),
    "crop and flip": lambda: RandomCropFlip()(torch.arange(64.0).reshape(1, 1, 8, 8)),
    "rows": lambda: draw_by_class(LABELS, 10),
    "weighted rows": lambda: draw_by_class(LABELS, 10, LABELS + 1),
}


@pytest.mark.parametrize("draw", IN_INITIALISATION.values(), ids=IN_INITIALISATION)
def test_redirected_draws_are_those_of_the_global_generator(draw, untouched_generators):
    with forked_rng("cpu", seed=3):
        expected = draw(), draw()
    with untouched_generators(), own_generator(3):
        with redirected_draws():
            first = draw()
        with redirected_draws():
            second = draw()
    torch.testing.assert_close((first, second), expected, rtol=0, atol=0)


@pytest.mark.parametrize("draw", IN_TRAINING.values(), ids=IN_TRAINING)
def test_draws_of_the_networks_are_those_of_the_global_generator(draw, untouched_generators):
    with forked_rng("cpu", seed=3):
        expected = draw(), draw()
    with untouched_generators(), own_generator(3):
        drawn = draw(), draw()
    torch.testing.assert_close(drawn, expected, rtol=0, atol=0)


def test_draws_that_take_no_generator_leave_the_global_one_as_it_was(untouched_generators):
    with untouched_generators(), own_generator(3), redirected_draws():
        assert torch.rand_like(ONES).shape == ONES.shape
        assert torch.randint_like(ONES, 1, 7).shape == ONES.shape


def test_a_generator_that_is_given_is_drawn_from():
    given = torch.Generator().manual_seed(5)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(5))
    with own_generator(3), redirected_draws():
        torch.testing.assert_close(torch.rand(3, generator=given), expected, rtol=0, atol=0)


def test_without_a_generator_of_its_own_a_thread_draws_from_the_global_one(seeded):
    expected = torch.rand(3, generator=torch.Generator().manual_seed(0))
    with redirected_draws():
        torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    assert generator_in_use() is None


def test_a_state_is_returned_to_for_a_while(untouched_generators):
    with untouched_generators(), own_generator(0):
        layer = Dropout(0.5)
        state = get_rng_state("cpu")
        first, second = layer(ONES), layer(ONES)
        with forked_rng("cpu", state=state):
            torch.testing.assert_close(layer(ONES), first, rtol=0, atol=0)
        third = layer(ONES)
        with forked_rng("cpu", state=state):
            masks = [layer(ONES) for _ in range(3)]
    torch.testing.assert_close(masks, [first, second, third], rtol=0, atol=0)


def test_one_thread_at_a_time_has_the_global_generator(untouched_generators):
    both = Barrier(2)

    def draws(seed):
        both.wait()
        with forked_rng("cpu", seed=seed):
            return [torch.rand(2).tolist() for _ in range(200)]

    def alone(seed):
        generator = torch.Generator().manual_seed(seed)
        return [torch.rand(2, generator=generator).tolist() for _ in range(200)]

    with untouched_generators(), ThreadPoolExecutor(2) as pool:
        assert list(pool.map(draws, [1, 2])) == [alone(1), alone(2)]
