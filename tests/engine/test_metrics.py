"""Metrics: the same value however the examples come in batches, and from several processes as from one."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlrun.config.spec import DataSpec
from dlrun.engine import nested
from dlrun.engine.contracts import Batch
from dlrun.engine.metrics import Meter
from dlrun.tasks.binary import Binary
from dlrun.tasks.multiclass import Multiclass
from dlrun.tasks.regression import Regression
from dlrun.tasks.steps import NextToken, StepClass

N = 24
GENERATOR = torch.Generator().manual_seed(0)
CASES = {
    "class": (
        Multiclass(DataSpec("features", "class", out_features=4)),
        torch.randn(N, 4, generator=GENERATOR),
        torch.randint(4, (N,), generator=GENERATOR),
    ),
    "binary": (
        Binary(DataSpec("features", "binary", out_features=1)),
        torch.randn(N, 1, generator=GENERATOR),
        torch.randint(2, (N,), generator=GENERATOR),
    ),
    "value": (
        Regression(DataSpec("features", "value", out_features=2, target_mean=(1.0, 2.0), target_std=(3.0, 4.0))),
        torch.randn(N, 2, generator=GENERATOR),
        torch.randn(N, 2, generator=GENERATOR),
    ),
    "step_class": (
        StepClass(DataSpec("tokens", "step_class", out_features=3)),
        torch.randn(N, 5, 3, generator=GENERATOR),
        torch.randint(3, (N, 5), generator=GENERATOR),
    ),
    "next_token": (
        NextToken(DataSpec("tokens", "next_token", out_features=3, vocabulary=("a", "b", "c"))),
        torch.randn(N, 5, 3, generator=GENERATOR),
        torch.randint(3, (N, 5), generator=GENERATOR),
    ),
}


def batches(output, target, cuts):
    edges = [0, *sorted(set(cuts)), N]
    for first, last in itertools.pairwise(edges):
        if first < last:
            index = torch.arange(first, last)
            yield output[index], Batch((), target[index], index)


def measured(task, pairs):
    meter = Meter(task.metrics())
    for output, batch in pairs:
        meter.update(output, batch, task.losses(output, batch))
    return meter.compute(N)


@pytest.mark.parametrize("kind", CASES)
@given(cuts=st.lists(st.integers(0, N), max_size=5), data=st.data())
def test_batches_and_ranks_do_not_matter(kind, cuts, data):
    task, output, target = CASES[kind]
    whole = measured(task, batches(output, target, []))
    assert measured(task, batches(output, target, cuts)) == pytest.approx(whole, rel=1e-5)
    ranks = [task.metrics() for _ in range(3)]
    for output_, batch in batches(output, target, cuts):
        for metric in data.draw(st.sampled_from(ranks)):
            metric.update(output_, batch, task.losses(output_, batch))
    found = {}
    for first, *others in zip(*ranks, strict=True):
        for other in others:
            first.merge(other)
        found |= first.compute()
    assert found == pytest.approx({name: whole[name] for name in found}, rel=1e-5)


@pytest.mark.parametrize("kind", CASES)
def test_a_task_watches_a_metric_of_its_own_in_its_direction(kind):
    task = CASES[kind][0]
    better = {"loss": "min"} | {name: mode for metric in task.metrics() for name, mode in metric.better.items()}
    assert better[task.watch] == task.mode
    assert set(measured(task, batches(*CASES[kind][1:], []))) <= set(better)


def test_entries_are_gathered_and_picked_in_every_nesting():
    chunks = [(torch.arange(2), [torch.ones(1), torch.ones(2)], {"a": torch.zeros(2, 3)})] * 2
    numbers, ragged, named = nested.gathered(chunks)
    assert (numbers.tolist(), [len(each) for each in ragged], named["a"].shape) == ([0, 1, 0, 1], [1, 2, 1, 2], (4, 3))
    numbers, ragged, named = nested.picked((numbers, ragged, named), torch.tensor([3, 0]))
    assert (numbers.tolist(), [len(each) for each in ragged], named["a"].shape) == ([1, 0], [2, 1], (2, 3))
    with pytest.raises(TypeError, match="not int"):
        nested.gathered([1, 2])
