"""The points of one object or none an image (notes, landmark detection)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveFloat
from dlrun.config.spec import DataSpec
from dlrun.data.boxes.single import PointsPart
from dlrun.engine.contracts import Batch, Findings, ImageFile, Metric, Part, Sighting, Task
from dlrun.engine.metrics import Sums
from dlrun.tasks import places

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 15  # images
SHOWN_SCORE = 0.5  # from which points are told of


class KeyPoints(Task):
    """Outputs (B, 1 + 2 P) [present, x1, y1, ...]: is something there, and where are its P points?

    Binary cross-entropy for the first; squared error, in 0..1 of the image, for the others, only of points that are
    there: of an image without any nothing but the first output gets a gradient.
    """

    learns: str = "points"
    needs: str = "points"
    is_default: bool = True
    watch: str = "point_error"
    mode: str = "min"
    is_seen: bool = True
    is_scored: bool = True
    formats: tuple[str, ...] = ("coco",)

    def __init__(self, spec: DataSpec, *, point_weight: PositiveFloat = 50.0):
        """**Arguments:**

        - `spec`: what the data offer.
        - `point_weight`: of the squared error beside the presence, whose weight is 1.
        """
        super().__init__(spec)
        assert spec.image_size is not None and spec.out_features is not None
        self.point_weight, self.num_points = point_weight, spec.out_features
        self.size = height, width = spec.image_size
        self.sides = torch.tensor([float(width), float(height)])

    def to(self, device: torch.device) -> None:
        self.sides = self.sides.to(device)

    def targets(self, model: nn.Module, train: Part) -> list[str]:
        """The vector of an image with points, and of one without."""
        if not isinstance(train, PointsPart):
            return []
        is_there = train.target[..., 2].amax(dim=1) > 0
        lines = ["target  [present, x1, y1, x2, y2 ...] in shares of the image; ? is not taught"]
        for number in is_there.nonzero()[:1, 0].tolist():
            points, there = train.target[number, :, :2] / self.sides, train.target[number, :, 2] > 0
            values = [
                value if seen else None for row, seen in zip(points.tolist(), there, strict=True) for value in row
            ]
            lines.append(f"        of training image {number}: {places.vector_text([1.0, *values])}")
        for number in (~is_there).nonzero()[:1, 0].tolist():
            empty = places.vector_text([0.0] + [None] * (2 * self.num_points))
            lines.append(f"        of training image {number}, without any: {empty}")
        return lines

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        output, target = output.float(), batch.target
        is_there = target[..., 2]  # (B, P)
        present = F.binary_cross_entropy_with_logits(output[:, 0], is_there.amax(dim=1))
        error = (self._places(output) - target[..., :2] / self.sides).square().sum(dim=2)
        points = (error * is_there).sum() / is_there.sum().clamp(min=1)
        return {"loss": present + self.point_weight * points, "present": present, "points": points}

    def metrics(self) -> list[Metric]:
        return [PointErrors(self)]

    def check(self, output: Tensor, batch: Batch) -> None:
        """**Raises:** `ValueError` if there are not 1 + 2 P outputs, or images have another size than the data say."""
        said, found = ("x".join(map(str, sides)) for sides in (self.size, batch.inputs[0].shape[-2:]))
        if found != said:
            raise ValueError(
                f"learns points as shares of images of {said}, and is given {found}; set augment.crop=null"
            )
        wanted = 1 + 2 * self.num_points
        if output.shape[1:] != (wanted,):
            raise ValueError(
                f"gives {tuple(output.shape[1:])} an example, and presence with x, y of {self.num_points} points are "
                f"{wanted}"
            )

    def predict(self, output: Tensor) -> Tensor:
        """In the terms of the target (B, P, 3): x, y in pixels, and the probability that they are there."""
        present = output[:, :1, None].float().sigmoid().expand(-1, self.num_points, -1)
        return torch.cat([self._places(output.float()) * self.sides.to(output.device), present], dim=2)

    def _places(self, output: Tensor) -> Tensor:
        return output[:, 1:].view(len(output), self.num_points, 2).sigmoid()

    def errors(self, output: Tensor, target: Tensor) -> Tensor:
        """The distance (B, P) of each point from where it is, in pixels."""
        return (self.predict(output)[..., :2] - target[..., :2]).square().sum(dim=2).sqrt()

    def answers(self, output: Tensor) -> dict[str, list[str]]:
        """Whether there is something, and x, y of each point in pixels."""
        rows = [self._cells(own, SHOWN_SCORE) for own in self.predict(output)]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def sightings(self, output: Tensor, images: Sequence[ImageFile], least_score: float | None) -> list[Sighting]:
        """The points of each image in its own pixels."""
        least = SHOWN_SCORE if least_score is None else least_score
        found: list[Sighting] = []
        for own, image in zip(self.predict(output).cpu(), images, strict=True):
            own = torch.cat([places.points_in_image(own[:, :2], image), own[:, 2:]], dim=1)
            found.append(FoundPoints(self, own, bool(own[0, 2] > least), self._cells(own, least)))
        return found

    def files(
        self, format: str, seen: Sequence[Any], images: Sequence[ImageFile], stems: Sequence[str]
    ) -> dict[str, str]:
        lines = [[one + 1, other + 1] for one, other in self.spec.skeleton or ()]
        kind = {"id": 1, "name": "object", "keypoints": list(self.names), "skeleton": lines}
        return places.coco_files(seen, images, [kind], _coco)

    @property
    def names(self) -> tuple[str, ...]:
        """One name a point."""
        return self.spec.point_names or tuple(f"point {k + 1}" for k in range(self.num_points))

    def _cells(self, points: Tensor, least: float) -> dict[str, str]:
        """The row of a table, of points (P, 3)."""
        rows = zip(self.names, points.tolist(), strict=True)
        cells = {name: f"{x:.1f} {y:.1f}" if p > least else "" for name, (x, y, p) in rows}
        return {"present": f"{points[0, 2]:.1%}", **cells}

    def drawn(self, images: Tensor, target: Tensor) -> Tensor:
        from torchvision.utils import draw_keypoints

        colour, lines = places.coloured(images), list(self.spec.skeleton or ()) or None
        return torch.stack([
            draw_keypoints(image, points[None, :, :2], lines, "red", 1, visibility=points[None, :, 2] > 0)
            for image, points in zip(colour, target, strict=True)
        ])  # fmt: skip

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """Whether something is there and was found, and the mean distance of its points, in pixels."""
        is_there = target[..., 2]
        mean = (self.errors(output, target) * is_there).sum(dim=1) / is_there.sum(dim=1).clamp(min=1)
        true = (is_there.amax(dim=1) > 0).tolist()
        return {
            "true": [int(there) for there in true],
            "present": output[:, 0].sigmoid().tolist(),
            "point_error": [value if there else "" for value, there in zip(mean.tolist(), true, strict=True)],
        }

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """True and predicted points, joined as the data say, worst first; and the distances of each point."""
        from dlrun.plots import points

        output, target = findings.outputs, findings.target
        errors, is_there = self.errors(output, target), target[..., 2] > 0
        figures = {}
        if is_there.any():
            figures["point_errors"] = points.errors_of_each(
                [errors[is_there[:, k], k].numpy() for k in range(self.num_points)], self.names
            )
        said = self.predict(output)
        is_missed = is_there.any(dim=1) != (said[:, 0, 2] > 0.5)
        worst = torch.where(is_missed, torch.inf, (errors * is_there).amax(dim=1))
        shown = worst.argsort(descending=True, stable=True)[:SHOWN]
        figures["predictions"] = points.compared(
            findings.raw(shown).float().numpy() / 255, target[shown].numpy(), said[shown].numpy(),
            self.spec.skeleton or (),
        )  # fmt: skip
        return figures


@dataclass(frozen=True)
class FoundPoints(Sighting):
    """The points (P, 3) of one image in its pixels, whether they are likely enough to be shown, and the table's row."""

    task: KeyPoints
    points: Tensor
    is_shown: bool
    row: dict[str, str]

    def cells(self) -> dict[str, str]:
        return self.row

    def draw(self, picture: "Image") -> "Image":
        from dlrun.plots import drawn

        if not self.is_shown:
            return picture
        text = f"{self.points[0, 2]:.0%}"
        return drawn.pointed(picture, self.points[:, :2].numpy(), self.task.spec.skeleton or (), text)


def _coco(own: FoundPoints) -> list[dict[str, Any]]:
    if not own.is_shown:
        return []
    # 2: a point that is seen.
    points = [round(value, 3) for x, y, _ in own.points.double().tolist() for value in (x, y, 2.0)]
    return [{"category_id": 1, "keypoints": points, "score": round(own.points[0, 2].item(), 6)}]


class PointErrors(Sums):
    """How far points are from where they should be.

    - `point_error`: the mean distance in pixels of all points that are there.
    - `within_3px`: the share of them that is at most 3 pixels off.
    - `present_accuracy`: the share of images where it is right whether something is there.
    """

    better: ClassVar[Mapping[str, str]] = {"point_error": "min", "within_3px": "max", "present_accuracy": "max"}

    def __init__(self, task: KeyPoints):
        super().__init__()
        self.task = task

    def sums(self, output: Tensor, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        output, is_there = output.detach(), batch.target[..., 2]
        distance = self.task.errors(output, batch.target)
        return {
            "distance": (distance * is_there).sum(),
            "points": is_there.sum(),
            "near": ((distance <= 3) * is_there).sum(),
            "presence_right": ((output[:, 0] > 0) == (is_there.amax(dim=1) > 0)).sum(),
        }

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        points = max(totals["points"], 1)
        return {
            "point_error": totals["distance"] / points,
            "within_3px": totals["near"] / points,
            "present_accuracy": totals["presence_right"] / examples,
        }
