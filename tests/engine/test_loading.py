import multiprocessing
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.engine import loading
from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.loading import PartLoader
from dlrun.engine.parts import FilePart, TensorPart, split

CPU = torch.device("cpu")


def part(examples):
    values = torch.arange(examples * 3.0).reshape(examples, 3)
    return TensorPart((values,), torch.arange(examples) % 4)


def loaded(**options):
    return LoaderOptions(lambda inputs: inputs, CPU, **options)


def both(examples, **options):
    options = {"batch_size": 4, "shuffle": True, "seed": 1} | options
    return [PartLoader(part(examples), loaded(workers=workers, **options)) for workers in (None, 0)]


@settings(max_examples=60, deadline=None)
@given(
    examples=st.integers(1, 23),
    batch_size=st.integers(1, 9),
    drop_last=st.booleans(),
    limit=st.none() | st.integers(1, 4),
    epoch=st.integers(0, 5),
    data=st.data(),
)
def test_both_roads_give_the_same_batches_from_any_position(examples, batch_size, drop_last, limit, epoch, data):
    one, other = both(examples, batch_size=batch_size, drop_last=drop_last, limit=limit)
    start = data.draw(st.integers(0, one.num_batches))
    assert one.num_batches == other.num_batches
    whole = list(one.batches(epoch))
    assert len(whole) == one.num_batches
    assert [len(batch) for batch in whole] == [one.num_in(b, b + 1) for b in range(one.num_batches)]
    assert one.num_in(0, one.num_batches) == sum(len(batch) for batch in whole)
    for late, early, worker in zip(one.batches(epoch, start), whole[start:], other.batches(epoch, start), strict=True):
        for field in ("target", "index"):
            assert torch.equal(getattr(late, field), getattr(early, field))
            assert torch.equal(getattr(late, field), getattr(worker, field))
        assert torch.equal(late.inputs[0], worker.inputs[0])


def test_an_epoch_holds_every_sample_once_and_no_two_epochs_are_alike():
    loader = both(50)[0]
    orders = [torch.cat([batch.index for batch in loader.batches(epoch)]) for epoch in range(3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(50))
    assert len({tuple(order.tolist()) for order in orders}) == 3


def test_an_epoch_draws_nothing_from_the_global_generator():
    for loader in both(9):
        before = torch.get_rng_state()
        list(loader.batches(0))
        assert torch.equal(torch.get_rng_state(), before)


def test_files_are_decoded_when_they_are_read():
    read = []

    def decode(path):
        read.append(path)
        return torch.full((1, 2, 2), int(path), dtype=torch.uint8)

    files = FilePart([str(n) for n in range(5)], torch.arange(5), decode, sample_bytes=4)
    loader = PartLoader(files.subset(torch.tensor([4, 1])), loaded(workers=0, batch_size=2))
    assert read == []
    (batch,) = loader.batches()
    assert batch.inputs[0][:, 0, 0, 0].tolist() == batch.target.tolist() == [4, 1]
    assert files.nbytes() == 20


@given(
    labels=st.lists(st.integers(0, 5), min_size=2, max_size=200),
    fraction=st.floats(0, 0.9),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_split_is_even_over_classes_and_keeps_each_class(labels, fraction, seed):
    target = torch.tensor(labels)
    rest, held = split(TensorPart((torch.arange(len(labels)),), target), fraction, seed)
    assert sorted(rest.inputs[0].tolist() + held.inputs[0].tolist()) == list(range(len(labels)))
    assert len(held) >= (fraction > 0)
    if len(set(labels)) < len(labels):
        assert set(rest.target.tolist()) == set(labels)
        assert len(held) == min(max(round(len(labels) * fraction), int(fraction > 0)), len(labels) - len(set(labels)))
    spare = len(labels) - len(set(labels))
    if spare:
        for label in set(labels):
            wanted = len(held) * (labels.count(label) - 1) / spare
            assert abs(held.target.tolist().count(label) - wanted) <= 1


def test_values_are_split_without_regard_to_their_size():
    whole = TensorPart((torch.arange(10),), torch.linspace(0, 1, 10))
    rest, held = split(whole, 0.3, seed=0)
    assert (len(rest), len(held)) == (7, 3)


def test_a_batch_knows_its_length():
    assert [len(batch) for batch in both(6)[0].batches()] == [4, 2]
    with pytest.raises(AttributeError):
        next(iter(both(6)[0].batches())).labels = 1


@pytest.mark.parametrize(("parent", "code"), [(os.getpid, 0), (lambda: 2**30, 1)], ids=["alive", "gone"])
def test_a_loader_process_does_not_outlive_a_parent_killed_at_its_birth(parent, code):
    process = multiprocessing.get_context("fork").Process(target=loading._live_with_parent, args=(parent(), 0))
    process.start()
    process.join()
    assert process.exitcode == code
