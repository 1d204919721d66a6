"""Tensors in tuples, lists and dicts: gathered, picked, and carried in one piece."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from dlrun.engine import nested
from dlrun.engine.contracts import Batch, LoaderOptions
from dlrun.engine.loading import PartLoader
from dlrun.engine.parts import TensorPart


class Boxes(NamedTuple):
    corners: list[Tensor]
    frame: Tensor
    masks: list[Tensor] | None = None


def some(*sizes):
    return Boxes([torch.arange(n * 2.0).view(n, 2) for n in sizes], torch.arange(len(sizes)))


def test_names_of_a_tuple_stay():
    whole = nested.gathered([some(1, 0), some(2)])
    assert isinstance(whole, Boxes) and [len(own) for own in whole.corners] == [1, 0, 2]
    picked = nested.picked(whole, torch.tensor([2, 1]))
    assert [len(own) for own in picked.corners] == [2, 0] and picked.masks is None
    doubled = nested.mapped(whole, lambda value: value * 2)
    assert doubled.corners[2].tolist() == [[0, 2], [4, 6]] and isinstance(doubled, Boxes)


def test_a_list_of_tensors_is_carried_as_one():
    packed = nested.packed(some(1, 0, 2))
    assert packed.corners.rows.shape == (3, 2) and packed.corners.sizes == [1, 0, 2]
    moved = nested.mapped(packed, lambda value: value + 1)
    back = nested.unpacked(moved)
    assert [own.tolist() for own in back.corners] == [[[1, 2]], [], [[1, 2], [3, 4]]]


def test_what_has_no_common_shape_stays_a_list():
    uneven = [torch.zeros(2, 3), torch.zeros(2, 4)]
    assert nested.packed(uneven) is uneven
    assert nested.packed([]) == []


def test_an_output_without_entries_is_refused():
    with pytest.raises(TypeError, match="not NoneType"):
        nested.gathered([None])


@pytest.mark.parametrize("workers", [None, 0, 1])
def test_ragged_targets_come_alike_on_every_road(workers):
    part = TensorPart((torch.arange(5.0)[:, None],), some(1, 0, 2, 3, 0))
    loader = PartLoader(part, LoaderOptions(lambda inputs: inputs, torch.device("cpu"), workers=workers, batch_size=3))
    batches: list[Batch] = list(loader.batches())
    assert [[len(own) for own in batch.target.corners] for batch in batches] == [[1, 0, 2], [3, 0]]
    assert all(isinstance(batch.target, Boxes) and batch.target.masks is None for batch in batches)
