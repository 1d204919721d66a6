"""YOLO: one look at the image gives, for each cell of a grid, whether an object's centre is in it, its box and class.

Redmon et al., "You only look once", 2016; anchors from "YOLO9000", 2017; the loss of sizes in logarithms, the boxes
left out of it and the grids of three scales from "YOLOv3", 2018; the notes' chapter on YOLO in two steps: without
anchors one object a cell, [present, x, y, height, width, classes ...] of each, 3x3x8 for three classes; then several
anchors a cell.

Departures: a small body of convolutions, or any image network, in place of Darknet; classes by softmax.

Letters: B examples, C channels, H, W pixels, G, F rows and columns of a grid, A anchors of a cell, K classes
(`out_features`), L grids, N = sum over the grids of A * G * F: all anchors of all cells, T boxes of all images of a
batch.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import Fraction, NonNegativeFloat, NonNegativeInt, PositiveInt
from dlrun.models.parts.backbone import Backbone
from dlrun.models.parts.body import ConvNormAct, Maps
from dlrun.models.parts.boxes import anchors_of, iou, iou_of_sizes, suppressed
from dlrun.models.parts.detector import Detections, Detector, Duty
from dlrun.models.parts.receptive import receptive_field

LARGEST = 4.0  # of the logarithm of a side over that of its anchor, so that no side overflows
EMPTY_AT_FIRST = -4.0  # logit of the presence of an object before training
FITS_FROM = 0.5  # IoU of a box with the nearest anchor, from which the anchor can be said to fit


class Places(NamedTuple):
    """What each of the N anchors of cells stands for, in pixels, x before y.

    **Fields:** `corner` (N, 2), the upper left one of its cell; `cell` (N, 2), the sides of that; `anchor` (N, 2).
    """

    corner: Tensor
    cell: Tensor
    anchor: Tensor


class YOLO(Detector):
    """A body of convolutions, whose last maps are the grids, and 5 + K outputs for each anchor of each cell."""

    accepts: tuple = ("image",)
    answers: tuple = ("boxes",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        out_features: PositiveInt, channels: tuple[PositiveInt, ...] = (16, 32, 64), backbone: str | None = None,
        scales: PositiveInt = 1, num_anchors: NonNegativeInt = 3, box_weight: NonNegativeFloat = 5.0,
        empty_weight: NonNegativeFloat = 0.5, class_weight: NonNegativeFloat = 1.0, overlap_ignored: Fraction = 0.6,
        nms: Literal["per_class", "agnostic", "soft"] = "per_class", iou_threshold: Fraction = 0.5,
        score_threshold: Fraction = 0.01, max_detections: PositiveInt = 100,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `out_features`: K, the number of classes.
        - `channels`: of the body; each halves the sides of the map, and the last map is the grid. With a `backbone` the
          last ones are those of the layers between its maps and the outputs.
        - `backbone`: another model of images in place of the body, such as `resnet`, or one of torchvision, such as
          `resnet18`; the grid is its last map of at least 8 x 8 places.
        - `scales`: L, grids, one on each of the last maps; a finer one also sees the coarser ones.
        - `num_anchors`: A of a cell, typical sizes found in the training boxes; 0: none, one object a cell.
        - `box_weight`, `empty_weight`, `class_weight`: of the loss of places and sizes, of cells without an object and
          of classes; that of cells with one is 1.
        - `overlap_ignored`: a box that overlaps a true one by more than this is not taught to be empty, whoever is
          responsible.
        - `nms`: whether overlapping boxes of one class suppress each other, of any class, or lose score (soft).
        - `iou_threshold`: overlap above which a box is suppressed.
        - `score_threshold`: score, presence x probability of the class, below which a box is none.
        - `max_detections`: the most detections an image.

        **Raises:** `ValueError` if the body leaves fewer maps than `scales`, or nothing of so small an image.
        """
        super().__init__()
        self.size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.in_channels, self.num_classes, self.has_anchors = in_channels, out_features, num_anchors > 0
        if backbone is None:
            stride = 2 ** len(channels)
            if min(self.size) < stride:
                raise ValueError(
                    f"image_size {self.size[0]}x{self.size[1]} is less than one cell of {stride} pixels; take fewer "
                    "channels"
                )
            self.body: Maps | Backbone = Maps(in_channels, channels)
            sizes = [tuple(-(-side // 2**depth) for side in self.size) for depth in range(1, len(channels) + 1)]
            widths = list(channels)
        else:
            self.body = Backbone(backbone, in_channels, self.size)
            sizes, widths = self.body.sizes, self.body.channels
        if scales > min(len(sizes), len(channels)):
            raise ValueError(f"scales {scales}: the body leaves {len(sizes)} maps, and channels are {len(channels)}")
        # Of each grid, the finest first: rows and columns.
        self.grids = [(size[0], size[1]) for size in sizes[-scales:]]
        # (L, 2) of each grid rows and columns; width and height of a cell in pixels.
        self.shapes: Tensor
        self.cells: Tensor
        cells = [(self.size[1] / columns, self.size[0] / rows) for rows, columns in self.grids]
        self.register_buffer("shapes", torch.tensor(self.grids), persistent=False)
        self.register_buffer("cells", torch.tensor(cells), persistent=False)
        outputs = max(num_anchors, 1) * (5 + out_features)
        self.head = Head(widths[-scales:], channels[-scales:], outputs)
        with torch.no_grad():
            # Nearly all cells are empty: a head that says so from the start has less to unlearn (Lin et al. 2017).
            for linear in self.head.outputs:
                assert isinstance(linear, nn.Conv2d) and linear.bias is not None
                linear.bias.view(-1, 5 + out_features)[:, 0] = EMPTY_AT_FIRST
        # (L, A, 2) width and height in cells of the grid; without anchors the cell itself.
        self.anchors: Tensor
        self.register_buffer("anchors", torch.ones(scales, max(num_anchors, 1), 2))
        self.weights = {"box": box_weight, "empty": empty_weight, "class": class_weight}
        self.overlap_ignored = overlap_ignored
        self.suppression: dict[str, Any] = {
            "how": nms, "iou_threshold": iou_threshold, "score_threshold": score_threshold, "most": max_detections,
        }  # fmt: skip

    def forward(
        self, images: Tensor, boxes: list[Tensor] | None = None, labels: list[Tensor] | None = None,
        ignored: list[Tensor] | None = None,
    ) -> Any:  # fmt: skip
        """What is found; with true boxes and labels the terms of the loss."""
        raw = flat(self.raw(images))
        if boxes is not None and labels is not None:
            return self.losses(raw, boxes, labels, ignored)
        return Detections([suppressed(*each, **self.suppression) for each in self.scored(raw)])

    def raw(self, images: Tensor) -> list[Tensor]:
        """The outputs (B, A, G, F, 5 + K) of every anchor of every cell of each grid, the finest grid first."""
        outputs = self.head(self.body(images))  # of each grid (B, A * (5 + K), G, F)
        num_anchors = self.anchors.shape[1]
        return [own.float().unflatten(1, (num_anchors, -1)).permute(0, 1, 3, 4, 2) for own in outputs]

    def candidates(self, images: Tensor) -> list[Tensor]:
        least = self.suppression["score_threshold"]
        return [
            torch.cat([boxes, scores[:, None], classes[:, None].float()], dim=1)[scores >= least]
            for boxes, scores, classes in self.scored(flat(self.raw(images)))
        ]

    def scored(self, raw: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of each image all boxes (N, 4), their scores and likeliest classes, from the outputs (B, N, 5 + K)."""
        probability, classes = raw[..., 5:].softmax(dim=-1).max(dim=-1)
        scores = raw[..., 0].sigmoid() * probability
        return list(zip(self.decoded(raw), scores, classes, strict=True))

    def decoded(self, raw: Tensor, places: Places | None = None) -> Tensor:
        """The boxes (B, N, 4) x1, y1, x2, y2 in pixels that the outputs (B, N, 5 + K) stand for.

        The centre is in 0..1 of the cell from its upper left corner; a side is its anchor's, times a factor.
        """
        places = places or self.places(raw.device)
        centre = places.corner + raw[..., [1, 2]].sigmoid() * places.cell
        sides = raw[..., [4, 3]].clamp(max=LARGEST).exp() * places.anchor
        return torch.cat([centre - sides / 2, centre + sides / 2], dim=-1)

    def places(self, device: torch.device) -> Places:
        """What each of the N anchors stands for."""
        corners, cells, anchors = [], [], []
        for (rows, columns), cell, own in zip(self.grids, self.cells.to(device), self.anchors.to(device), strict=True):
            x, y = torch.arange(columns, device=device), torch.arange(rows, device=device)
            corner = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1) * cell  # (G, F, 2)
            corners.append(corner.expand(len(own), -1, -1, -1).flatten(0, 2))
            cells.append(cell.expand(len(corners[-1]), -1))
            anchors.append((own * cell).repeat_interleave(rows * columns, dim=0))
        return Places(torch.cat(corners), torch.cat(cells), torch.cat(anchors))

    def losses(
        self, raw: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor], ignored: Sequence[Tensor] | None = None
    ) -> dict[str, Tensor]:
        """`object` and `empty`: presence of cells with and without one; `box`: place and size; `class`.

        Each is a sum over the N anchors of the outputs `raw` (B, N, 5 + K), and a mean over the images.
        """
        places = self.places(raw.device)
        owner, truth, kinds = self.assigned(raw.shape[:2], boxes, labels)
        is_object = owner >= 0  # (B, N)
        wanted, kind = truth[owner.clamp(min=0)], kinds[owner.clamp(min=0)].clamp(min=0)
        presence, images = raw[..., 0], len(raw)
        is_empty = ~is_object & ~self._near_truth(raw.detach(), places, boxes, labels, ignored)
        place, size = encoded(wanted, places)
        off_place = (raw[..., [1, 2]].sigmoid() - place).square().sum(dim=-1)
        off_size = (raw[..., [4, 3]] - size).square().sum(dim=-1)
        of_class = F.cross_entropy(raw[..., 5:].flatten(0, 1), kind.flatten(), reduction="none").view_as(presence)
        return {
            "object": _sum(F.softplus(-presence), is_object) / images,
            "empty": self.weights["empty"] * _sum(F.softplus(presence), is_empty) / images,
            "box": self.weights["box"] * _sum(off_place + off_size, is_object) / images,
            "class": self.weights["class"] * _sum(of_class, is_object) / images,
        }

    def assigned(
        self, shape: Sequence[int], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(Which of the boxes each anchor of each cell is responsible for (B, N), or -1; all boxes; all labels).

        The cell is that of the centre, the anchor the one of all grids whose size overlaps the box most. Where two
        boxes meet in one, the later one wins.
        """
        batch, slots = shape
        device = self.anchors.device
        # One row more, so that there is something to look up where no image has a box.
        truth = torch.cat([*boxes, torch.zeros(1, 4, device=device)])
        kinds = torch.cat([*labels, torch.full((1,), -1, device=device)])
        image = torch.cat([_image_of_each(boxes), torch.tensor([batch])]).to(device, non_blocking=True)
        slot = image * slots + self._slots(truth)
        slot = torch.where(kinds >= 0, slot, batch * slots)  # what is gone goes to a slot that is cut off
        owner = torch.full((batch * slots + 1,), -1, device=device)
        owner.scatter_reduce_(0, slot, torch.arange(len(truth), device=device), "amax")
        return owner[:-1].view(batch, slots), truth, kinds

    def _slots(self, boxes: Tensor) -> Tensor:
        """Which (T,) of the N anchors each of boxes (T, 4) belongs to."""
        device, (num_levels, num_anchors, _) = boxes.device, self.anchors.shape
        cells, sides = self.cells.to(device), boxes[:, 2:] - boxes[:, :2]
        sizes = self.anchors.to(device) * cells[:, None]  # (L, A, 2)
        best = iou_of_sizes(sides[:, None], sizes.flatten(0, 1)).argmax(dim=1)
        level, anchor = best // num_anchors, best % num_anchors
        grids = self.shapes.to(device)
        first = torch.cat([grids.new_zeros(1), (grids.prod(dim=1) * num_anchors).cumsum(dim=0)])[:num_levels]
        rows, columns = grids[level].unbind(1)
        column, row = (((boxes[:, :2] + boxes[:, 2:]) / 2) / cells[level]).long().clamp(min=0).unbind(1)
        row, column = torch.minimum(row, rows - 1), torch.minimum(column, columns - 1)
        return first[level] + (anchor * rows + row) * columns + column

    def _near_truth(
        self, raw: Tensor, places: Places, boxes: Sequence[Tensor], labels: Sequence[Tensor],
        ignored: Sequence[Tensor] | None,
    ) -> Tensor:  # fmt: skip
        """Where (B, N) a box overlaps a true one by over `overlap_ignored`, or its cell is of no interest."""
        found = torch.zeros(raw.shape[:2], device=raw.device)
        if any(len(own) for own in boxes):
            image = _image_of_each(boxes).to(raw.device, non_blocking=True)
            overlap = iou(self.decoded(raw, places)[image], torch.cat(list(boxes))[:, None])  # (T, N)
            overlap = overlap * (torch.cat(list(labels)) >= 0)[:, None]
            found = found.scatter_reduce(0, image[:, None].expand_as(overlap), overlap, "amax")
        near = found > self.overlap_ignored
        if ignored is None or not any(len(own) for own in ignored):
            return near
        image = _image_of_each(ignored).to(raw.device, non_blocking=True)
        regions = torch.cat(list(ignored))[:, None]
        middle = places.corner + places.cell / 2  # (N, 2)
        inside = ((middle >= regions[..., :2]) & (middle < regions[..., 2:])).all(dim=-1).float()  # (M, N)
        return near | (torch.zeros_like(found).index_add_(0, image, inside) > 0)

    def begin(self, boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> list[str]:
        """Finds the anchors, and counts the boxes that share theirs with another."""
        sizes = [f"{rows}x{columns}" for rows, columns in self.grids]
        sides = [f"{width:.3g}x{height:.3g}" for width, height in self.cells.tolist()]
        cells = f"grid    {_listed(sizes)} cells of {_listed(sides)} pixels"
        if not any(len(own) for own in boxes):
            return [f"{cells}; no training image has a box"]
        every, image = torch.cat(list(boxes)), _image_of_each(boxes)
        lines = [self._found_anchors((every[:, 2:] - every[:, :2]).cpu())] if self.has_anchors else []
        slots = self._slots(every.cpu())
        lost = len(every) - len(torch.stack([image, slots]).unique(dim=1).T)
        where = "cell and anchor" if self.has_anchors else "cell"
        return [
            f"{cells}; {lost:,} of {len(every):,} boxes share their {where} with another and are not taught",
            *lines,
        ]

    def _found_anchors(self, sizes: Tensor) -> str:
        """Takes the anchors from the sizes (T, 2) of boxes; a line that says which they are."""
        found = anchors_of(sizes, self.anchors.shape[:2].numel())  # the smallest first, as the finest grid is
        overlap = iou_of_sizes(sizes[:, None], found).amax(dim=1)
        self.anchors.copy_(found.view(self.anchors.shape) / self.cells.cpu()[:, None])
        fitting = (overlap >= FITS_FROM).float().mean()
        names = " ".join(f"{w:.0f}x{h:.0f}" for w, h in found.tolist())
        return (
            f"anchors {names} pixels (width x height), by k-means on {len(sizes):,} boxes; mean IoU with the nearest "
            f"{overlap.mean():.2f}, {fitting:.1%} of the boxes at {FITS_FROM} or more"
        )

    def sees(self) -> tuple[int, int]:
        return receptive_field(lambda images: self.head(self.body(images))[-1], self, self.in_channels, self.size)

    def duties(self, boxes: Tensor, labels: Tensor) -> list[Duty]:
        """Of each of boxes (n, 4) that is taught the cell and the anchor that are responsible, and what they learn."""
        places, slots = self.places(torch.device("cpu")), self._slots(boxes.cpu()).tolist()
        last = torch.tensor([rows * columns for rows, columns in self.grids]).cumsum(0) * self.anchors.shape[1]
        taught = {slot: number for number, slot in enumerate(slots) if labels[number] >= 0}
        found = []
        for slot, number in taught.items():
            corner, cell, _ = (value[slot] for value in places)
            of_cell = ((places.corner == corner) & (places.cell == cell)).all(dim=1).nonzero()[:, 0]
            own, middle = places.anchor[of_cell], corner + cell / 2
            place, _ = encoded(boxes[number].cpu().expand(len(places.corner), 4), places)
            sides = (boxes[number, 2:] - boxes[number, :2]).cpu() / cell
            vector = torch.cat(
                [torch.ones(1), place[slot], sides.flip(0), F.one_hot(labels[number].cpu(), self.num_classes)]
            )
            found.append(Duty(
                number, self.grids[int((last <= slot).sum())], torch.cat([corner, corner + cell]),
                torch.cat([middle - own / 2, middle + own / 2], dim=1)[: len(own) if self.has_anchors else 0],
                of_cell.tolist().index(slot), vector,
            ))  # fmt: skip
        return sorted(found, key=lambda duty: duty.number)


class Head(nn.Module):
    """Outputs of every place of the last maps: two convolutions and a linear layer on each; a finer map is joined with
    what the coarser ones have come to."""

    def __init__(self, in_channels: Sequence[int], channels: Sequence[int], out_channels: int):
        super().__init__()
        above = [*channels[1:], 0]
        self.necks = nn.ModuleList(
            nn.Sequential(ConvNormAct(seen + more, width), ConvNormAct(width, width))
            for seen, more, width in zip(in_channels, above, channels, strict=True)
        )
        self.outputs = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        found: list[Tensor] = []
        above: Tensor | None = None
        levels = list(zip(self.necks, self.outputs, maps[-len(self.necks) :], strict=True))
        for neck, outputs, seen in reversed(levels):
            if above is not None:
                seen = torch.cat([seen, F.interpolate(above, seen.shape[-2:])], dim=1)  # (B, C + C', G, F)
            above = neck(seen)
            found.insert(0, outputs(above))
        return found


def encoded(boxes: Tensor, places: Places) -> tuple[Tensor, Tensor]:
    """The place of boxes (..., N, 4) in the N cells, and the logarithm of their sides over the anchors'."""
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    sides = (boxes[..., 2:] - boxes[..., :2]) / places.anchor
    return (centre - places.corner) / places.cell, sides.clamp(min=1e-3).log()


def flat(raw: Sequence[Tensor]) -> Tensor:
    """The outputs (B, A, G, F, 5 + K) of all grids as (B, N, 5 + K)."""
    return torch.cat([own.flatten(1, 3) for own in raw], dim=1)


def _image_of_each(boxes: Sequence[Tensor]) -> Tensor:
    """The number of the image (T,) that each box is of, on the host, which knows how many there are."""
    return torch.tensor([number for number, own in enumerate(boxes) for _ in range(len(own))], dtype=torch.int64)


def _sum(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum()


def _listed(words: Sequence[str]) -> str:
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"
