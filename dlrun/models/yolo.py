"""YOLO: one look at the image gives, for each cell of a grid, whether an object's centre is in it, its box and class.

Redmon et al., "You only look once", 2016; anchors from "YOLO9000", 2017; the loss of sizes in logarithms and the
boxes left out of it from "YOLOv3", 2018; the notes' chapter on YOLO in two steps: without anchors one object a cell,
[present, x, y, height, width, classes ...] of each, 3x3x8 for three classes; then several anchors a cell.

Departures: a small body of convolutions in place of Darknet; classes by softmax.

Letters: B examples, C channels, H, W pixels, G, F rows and columns of the grid, A anchors, K classes (`out_features`),
T boxes of all images of a batch.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import Fraction, NonNegativeFloat, NonNegativeInt, PositiveInt
from dlrun.models.parts.body import Body, ConvNormAct
from dlrun.models.parts.boxes import anchors_of, iou, iou_of_sizes, suppressed
from dlrun.models.parts.detector import Detector

LARGEST = 4.0  # of the logarithm of a side over that of its anchor, so that no side overflows
EMPTY_AT_FIRST = -4.0  # logit of the presence of an object before training
FITS_FROM = 0.5  # IoU of a box with the nearest anchor, from which the anchor can be said to fit


class YOLO(Detector):
    """A body of convolutions, whose last map is the grid, and 5 + K outputs for each anchor of each cell."""

    accepts: tuple = ("image",)
    answers: tuple = ("boxes",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        out_features: PositiveInt, channels: tuple[PositiveInt, ...] = (16, 32, 64), num_anchors: NonNegativeInt = 3,
        box_weight: NonNegativeFloat = 5.0, empty_weight: NonNegativeFloat = 0.5, class_weight: NonNegativeFloat = 1.0,
        overlap_ignored: Fraction = 0.6, nms: Literal["per_class", "agnostic", "soft"] = "per_class",
        iou_threshold: Fraction = 0.5, score_threshold: Fraction = 0.01, max_detections: PositiveInt = 100,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `out_features`: K, the number of classes.
        - `channels`: of the body; each halves the sides of the map, and the last map is the grid.
        - `num_anchors`: A, typical sizes found in the training boxes; 0: none, one object a cell.
        - `box_weight`, `empty_weight`, `class_weight`: of the loss of places and sizes, of cells without an object and
          of classes; that of cells with one is 1.
        - `overlap_ignored`: a box that overlaps a true one by more than this is not taught to be empty, whoever is
          responsible.
        - `nms`: whether overlapping boxes of one class suppress each other, of any class, or lose score (soft).
        - `iou_threshold`: overlap above which a box is suppressed.
        - `score_threshold`: score, presence x probability of the class, below which a box is none.
        - `max_detections`: the most detections an image.
        """
        super().__init__()
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.body = Body(in_channels, channels)
        self.stride, self.num_classes, self.has_anchors = self.body.stride, out_features, num_anchors > 0
        if min(height, width) < self.stride:
            raise ValueError(
                f"image_size {height}x{width} is less than one cell of {self.stride} pixels; take fewer channels"
            )
        self.grid = (-(-height // self.stride), -(-width // self.stride))
        self.neck = nn.Sequential(*(ConvNormAct(self.body.out_channels, self.body.out_channels) for _ in range(2)))
        self.head = nn.Conv2d(self.body.out_channels, max(num_anchors, 1) * (5 + out_features), 1)
        with torch.no_grad():
            # Nearly all cells are empty: a head that says so from the start has less to unlearn (Lin et al. 2017).
            assert self.head.bias is not None
            self.head.bias.view(-1, 5 + out_features)[:, 0] = EMPTY_AT_FIRST
        # (A, 2) width and height in cells; without anchors the cell itself.
        self.anchors: Tensor
        self.register_buffer("anchors", torch.ones(max(num_anchors, 1), 2))
        self.weights = {"box": box_weight, "empty": empty_weight, "class": class_weight}
        self.overlap_ignored = overlap_ignored
        self.suppression = {
            "how": nms, "iou_threshold": iou_threshold, "score_threshold": score_threshold, "most": max_detections,
        }  # fmt: skip

    def forward(
        self, images: Tensor, boxes: list[Tensor] | None = None, labels: list[Tensor] | None = None,
        ignored: list[Tensor] | None = None,
    ) -> Any:  # fmt: skip
        """Of each image the detections (m, 6); with true boxes and labels the terms of the loss."""
        raw = self.raw(images)
        if boxes is not None and labels is not None:
            return self.losses(raw, boxes, labels, ignored)
        return [suppressed(*each, **self.suppression) for each in self._scored(raw)]

    def raw(self, images: Tensor) -> Tensor:
        """The outputs (B, A, G, F, 5 + K) of every anchor of every cell."""
        outputs = self.head(self.neck(self.body(images))).float()  # (B, A * (5 + K), G, F)
        return outputs.unflatten(1, (len(self.anchors), -1)).permute(0, 1, 3, 4, 2)

    def candidates(self, images: Tensor) -> list[Tensor]:
        least = self.suppression["score_threshold"]
        return [
            torch.cat([boxes, scores[:, None], classes[:, None].float()], dim=1)[scores >= least]
            for boxes, scores, classes in self._scored(self.raw(images))
        ]

    def _scored(self, raw: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of each image all boxes (A * G * F, 4), their scores and likeliest classes."""
        probability, classes = raw[..., 5:].softmax(dim=-1).max(dim=-1)
        scores = raw[..., 0].sigmoid() * probability
        return list(zip(self.decoded(raw).flatten(1, 3), scores.flatten(1), classes.flatten(1), strict=True))

    def decoded(self, raw: Tensor) -> Tensor:
        """The boxes (B, A, G, F, 4) x1, y1, x2, y2 in pixels that the outputs stand for.

        The centre is in 0..1 of the cell from its upper left corner; a side is its anchor's, times a factor.
        """
        rows, columns = raw.shape[2:4]
        corner = torch.stack(
            torch.meshgrid(
                torch.arange(columns, device=raw.device), torch.arange(rows, device=raw.device), indexing="xy"
            ),
            dim=-1,
        )  # (G, F, 2) x, y
        centre = corner + raw[..., [1, 2]].sigmoid()
        sides = raw[..., [4, 3]].clamp(max=LARGEST).exp() * self.anchors[:, None, None]
        return torch.cat([centre - sides / 2, centre + sides / 2], dim=-1) * self.stride

    def losses(
        self, raw: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor], ignored: Sequence[Tensor] | None = None
    ) -> dict[str, Tensor]:
        """`object` and `empty`: presence of cells with and without one; `box`: place and size; `class`.

        Each is a sum over the cells and anchors, and a mean over the images.
        """
        owner, truth, kinds = self.assigned(raw.shape[:4], boxes, labels)
        is_object = owner >= 0  # (B, A, G, F)
        wanted, kind = truth[owner.clamp(min=0)], kinds[owner.clamp(min=0)].clamp(min=0)
        presence, images = raw[..., 0], len(raw)
        is_empty = ~is_object & ~self._near_truth(raw.detach(), boxes, labels, ignored)
        place, size = self._encoded(wanted, raw)
        off_place = (raw[..., [1, 2]].sigmoid() - place).square().sum(dim=-1)
        off_size = (raw[..., [4, 3]] - size).square().sum(dim=-1)
        of_class = F.cross_entropy(raw[..., 5:].flatten(0, 3), kind.flatten(), reduction="none").view_as(presence)
        return {
            "object": _sum(F.softplus(-presence), is_object) / images,
            "empty": self.weights["empty"] * _sum(F.softplus(presence), is_empty) / images,
            "box": self.weights["box"] * _sum(off_place + off_size, is_object) / images,
            "class": self.weights["class"] * _sum(of_class, is_object) / images,
        }

    def assigned(
        self, shape: Sequence[int], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(Which of the boxes each anchor of each cell is responsible for (B, A, G, F), or -1; all boxes; all labels).

        The cell is that of the centre, the anchor the one whose size overlaps the box most. Where two boxes meet in
        one, the later one wins.
        """
        batch, _, rows, columns = shape
        device = self.anchors.device
        # One row more, so that there is something to look up where no image has a box.
        truth = torch.cat([*boxes, torch.zeros(1, 4, device=device)])
        kinds = torch.cat([*labels, torch.full((1,), -1, device=device)])
        image = torch.cat([_image_of_each(boxes), torch.tensor([batch])]).to(device, non_blocking=True)
        slot, slots = self._slots(truth, image, (rows, columns)), math.prod(shape)
        slot = torch.where(kinds >= 0, slot, slots)  # what is gone goes to a slot that is cut off
        owner = torch.full((slots + 1,), -1, device=device)
        owner.scatter_reduce_(0, slot, torch.arange(len(truth), device=device), "amax")
        return owner[:-1].view(tuple(shape)), truth, kinds

    def _slots(self, boxes: Tensor, image: Tensor, grid: tuple[int, int]) -> Tensor:
        """The number (T,) of the anchor of the cell of the image that each of boxes (T, 4) belongs to."""
        anchors, (rows, columns) = self.anchors.to(boxes.device), grid
        cell = ((boxes[:, :2] + boxes[:, 2:]) / (2 * self.stride)).long()
        column, row = cell[:, 0].clamp(0, columns - 1), cell[:, 1].clamp(0, rows - 1)
        anchor = iou_of_sizes(((boxes[:, 2:] - boxes[:, :2]) / self.stride)[:, None], anchors).argmax(dim=1)
        return ((image * len(anchors) + anchor) * rows + row) * columns + column

    def _encoded(self, boxes: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """The place of boxes (B, A, G, F, 4) in their cells, and the logarithm of their sides over the anchor's."""
        centre = (boxes[..., :2] + boxes[..., 2:]) / (2 * self.stride)
        sides = (boxes[..., 2:] - boxes[..., :2]) / self.stride
        return centre - centre.floor(), (sides.clamp(min=1e-3) / self.anchors[:, None, None]).log()

    def _near_truth(
        self, raw: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor], ignored: Sequence[Tensor] | None
    ) -> Tensor:
        """Where (B, A, G, F) a box overlaps a true one by over `overlap_ignored`, or its cell is of no interest."""
        found = torch.zeros(raw.shape[:4], device=raw.device).flatten(1)  # (B, A * G * F)
        if any(len(own) for own in boxes):
            image = _image_of_each(boxes).to(raw.device, non_blocking=True)
            overlap = iou(self.decoded(raw).flatten(1, 3)[image], torch.cat(list(boxes))[:, None])  # (T, A * G * F)
            overlap = overlap * (torch.cat(list(labels)) >= 0)[:, None]
            found = found.scatter_reduce(0, image[:, None].expand_as(overlap), overlap, "amax")
        near = (found > self.overlap_ignored).view(raw.shape[:4])
        if ignored is None or not any(len(own) for own in ignored):
            return near
        image = _image_of_each(ignored).to(raw.device, non_blocking=True)
        x1, y1, x2, y2 = (torch.cat(list(ignored)) / self.stride)[:, None, None, :].unbind(-1)
        y = torch.arange(raw.shape[2], device=raw.device)[:, None] + 0.5
        x = torch.arange(raw.shape[3], device=raw.device) + 0.5
        inside = ((x >= x1) & (x < x2) & (y >= y1) & (y < y2)).float()  # (M, G, F)
        crowded = torch.zeros(len(raw), *raw.shape[2:4], device=raw.device).index_add_(0, image, inside)
        return near | (crowded > 0)[:, None]

    def begin(self, boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> list[str]:
        """Finds the anchors, and counts the boxes that share theirs with another."""
        rows, columns = self.grid
        cells = f"grid    {rows}x{columns} cells of {self.stride}x{self.stride} pixels"
        if not any(len(own) for own in boxes):
            return [f"{cells}; no training image has a box"]
        sizes = torch.cat([own[:, 2:] - own[:, :2] for own in boxes]) / self.stride
        lines = []
        if self.has_anchors:
            self.anchors.copy_(anchors_of(sizes.cpu(), len(self.anchors)))
            overlap = iou_of_sizes(sizes[:, None].cpu(), self.anchors.cpu()).amax(dim=1)
            fitting = (overlap >= FITS_FROM).float().mean()
            names = " ".join(f"{w:.0f}x{h:.0f}" for w, h in (self.anchors * self.stride).tolist())
            lines.append(
                f"anchors {names} pixels (width x height), by k-means on {len(sizes):,} boxes; mean IoU with the "
                f"nearest {overlap.mean():.2f}, {fitting:.1%} of the boxes at {FITS_FROM} or more"
            )
        lost = len(sizes) - len(self._slots(torch.cat(list(boxes)), _image_of_each(boxes), self.grid).unique())
        where = "cell and anchor" if self.has_anchors else "cell"
        return [
            f"{cells}; {lost:,} of {len(sizes):,} boxes share their {where} with another and are not taught",
            *lines,
        ]


def _image_of_each(boxes: Sequence[Tensor]) -> Tensor:
    """The number of the image (T,) that each box is of, on the host, which knows how many there are."""
    return torch.tensor([number for number, own in enumerate(boxes) for _ in range(len(own))], dtype=torch.int64)


def _sum(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum()
