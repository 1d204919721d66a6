"""Regions of an image that may hold an object, and what torchvision's RoIHeads make of them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

from dlrun.models.parts.boxes import iou, share_inside

OBJECT_FROM = 0.5  # overlap with a true box, from which a region is taught to be one
UNKNOWN_FROM = 0.5  # share of a region in which nothing is known, from which it is not taught to be empty
FIRST_SIZES = (16.0, 32.0, 64.0, 128.0, 256.0)  # pixels, until training boxes have been seen


class Anchors(AnchorGenerator):
    """Boxes of `num` sizes (width, height) around each place of a map; the sizes stand in the checkpoint."""

    def __init__(self, num: int):
        super().__init__(sizes=(tuple(range(1, num + 1)),), aspect_ratios=((1.0,),))
        self.box_sizes: Tensor
        sides = torch.tensor([FIRST_SIZES[k % len(FIRST_SIZES)] for k in range(num)])
        self.register_buffer("box_sizes", sides[:, None].repeat(1, 2))

    def set_cell_anchors(self, dtype: torch.dtype, device: torch.device) -> None:
        half = self.box_sizes.to(device, dtype) / 2
        self.cell_anchors = [torch.cat([-half, half], dim=1)]


class Proposer(RegionProposalNetwork):
    """torchvision's, but an anchor in a region of which nothing is known is not taught to be empty."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for own, kinds, target in zip(anchors, labels, targets, strict=True):
            if len(target["ignored"]):
                kinds[(kinds == 0) & (share_inside(own, target["ignored"]) > UNKNOWN_FROM)] = -1
        if all(len(target["ignored"]) for target in targets) and not any((kinds >= 0).any() for kinds in labels):
            labels[0][0] = 0  # the loss is a mean, which needs one
        return labels, matched


def known(regions: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> list[Tensor]:
    """The regions (r, 4) of each image that can be taught: those of an object, or of a place that is known.

    One is left where that is none in any image: the loss is a mean.
    """
    found = []
    for own, target in zip(regions, targets, strict=True):
        if not len(target["ignored"]):
            found.append(own)
            continue
        is_known = share_inside(own, target["ignored"]) <= UNKNOWN_FROM
        if len(target["boxes"]):
            is_known |= iou(own[:, None], target["boxes"]).amax(dim=1) >= OBJECT_FROM
        found.append(own[is_known])
    is_taught = any(map(len, found)) or any(len(target["boxes"]) for target in targets)
    return found if is_taught else [regions[0][:1], *found[1:]]


class Pool(nn.Module):
    """Of each region what `pool` (torchvision's roi_pool or roi_align) takes from a map, `size` places a side."""

    def __init__(self, pool: Callable[..., Tensor], size: int, stride: int):
        super().__init__()
        self.pool, self.output_size, self.stride = pool, (size, size), stride

    def forward(self, features: dict[str, Tensor], regions: list[Tensor], image_sizes: list[tuple[int, int]]) -> Tensor:
        return self.pool(features["map"].float(), regions, self.output_size, 1 / self.stride)  # (R, C, size, size)


def roi_pool(features: Tensor, regions: Sequence[Tensor], size: int, stride: int) -> Tensor:
    """The largest value in each of `size` x `size` places of each region of maps (B, C, H, W) -> (R, C, size, size).

    `regions` (r, 4) of each image are in pixels, `stride` of which are one place of the map: corners are rounded to
    places, and a region without a place in it is 0 (Girshick 2015). torchvision's does the same, and is what runs.
    """
    height, width = features.shape[-2:]
    pooled = []
    for own, boxes in zip(features, regions, strict=True):
        for x1, y1, x2, y2 in (boxes.double() / stride + 0.5).floor().long().tolist():
            sides = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
            rows, columns = (
                [
                    (min(max(first + k * side // size, 0), most), min(max(first - (-(k + 1) * side // size), 0), most))
                    for k in range(size)
                ]
                for first, side, most in ((y1, sides[0], height), (x1, sides[1], width))
            )
            pooled += [
                own[:, top:bottom, left:right].amax(dim=(1, 2))
                if bottom > top and right > left
                else own.new_zeros(len(own))
                for top, bottom in rows
                for left, right in columns
            ]
    return torch.stack(pooled).view(-1, size, size, features.shape[1]).permute(0, 3, 1, 2)


def roi_heads(
    pool: nn.Module, head: nn.Module, width: int, num_classes: int, *, score_threshold: float, iou_threshold: float,
    most: int, sampled: int,
) -> RoIHeads:  # fmt: skip
    """Classes and corrected boxes of regions: `head` makes `width` numbers of what `pool` takes of each.

    In training `sampled` regions an image are learned from, a quarter of them with an object if there are as many.
    """
    return RoIHeads(
        pool, head, FastRCNNPredictor(width, num_classes + 1), fg_iou_thresh=OBJECT_FROM, bg_iou_thresh=OBJECT_FROM,
        batch_size_per_image=sampled, positive_fraction=0.25, bbox_reg_weights=None, score_thresh=score_threshold,
        nms_thresh=iou_threshold, detections_per_img=most,
    )  # fmt: skip


def targets_of(
    boxes: Sequence[Tensor], labels: Sequence[Tensor], masks: Sequence[Tensor] | None = None,
    ignored: Sequence[Tensor] | None = None,
) -> list[dict[str, Tensor]]:  # fmt: skip
    """The objects of each image as torchvision's detectors take them: without those that are gone, classes from 1.

    `ignored` are regions of which nothing is known, which no code of torchvision looks at.
    """
    found = []
    for number, (own, kinds) in enumerate(zip(boxes, labels, strict=True)):
        there = kinds >= 0
        unknown = own.new_zeros(0, 4) if ignored is None else ignored[number]
        found.append({"boxes": own[there], "labels": kinds[there] + 1, "ignored": unknown})
        if masks is not None:
            found[-1]["masks"] = masks[number][there]
    return found


def detections(found: Sequence[dict[str, Tensor]]) -> list[Tensor]:
    """What torchvision's detectors found in each image as (m, 6) [x1, y1, x2, y2, score, class], classes from 0."""
    return [
        torch.cat([own["boxes"], own["scores"][:, None], (own["labels"] - 1)[:, None].to(own["boxes"].dtype)], dim=1)
        for own in found
    ]


def grid_of_boxes(size: tuple[int, int], sides: Tensor, step: int) -> Tensor:
    """Boxes (R, 4) of each of `sides` (A, 2), width and height, around every `step`-th pixel of an image (H, W).

    They are cut off at its border.
    """
    rows, columns = (torch.arange(step // 2, length, step, device=sides.device) for length in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    centre = torch.stack([x, y], dim=-1).view(-1, 1, 2)
    boxes = torch.cat([centre - sides / 2, centre + sides / 2], dim=-1).view(-1, 4)
    ends = (size[1], size[0]) * 2
    return torch.stack([side.clamp(0, end) for side, end in zip(boxes.unbind(1), ends, strict=True)], dim=1)
