"""What is known of the places in images, and how it moves along when the images do.

Boxes are x1, y1, x2, y2 in pixels of the model's input, from its upper left corner: pixel i reaches from i to i + 1.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from dlrun.engine.contracts import Map
from dlrun.engine.parts import FilePart, TensorPart

LEAST_SIDE = 2.0  # pixels of a box that is still taught after a change of its image
LEAST_SHARE = 0.3  # of its area that is still seen
POINTS_A_SIDE = 5  # of a box, by which a bent one is bounded
GONE = -1  # the label of an object that a change has moved out of its image


class Objects(NamedTuple):
    """The objects of N images, none, one or many in each.

    **Fields:**

    - `boxes`: of each image (n, 4).
    - `labels`: of each image (n,) integer classes; -1: no longer there, to be left out of the loss.
    - `ignored`: of each image (m, 4): regions of which nothing is known, such as crowds: neither taught nor counted.
    - `frame` (N, 6): how an input came from its image: scale x, scale y, left and top margin in pixels of the input,
      width and height of the image in its own pixels. A point (x, y) of the image is at (x * scale + margin).
    - `masks`: of each image (n, H, W) 0 or 1; None where there are none.
    """

    boxes: list[Tensor]
    labels: list[Tensor]
    ignored: list[Tensor]
    frame: Tensor
    masks: list[Tensor] | None = None


def moved_objects(target: Objects, map: Map) -> Objects:
    """The objects of a batch after `map`; of a mask its own box. What has left its image gets the label -1."""
    whole = moved_bounds(target.boxes, map)
    boxes = cut_off(whole, map)
    labels = [
        torch.where(_is_left(before, after), label, GONE)
        for before, after, label in zip(whole, boxes, target.labels, strict=True)
    ]
    masks = None if target.masks is None else moved_masks(target.masks, map)
    ignored = cut_off(moved_bounds(target.ignored, map), map)
    return Objects(boxes, labels, ignored, target.frame, masks)


def moved_bounds(boxes: Sequence[Tensor], map: Map) -> list[Tensor]:
    """The boxes (n, 4) of each image around where `map` moves their sides to, wherever that is."""
    steps = torch.linspace(0, 1, POINTS_A_SIDE)[:-1]
    none, all_ = torch.zeros_like(steps), torch.ones_like(steps)
    # Once around the box, as shares of its width and height.
    around = torch.cat(
        [torch.stack(side, 1) for side in ((steps, none), (all_, steps), (1 - steps, all_), (none, 1 - steps))]
    )
    every, sizes = torch.cat(list(boxes)), [len(own) for own in boxes]
    share = around.to(every.device, non_blocking=True)
    outlines = every[:, None, :2] + share * (every[:, None, 2:] - every[:, None, :2])  # (T, P, 2)
    moved = map.points([own.flatten(0, 1) for own in outlines.split(sizes)])
    places = torch.cat(moved).view(-1, len(around), 2)
    return list(torch.cat([places.amin(1), places.amax(1)], dim=1).split(sizes))


def cut_off(boxes: Sequence[Tensor], map: Map) -> list[Tensor]:
    """What of the boxes (n, 4) of each image is seen after `map`."""
    height, width = map.size
    every, sizes = torch.cat(list(boxes)), [len(own) for own in boxes]
    if map.window is None:
        low, high = torch.zeros(2), torch.tensor([width, height]).float()
    else:
        low, high = map.window.repeat_interleave(torch.tensor(sizes), dim=0).split(2, dim=1)
    low, high = (limit.to(every.device, non_blocking=True) for limit in (low, high))
    corners = [torch.minimum(torch.maximum(corner, low), high) for corner in every.split(2, dim=1)]
    return list(torch.cat(corners, dim=1).split(sizes))


def moved_masks(masks: Sequence[Tensor], map: Map) -> list[Tensor]:
    """The masks (n, H, W) of each image after `map`."""
    most = max((len(own) for own in masks), default=0)
    if most == 0:
        return list(masks)
    stacked = torch.stack([torch.cat([own, own.new_zeros(most - len(own), *own.shape[1:])]) for own in masks])
    return [moved[: len(own)] for moved, own in zip(map.masks(stacked), masks, strict=True)]


def joined_objects(target: Objects, num_images: int) -> Objects:
    """The objects of each of `num_images` from all its pieces, as `Part.joined` has them."""

    def of_each(values: list[Tensor]) -> list[Tensor]:
        return [torch.cat(values[number::num_images]) for number in range(num_images)]

    masks = None if target.masks is None else of_each(target.masks)
    boxes, labels, ignored = of_each(target.boxes), of_each(target.labels), of_each(target.ignored)
    return Objects(boxes, labels, ignored, target.frame[:num_images], masks)


def _is_left(whole: Tensor, seen: Tensor) -> Tensor:
    """Whether enough of each box (n, 4) is still `seen` (n, 4)."""
    sides, all_ = seen[:, 2:] - seen[:, :2], whole[:, 2:] - whole[:, :2]
    return (sides.amin(1) >= LEAST_SIDE) & (sides.prod(1) >= LEAST_SHARE * all_.prod(1))


class ObjectsPart(TensorPart):
    """Images in memory; the target is `Objects`."""

    def moved(self, target: Objects, map: Map) -> Objects:
        return moved_objects(target, map)

    def joined(self, target: Objects, num_images: int) -> Objects:
        return joined_objects(target, num_images)


class ObjectsFiles(FilePart):
    """Image files; the target is `Objects`."""

    in_memory: ClassVar[type[TensorPart]] = ObjectsPart

    def moved(self, target: Objects, map: Map) -> Objects:
        return moved_objects(target, map)

    def joined(self, target: Objects, num_images: int) -> Objects:
        return joined_objects(target, num_images)
