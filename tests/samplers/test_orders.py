"""Samplers by class: how often each class and each example is drawn, and what they refuse."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.parts import TensorPart
from dlrun.samplers.orders import Balanced, ClassesBySamples, Full

CPU = torch.device("cpu")
UNEQUAL = [90, 9, 1]  # examples of each class


def part(labels):
    return TensorPart((torch.arange(len(labels)),), torch.as_tensor(labels))


def unequal():
    return part(torch.arange(len(UNEQUAL)).repeat_interleave(torch.tensor(UNEQUAL)).flip(0))


def loader(sampler, examples, **options):
    options = {"batch_size": 8, "shuffle": True, "seed": 5} | options
    return sampler.loader(examples, LoaderOptions(lambda inputs: inputs, CPU, **options))


def counts(source, epochs, num):
    """How often each of `num` examples is in a batch of the first epochs."""
    drawn = [batch.index for epoch in range(epochs) for batch in source.batches(epoch)]
    return torch.bincount(torch.cat(drawn), minlength=num)


# ---- balanced


def test_every_class_is_drawn_equally_often_and_every_example_of_a_class():
    examples, epochs = unequal(), 60
    found = counts(loader(Balanced(), examples), epochs, 100)
    assert found.sum() == 100 * epochs
    total, share = 100 * epochs, 1 / len(UNEQUAL)
    for label, size in enumerate(UNEQUAL):
        own = found[examples.target == label].double()
        # Five standard deviations of a binomial.
        assert abs(own.sum() - total * share) < 5 * (total * share * (1 - share)) ** 0.5
        each = total * share / size
        assert (own - each).abs().max() < 5 * each**0.5


def test_a_balanced_epoch_is_as_long_as_the_part_and_like_no_other():
    source = loader(Balanced(), unequal())
    assert [source.num_in(batch, batch + 1) for batch in range(source.num_batches)] == [8] * 12 + [4]
    epochs = [torch.cat([batch.index for batch in source.batches(epoch)]) for epoch in (0, 1, 0)]
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], next(loader(Balanced(), unequal(), batch_size=100, seed=6).batches(0)).index)
    assert loader(Balanced(), unequal(), drop_last=True).num_batches == 12
    assert loader(Balanced(), unequal(), limit=3).num_batches == 3


# ---- P classes x K examples


@settings(max_examples=80, deadline=None)
@given(
    labels=st.lists(st.integers(-3, 4), min_size=1, max_size=120),
    num_classes=st.integers(1, 5),
    num_samples=st.integers(1, 4),
    epoch=st.integers(0, 3),
    data=st.data(),
)
def test_a_batch_has_exactly_so_many_classes_and_examples_of_each(labels, num_classes, num_samples, epoch, data):
    sampler, examples = ClassesBySamples(num_classes=num_classes, num_samples=num_samples), part(labels)
    large = [label for label in set(labels) if labels.count(label) >= num_samples]
    if len(large) < num_classes:
        with pytest.raises(ValueError, match=f"^{num_classes} classes of {num_samples} samples .* and {len(large)} "):
            loader(sampler, examples)
        return
    source = loader(sampler, examples)
    batches = list(source.batches(epoch))
    assert len(batches) == source.num_batches >= 1
    assert source.num_in(0, source.num_batches) == len(batches) * num_classes * num_samples
    for batch in batches:
        classes, sizes = batch.target.unique(return_counts=True)
        assert len(classes) == num_classes
        assert set(classes.tolist()) <= set(large)
        assert sizes.tolist() == [num_samples] * num_classes
        assert torch.equal(batch.target, examples.target[batch.index])
    seen = torch.cat([batch.index for batch in batches])
    assert len(seen.unique()) == len(seen)
    # As many batches as can be filled: the groups of K that are left over are of fewer than P classes.
    used = torch.bincount(seen, minlength=len(labels)).bool()
    left = [sum(label == own for label, is_used in zip(labels, used, strict=True) if not is_used) for own in large]
    assert sum(rest >= num_samples for rest in left) < num_classes
    start = data.draw(st.integers(0, len(batches)))
    assert all(
        torch.equal(late.index, early.index)
        for late, early in zip(source.batches(epoch, start), batches[start:], strict=True)
    )


def test_classes_of_one_size_are_drawn_equally_often_and_each_example_too():
    examples, epochs = part(torch.arange(60) % 6), 80
    found = counts(loader(ClassesBySamples(num_classes=4, num_samples=3), examples), epochs, 60)
    # Three groups of 3 of each of 6 classes, 4 a batch: 4 batches of 12 an epoch.
    assert found.sum() == 48 * epochs
    by_class = torch.zeros(6).index_add(0, examples.target, found.float())
    assert (by_class - 8 * epochs).abs().max() < 0.1 * 8 * epochs
    assert (found - 0.8 * epochs).abs().max() < 5 * (0.8 * 0.2 * epochs) ** 0.5


def test_every_class_of_a_batch_of_all_is_drawn_as_often_as_the_smallest_allows():
    source = loader(ClassesBySamples(num_classes=3, num_samples=1), unequal())
    assert source.num_batches == 1
    found = counts(source, 300, 100)
    assert [int(found[unequal().target == label].sum()) for label in range(3)] == [300, 300, 300]
    assert (found[unequal().target == 0] > 0).sum() > 80


def test_the_road_changes_nothing():
    for sampler in (Full(), Balanced(), ClassesBySamples(num_classes=2, num_samples=2)):
        roads = [loader(sampler, unequal(), workers=workers) for workers in (None, 0)]
        for one, other in zip(*(road.batches(2) for road in roads), strict=True):
            assert torch.equal(one.index, other.index)
            assert torch.equal(one.target, other.target)


def test_full_is_every_example_once():
    source = loader(Full(), unequal())
    assert counts(source, 1, 100).tolist() == [1] * 100


# ---- refusals


SMALL = ["data=synthetic", "model=mlp", "logger=none"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["data=diabetes", "model=mlp", "sampler=balanced"],
            "sampler=balanced: draws by class, and data=diabetes has a target of kind value; use sampler=full",
        ),
        (
            ["data=karate", "model=gcn", "sampler=classes"],
            "sampler=classes: draws by class, and data=karate has a target of kind node_class; use sampler=full",
        ),
        (["data=motifs", "model=gin", "sampler=balanced"], "sampler=balanced: draws by class, and data=motifs"),
        (["data=hours", "model=mlp", "sampler=balanced"], "sampler=balanced: draws by class, and data=hours has"),
        ([*SMALL, "sampler=classes", "sampler.num_classes=0"], "sampler.num_classes: must be an integer of at least 1"),
        ([*SMALL, "sampler=classes", "sampler.num_sample=2"], "sampler.num_sample: unknown key; did you mean"),
        ([*SMALL, "sampler=balanced", "sampler.num_samples=2"], "sampler.num_samples: unknown key"),
        (
            [*SMALL, "sampler=classes", "sampler.num_classes=20"],
            "sampler=classes: 20 classes of 4 samples a batch are asked for, and 10 classes have as many samples",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_drawn_by_class_is_one_line(refused, words, line):
    assert refused(*words).startswith(line)
