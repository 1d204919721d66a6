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
LEAST_SHARE = 0.3  # of the area that a box had before
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
    boxes = moved_boxes(target.boxes, map)
    labels = [
        torch.where(_is_left(old, new), label, GONE)
        for old, new, label in zip(target.boxes, boxes, target.labels, strict=True)
    ]
    masks = None if target.masks is None else moved_masks(target.masks, map)
    return Objects(boxes, labels, moved_boxes(target.ignored, map), target.frame, masks)


def moved_boxes(boxes: Sequence[Tensor], map: Map) -> list[Tensor]:
    """The boxes (n, 4) of each image around where `map` moves their sides to, cut off at the border of the image."""
    height, width = map.size
    steps = torch.linspace(0, 1, POINTS_A_SIDE)[:-1]
    none, all_ = torch.zeros_like(steps), torch.ones_like(steps)
    # Once around the box, as shares of its width and height.
    around = torch.cat(
        [torch.stack(side, 1) for side in ((steps, none), (all_, steps), (1 - steps, all_), (none, 1 - steps))]
    )
    outlines = []
    for own in boxes:
        share = around.to(own.device, non_blocking=True)
        outlines.append((own[:, None, :2] + share * (own[:, None, 2:] - own[:, None, :2])).flatten(0, 1))
    found = []
    for outline in map.points(outlines):
        x, y = outline.view(-1, len(around), 2).unbind(2)  # (n, P) each
        x, y = x.clamp(0, width), y.clamp(0, height)
        found.append(torch.stack([x.amin(1), y.amin(1), x.amax(1), y.amax(1)], dim=1))
    return found


def moved_masks(masks: Sequence[Tensor], map: Map) -> list[Tensor]:
    """The masks (n, H, W) of each image after `map`."""
    most = max((len(own) for own in masks), default=0)
    if most == 0:
        return list(masks)
    stacked = torch.stack([torch.cat([own, own.new_zeros(most - len(own), *own.shape[1:])]) for own in masks])
    return [moved[: len(own)] for moved, own in zip(map.masks(stacked), masks, strict=True)]


def _is_left(before: Tensor, after: Tensor) -> Tensor:
    """Whether enough of each box (n, 4) is still in its image."""
    sides, old = after[:, 2:] - after[:, :2], before[:, 2:] - before[:, :2]
    return (sides.amin(1) >= LEAST_SIDE) & (sides.prod(1) >= LEAST_SHARE * old.prod(1))


class ObjectsPart(TensorPart):
    """Images in memory; the target is `Objects`."""

    def moved(self, target: Objects, map: Map) -> Objects:
        return moved_objects(target, map)


class ObjectsFiles(FilePart):
    """Image files; the target is `Objects`."""

    in_memory: ClassVar[type[TensorPart]] = ObjectsPart

    def moved(self, target: Objects, map: Map) -> Objects:
        return moved_objects(target, map)
