"""Bright rectangles on noise, a different number in each image; a detector that computes its own losses; average
precision. Written with nothing but the public contracts."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.augment import AUGMENTS
from dlrun.config.spec import DataSpec
from dlrun.data import DATA
from dlrun.engine.contracts import Batch, Change, DataSet, Map, Metric, Part, Task
from dlrun.engine.metrics import Gathered
from dlrun.engine.parts import TensorPart
from dlrun.models import MODELS
from dlrun.tasks import TASKS

SIDE, CELLS = 16, 4


class BoxPart(TensorPart):
    """Images (N, 1, 16, 16) uint8 and of each its boxes (n, 4): left, top, right, bottom in pixels."""

    def moved(self, target: list[Tensor], map: Map) -> list[Tensor]:
        corners = [boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].view(-1, 2) for boxes in target]
        found = []
        for points in map.points(corners):
            points = points.view(-1, 4, 2).clamp(0, map.size[0])
            found.append(torch.cat([points.amin(dim=1), points.amax(dim=1)], dim=1))
        return found


@DATA.register("rectangles")
class Rectangles(DataSet):
    """None, one or two rectangles an image."""

    kind: str = "image"
    target: str = "rectangles"
    source: str = "made"

    def __init__(self, *, num_train: int = 24, num_val: int = 8, num_test: int = 8):
        self.sizes = {"train": num_train, "val": num_val, "test": num_test}

    @property
    def spec(self) -> DataSpec:
        return DataSpec(kind="image", target="rectangles", in_channels=1, image_size=(SIDE, SIDE))

    def load(self) -> dict[str, Part]:
        chance = torch.Generator().manual_seed(0)
        return {name: self._draw(size, chance) for name, size in self.sizes.items()}

    def _draw(self, size: int, chance: torch.Generator) -> Part:
        images = torch.randint(0, 80, (size, 1, SIDE, SIDE), generator=chance).byte()
        boxes = []
        for number in range(size):
            corner = torch.randint(1, 9, (number % 3, 2), generator=chance)
            own = torch.cat([corner, corner + torch.randint(3, 7, (number % 3, 2), generator=chance)], dim=1)
            for left, top, right, bottom in own.tolist():
                images[number, 0, top:bottom, left:right] = 230
            boxes.append(own.float())
        return BoxPart((images,), boxes)


@AUGMENTS.register("flip")
class Flip(Change):
    """Half of the images are mirrored."""

    def draw(self, draws, size):
        return size, draws.uniform(1)[:, 0] < 0.5

    def apply(self, images: Tensor, drawn: Any) -> Tensor:
        return torch.where(drawn[1].to(images.device)[:, None, None, None], images.flip(3), images)

    def map(self, drawn: Any) -> Map:
        return Mirrored(*drawn)


class Mirrored:
    window = None

    def __init__(self, size: tuple[int, int], is_mirrored: Tensor):
        self.size, self.is_mirrored = size, is_mirrored

    def points(self, points):
        width = self.size[1]
        return [
            torch.stack([width - p[:, 0], p[:, 1]], dim=1) if mirrored else p
            for p, mirrored in zip(points, self.is_mirrored.tolist(), strict=True)
        ]

    def masks(self, masks: Tensor) -> Tensor:
        return torch.where(self.is_mirrored.view(-1, *[1] * (masks.ndim - 1)), masks.flip(-1), masks)


@MODELS.register("grid_detector")
class GridDetector(nn.Module):
    """For each of 4 x 4 cells: is a box's centre in it, and which box?"""

    accepts: tuple = ("image",)
    answers: tuple = ("rectangles",)

    def __init__(self, *, in_channels: int, width: int = 8):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(width, 5, 3, padding=1),
        )  # fmt: skip

    def forward(self, images: Tensor, boxes: list[Tensor] | None = None) -> Any:
        cells = self.body(images).flatten(2).transpose(1, 2)  # (B, 16, 5)
        if boxes is None:
            chance = cells[..., 0].sigmoid()
            return [
                torch.cat([cell[:, 1:] * SIDE, p[:, None]], dim=1)[p > 0.1]
                for cell, p in zip(cells, chance, strict=True)
            ]
        present, wanted = torch.zeros_like(cells[..., 0]), torch.zeros_like(cells[..., 1:])
        for number, own in enumerate(boxes):
            centre = ((own[:, :2] + own[:, 2:]) / 2 * CELLS / SIDE).long().clamp(0, CELLS - 1)
            place = centre[:, 1] * CELLS + centre[:, 0]
            present[number, place], wanted[number, place] = 1.0, own / SIDE
        return {
            "objectness": F.binary_cross_entropy_with_logits(cells[..., 0], present),
            "box": ((cells[..., 1:] - wanted).abs() * present[..., None]).sum() / present.sum().clamp(min=1),
        }


@TASKS.register("a_detection")
class Detection(Task):
    """The model's own losses; average precision at an overlap of a half."""

    learns: str = "rectangles"
    needs: str = "rectangles"
    is_default: bool = True
    watch: str = "ap50"
    mode: str = "max"

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        return model(*batch.inputs, batch.target) if model.training else model(*batch.inputs)

    def losses(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        return {"loss": sum(output.values()), **output} if isinstance(output, dict) else {}

    def metrics(self) -> list[Metric]:
        return [AveragePrecision()]

    def rows(self, output: list[Tensor], target: list[Tensor]) -> dict[str, list[Any]]:
        return {"true": [len(each) for each in target], "predicted": [len(each) for each in output]}

    def answers(self, output: list[Tensor]) -> dict[str, list[str]]:
        return {"boxes": [str(len(each)) for each in output]}


class AveragePrecision(Gathered):
    """The area under precision over recall, over all images."""

    better: ClassVar = {"ap50": "max"}

    def value(self, output: list[Tensor], target: list[Tensor]) -> dict[str, float]:
        scored, num_true = [], sum(map(len, target))
        for found, true in zip(output, target, strict=True):
            left = list(true)
            for box in found[found[:, 4].argsort(descending=True)]:
                hit = next((k for k, other in enumerate(left) if overlap(box, other) >= 0.5), None)
                scored.append((box[4].item(), hit is not None))
                if hit is not None:
                    del left[hit]
        hits = torch.tensor([is_hit for _, is_hit in sorted(scored, reverse=True)]).double()
        precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
        return {"ap50": (precision * hits).sum().item() / max(num_true, 1)}


def overlap(one: Tensor, other: Tensor) -> float:
    low, high = torch.maximum(one[:2], other[:2]), torch.minimum(one[2:4], other[2:4])
    both = (high - low).clamp(min=0).prod()
    return (both / ((one[2:4] - one[:2]).prod() + (other[2:] - other[:2]).prod() - both)).item()
