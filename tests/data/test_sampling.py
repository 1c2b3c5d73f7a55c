import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from skdam import StratifiedBatchSampler


def labels(n_positive, n_negative):
    return np.repeat([1, 0], [n_positive, n_negative])


def epochs(sampler, count):
    return [batch for _ in range(count) for batch in sampler]


@pytest.mark.parametrize(
    ("n_positive", "n_negative", "batch_size", "rate", "expected"),
    [
        (30, 70, 10, 0.3, (3, 7)),
        (30, 70, 10, 0.5, (5, 5)),
        (30, 70, 10, 0.001, (1, 9)),  # at least one of each
        (30, 70, 10, 0.999, (9, 1)),
        (1, 99, 16, 0.5, (8, 8)),  # one positive is repeated
        (99, 1, 16, 0.5, (8, 8)),
        (3, 4, 1000, 0.5, (4, 3)),  # at most all of the data
    ],
)
def test_every_batch_has_the_same_number_of_each_class(
    n_positive, n_negative, batch_size, rate, expected
):
    y = labels(n_positive, n_negative)
    sampler = StratifiedBatchSampler(y, batch_size, sampling_rate=rate, random_state=0)
    batches = epochs(sampler, 3)
    assert len(batches) == 3 * len(sampler) > 0
    assert {(y[b].sum(), (1 - y[b]).sum()) for b in batches} == {expected}


def test_an_epoch_draws_as_many_examples_as_there_are():
    assert len(StratifiedBatchSampler(labels(10, 91), batch_size=10)) == 11


def test_a_batch_has_128_examples_by_default_in_half_of_the_memory():
    batch = next(StratifiedBatchSampler(labels(60, 240)).epoch())
    assert batch.shape == (1, 128)
    assert batch.dtype == torch.int32


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_examples_of_a_class_are_drawn_equally_often(rate):
    y = labels(13, 57)
    sampler = StratifiedBatchSampler(y, 10, sampling_rate=rate, random_state=1)
    counts = np.bincount(np.concatenate(epochs(sampler, 200)), minlength=len(y))
    for target in (0, 1):
        of_class = counts[y == target]
        assert of_class.min() > 0
        assert of_class.max() - of_class.min() <= 1


def test_every_pass_is_shuffled_anew():
    y = labels(20, 20)
    sampler = StratifiedBatchSampler(y, 40, sampling_rate=0.5, random_state=0)
    first, second = epochs(sampler, 2)
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    assert first[:20] != sorted(first[:20])


def test_the_seed_determines_the_batches():
    def draw(seed):
        return epochs(StratifiedBatchSampler(labels(20, 80), 10, random_state=seed), 2)

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)
    assert draw(None) != draw(None)


def test_global_generators_are_unchanged(untouched_generators):
    with untouched_generators():
        epochs(StratifiedBatchSampler(labels(20, 80), 10, random_state=None), 2)


@pytest.mark.parametrize("stop", range(23))
def test_a_loaded_state_yields_the_rest_of_the_epoch(stop):
    y = labels(7, 68)
    whole = epochs(StratifiedBatchSampler(y, 10, sampling_rate=0.3, random_state=3), 4)
    stopped = StratifiedBatchSampler(y, 10, sampling_rate=0.3, random_state=3)
    seen = []
    while len(seen) < stop:
        for batch in stopped:
            seen.append(batch)
            if len(seen) == stop:
                break
    state = stopped.state_dict()
    continued = StratifiedBatchSampler(y, 10, sampling_rate=0.3, random_state=8)
    continued.load_state_dict(state)
    assert_same_state(continued.state_dict(), state)
    seen += epochs(continued, 5)
    assert seen[: len(whole)] == whole


def test_the_state_after_an_epoch_is_the_start_of_the_next_one():
    sampler, other = (StratifiedBatchSampler(labels(7, 68), 10, random_state=r) for r in (3, 8))
    list(sampler)
    assert sampler.n_yielded == 0
    other.load_state_dict(sampler.state_dict())
    assert list(other) == list(sampler)


def test_an_epoch_after_one_that_was_left_goes_on_too():
    sampler, other = (StratifiedBatchSampler(labels(7, 68), 10, random_state=r) for r in (3, 8))
    next(iter(sampler))
    epoch = iter(sampler)
    for _ in range(3):
        next(epoch)
    assert sampler.n_yielded == 3
    other.load_state_dict(sampler.state_dict())
    assert list(other) == list(epoch)


@pytest.mark.parametrize("n_together", [1, 3, 100])
def test_batches_yielded_together_equal_those_yielded_singly(n_together):
    alone, together = (StratifiedBatchSampler(labels(7, 68), 10, random_state=3) for _ in range(2))
    for _ in range(3):
        blocks = list(together.epoch(n_together=n_together))
        assert max(map(len, blocks)) == min(n_together, len(alone))
        assert torch.cat(blocks).tolist() == list(alone)
    assert_same_state(alone.state_dict(), together.state_dict())


def assert_same_state(one, other):
    assert one["generator"] == other["generator"]
    assert one["positions"] == other["positions"]
    assert one["n_yielded"] == other["n_yielded"]
    assert all(map(torch.equal, one["orders"], other["orders"]))


def test_a_loaded_state_is_not_shared():
    sampler = StratifiedBatchSampler(labels(5, 5), 4, random_state=0)
    other = StratifiedBatchSampler(labels(5, 5), 4, random_state=0)
    state = sampler.state_dict()
    other.load_state_dict(state)
    epochs(other, 3)
    assert_same_state(sampler.state_dict(), state)


def test_a_data_loader_takes_it_as_batch_sampler():
    y = torch.tensor(labels(5, 15))
    sampler = StratifiedBatchSampler(y, 4, sampling_rate=0.25, random_state=0)
    loader = DataLoader(TensorDataset(torch.arange(20), y), batch_sampler=sampler)
    assert [target.sum().item() for _, target in loader] == [1] * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [0, 0]}, "got 0 positives and 2 negatives"),
        ({"y": [1, 1]}, "got 2 positives and 0 negatives"),
        ({"y": [0, 1, 2]}, "hold 0 and 1 only"),
        ({"y": [[0, 1]]}, "1-D"),
        ({"batch_size": 1}, "batch_size must be an int >= 2, got 1"),
        ({"batch_size": 2.5}, "batch_size must"),
        ({"sampling_rate": 0}, "sampling_rate must"),
        ({"sampling_rate": 1.0}, "sampling_rate must"),
        ({"sampling_rate": "half"}, "sampling_rate must"),
    ],
)
def test_bad_arguments_of_the_sampler_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StratifiedBatchSampler(**({"y": [0, 1, 0, 1]} | arguments))


def test_a_state_of_other_data_is_refused():
    state = StratifiedBatchSampler(labels(3, 7), 4, sampling_rate=0.3).state_dict()
    for other in (labels(4, 6), labels(3, 7)[::-1]):
        with pytest.raises(ValueError, match="of other data"):
            StratifiedBatchSampler(other, 4, sampling_rate=0.3).load_state_dict(state)
    with pytest.raises(ValueError, match=r"with \[1, 3\] positives and negatives.*\[2, 2\]"):
        StratifiedBatchSampler(labels(3, 7), 4).load_state_dict(state)


@pytest.mark.parametrize("parameters", [{}, {"batch_size": 10}, {"num_workers": 1}], ids=str)
def test_a_loader_that_would_batch_the_batches_is_refused(parameters):
    y = labels(30, 70)
    dataset = TensorDataset(torch.arange(100), torch.from_numpy(y))
    sampler = StratifiedBatchSampler(y, 10, random_state=0)
    with pytest.raises(TypeError, match="batch_sampler=sampler"):
        next(iter(DataLoader(dataset, sampler=sampler, **parameters)))


def test_a_loader_that_does_not_batch_takes_the_batches():
    y = labels(30, 70)
    dataset = TensorDataset(torch.arange(100), torch.from_numpy(y))
    sampler = StratifiedBatchSampler(y, 10, sampling_rate=0.3, random_state=0)
    loader = DataLoader(dataset, sampler=sampler, batch_size=None)
    assert [(len(x), int(y.sum())) for x, y in loader] == [(10, 3)] * 10
