"""Orders: each example where it belongs, each epoch its own, each run the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlrun.engine import order
from dlrun.engine.order import ByLength, PerClass, Random, Sequential, Share, Weighted


def joined(batches):
    return torch.cat(list(batches)).tolist()


@given(st.integers(1, 60), st.integers(1, 20), st.booleans(), st.none() | st.integers(1, 5), st.integers(0, 2**63 - 1))
def test_sizes_are_known_before_an_epoch_is_drawn(num, size, drop_last, limit, seed):
    lengths = torch.arange(num) % 7
    for made in (
        Sequential(num, size, drop_last, limit),
        Random(num, size, seed, drop_last, limit),
        Weighted(torch.ones(num), size, seed, drop_last, limit),
        ByLength(lengths, size, seed, drop_last, limit),
    ):
        for epoch in (None, 0, 3):
            batches = list(made.batches(epoch))
            assert [len(batch) for batch in batches] == list(made.sizes)
            assert all(0 <= i < num for batch in batches for i in batch.tolist())


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 1000))
def test_every_example_once_an_epoch(num, size, seed):
    for made in (Sequential(num, size), Random(num, size, seed), ByLength(torch.arange(num) % 5, size, seed)):
        assert sorted(joined(made.batches(2))) == list(range(num))


@given(st.integers(0, 2**40), st.integers(0, 1000))
def test_the_order_is_a_function_of_seed_and_epoch(seed, epoch):
    assert joined(Random(50, 8, seed).batches(epoch)) == joined(Random(50, 8, seed).batches(epoch))
    assert joined(Random(50, 8, seed).batches(epoch)) != joined(Random(50, 8, seed).batches(epoch + 1))
    assert joined(Random(50, 8, seed).batches(epoch)) != joined(Random(50, 8, seed + 1).batches(epoch))


def test_an_epoch_can_start_at_any_batch():
    whole = list(Random(23, 4, seed=1).batches(5))
    assert [batch.tolist() for batch in Random(23, 4, seed=1).batches(5)[2:]] == [batch.tolist() for batch in whole[2:]]


def test_weights_are_met():
    weights = torch.tensor([1.0, 0.0, 3.0])
    drawn = torch.tensor([i for epoch in range(2000) for i in joined(Weighted(weights, 3, seed=0).batches(epoch))])
    counts = torch.bincount(drawn, minlength=3)
    assert counts[1] == 0
    assert (counts[2] / counts[0]).item() == pytest.approx(3, rel=0.1)


def test_examples_of_one_length_meet():
    lengths = torch.randint(1, 100, (1000,), generator=torch.Generator().manual_seed(0))
    spread = [float(lengths[batch].max() - lengths[batch].min()) for batch in ByLength(lengths, 20, 0).batches(0)]
    random = [float(lengths[batch].max() - lengths[batch].min()) for batch in Random(1000, 20, 0).batches(0)]
    assert sum(spread) < sum(random) / 10


@given(st.lists(st.integers(0, 5), min_size=20, max_size=80), st.integers(1, 3), st.integers(1, 3), st.integers(0, 100))
def test_p_classes_of_k_samples_exactly(labels, num_classes, num_samples, seed):
    labels = torch.tensor(labels)
    counts = torch.bincount(labels)
    if int((counts >= num_samples).sum()) < num_classes:
        with pytest.raises(ValueError, match=f"{num_classes} classes of {num_samples} samples"):
            PerClass(labels, num_classes, num_samples, seed)
        return
    made = PerClass(labels, num_classes, num_samples, seed)
    batches = list(made.batches(1))
    assert [len(batch) for batch in batches] == list(made.sizes) and batches
    for batch in batches:
        assert torch.bincount(labels[batch]).tolist().count(num_samples) == num_classes
        assert len(set(batch.tolist())) == num_classes * num_samples
    assert len(set(joined(batches))) == len(joined(batches))
    # No batch more could be filled.
    groups = (counts // num_samples).tolist()
    more = len(batches) + 1
    assert sum(min(group, more) for group in groups) < more * num_classes
    assert made.never == [k for k, n in enumerate(counts.tolist()) if 0 < n < num_samples]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4))
def test_the_shares_of_all_ranks_are_the_whole(num, size, ranks):
    whole = Random(num, size, seed=3)
    shares = [Share(whole, rank, ranks) for rank in range(ranks)]
    for share in shares:
        assert [len(batch) for batch in share.batches(2)] == list(share.sizes)
    together = sorted(i for share in shares for i in joined(share.batches(2)))
    assert together == sorted(joined(whole.batches(2)))


def test_a_generator_takes_the_largest_seed():
    assert order.generator(2**63 - 1, 10**6).initial_seed() >= 0
