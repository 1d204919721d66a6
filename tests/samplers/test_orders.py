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
    num_samples=st.integers(2, 4),
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
    source = loader(ClassesBySamples(num_classes=2, num_samples=9), unequal())
    assert source.num_batches == 1
    assert source.order.never == [2]
    found = counts(source, 300, 100)
    assert [int(found[unequal().target == label].sum()) for label in range(3)] == [2700, 2700, 0]
    assert (found[unequal().target == 0] > 0).all()


def test_an_epoch_of_more_batches_goes_round_again_and_of_fewer_ends_early():
    examples = part(torch.arange(60) % 6)
    for num in (1, 4, 11):
        source = loader(ClassesBySamples(num_classes=4, num_samples=3, num_batches=num), examples)
        batches = [batch.index for batch in source.batches(0)]
        assert len(batches) == source.num_batches == num
        assert source.order.repeats is (num > 4)
        for first in range(0, num, 4):
            seen = torch.cat(batches[first : first + 4])
            assert len(seen.unique()) == len(seen)
        assert all(
            torch.equal(a.index, b) for a, b in zip(source.batches(0, num // 2), batches[num // 2 :], strict=True)
        )
    assert source.num_in(0, 11) == 11 * 12
    assert loader(ClassesBySamples(num_classes=4, num_samples=3, num_batches=11), examples, limit=6).num_batches == 6


class Shifted:
    """Adds the number that an augmentation is drawn by, and mixes with the example that has the same remainder."""

    def partners(self, epoch, index, num_examples):
        return index % num_examples

    def __call__(self, raw, part, epoch, index):
        raw.inputs, raw.target, raw.index = (index,), raw.target[: len(index)], raw.index[: len(index)]
        return raw


@pytest.mark.parametrize("workers", [None, 0])
@pytest.mark.parametrize(
    "sampler", [Balanced(), ClassesBySamples(num_classes=2, num_samples=2, num_batches=40), Full()]
)
def test_an_example_that_comes_again_in_an_epoch_is_changed_anew(sampler, workers):
    source = loader(sampler, unequal(), workers=workers, augment=Shifted())
    drawn_by = torch.cat([batch.inputs[0] for batch in source.batches(0)])
    index = torch.cat([batch.index for batch in source.batches(0)])
    assert torch.equal(drawn_by % 100, index)
    assert len(drawn_by.unique()) == len(drawn_by)
    # The n-th time by the n-th number: what comes once is changed as it always was.
    for own in index.unique():
        assert drawn_by[index == own].tolist() == [int(own) + 100 * time for time in range(int((index == own).sum()))]
    half = source.num_batches // 2
    late = torch.cat([batch.inputs[0] for batch in source.batches(0, half)])
    assert torch.equal(late, drawn_by[-len(late) :])


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


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([5, 5, 3, 1], "; possible is num_classes=2 or num_samples=3"),
        ([5, 1, 1, 1], ""),
        ([9, 9], "; possible is num_classes=2"),
        ([3, 3], "; possible is num_classes=2 and num_samples=2"),
        ([3, 3, 2], "; possible is num_samples=2"),
    ],
)
def test_what_could_be_drawn_instead_is_said_and_can_be(sizes, words):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    with pytest.raises(ValueError, match="3 classes of 5 samples") as caught:
        loader(ClassesBySamples(num_classes=3, num_samples=5), part(labels))
    assert str(caught.value).endswith("as many samples" + words)
    for choice in words.removeprefix("; possible is ").split(" or ") if words else []:
        keys = {key: int(value) for key, value in (one.split("=") for one in choice.split(" and "))}
        assert loader(ClassesBySamples(**{"num_classes": 3, "num_samples": 5} | keys), part(labels)).num_batches >= 1


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
        ([*SMALL, "sampler=classes", "sampler.num_samples=1"], "sampler.num_samples: must be an integer of at least 2"),
        ([*SMALL, "sampler=classes", "sampler.num_sample=2"], "sampler.num_sample: unknown key; did you mean"),
        ([*SMALL, "sampler=balanced", "sampler.num_samples=2"], "sampler.num_samples: unknown key"),
        (
            [*SMALL, "sampler=classes", "sampler.num_classes=20"],
            "sampler=classes: 20 classes of 4 samples a batch are asked for, and 10 classes have as many samples; "
            "possible is num_classes=10",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_drawn_by_class_is_one_line(refused, words, line):
    assert refused(*words).startswith(line)
