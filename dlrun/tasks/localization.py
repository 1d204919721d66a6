"""One object or none an image, and where it is (notes, target localisation)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import NonNegativeFloat
from dlrun.config.spec import DataSpec
from dlrun.data.boxes.single import VectorPart, corners_of
from dlrun.engine.contracts import Batch, Findings, ImageFile, Metric, Part, Sighting, Task
from dlrun.engine.metrics import Sums
from dlrun.tasks import places

SHOWN = 15  # images
SHOWN_SCORE = 0.5  # from which an object is told of


class Localization(Task):
    """The notes' loss in two pieces on outputs (B, 5 + K) [present, x, y, height, width, classes ...].

    Whether an object is there: binary cross-entropy. Where it is, squared error of the centre and the sides, in 0..1
    of the image, and which it is, cross-entropy: both only where there is one; of other images nothing but the first
    output gets a gradient.
    """

    learns: str = "object"
    needs: str = "object"
    is_default: bool = True
    watch: str = "mean_iou"
    mode: str = "max"
    is_seen: bool = True
    is_scored: bool = True
    formats: tuple[str, ...] = ("coco", "yolo")

    def __init__(self, spec: DataSpec, *, box_weight: NonNegativeFloat = 20.0, class_weight: NonNegativeFloat = 1.0):
        """**Arguments:**

        - `spec`: what the data offer.
        - `box_weight`, `class_weight`: of these terms of the loss; that of the presence is 1. Squared errors of what
          is in 0..1 are small, so that the box needs a large one.
        """
        super().__init__(spec)
        assert spec.image_size is not None
        self.size, self.box_weight, self.class_weight = spec.image_size, box_weight, class_weight
        self.class_names = spec.class_names or tuple(str(k) for k in range(spec.out_features or 0))

    def targets(self, model: nn.Module, train: Part) -> list[str]:
        """The vector of an image with an object, and of one without."""
        if not isinstance(train, VectorPart):
            return []
        is_there = train.target[:, 0] > 0
        names = ", ".join(["present", "x", "y", "height", "width", *self.class_names])
        lines = [f"target  [{names}], x to width in shares of the image; ? is not taught"]
        for number in is_there.nonzero()[:1, 0].tolist():
            lines.append(f"        of training image {number}: {places.vector_text(train.target[number].tolist())}")
        for number in (~is_there).nonzero()[:1, 0].tolist():
            empty = places.vector_text([0.0] + [None] * (train.target.shape[1] - 1))
            lines.append(f"        of training image {number}, without an object: {empty}")
        return lines

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        output, target = output.float(), batch.target
        is_there = target[:, 0]
        present = F.binary_cross_entropy_with_logits(output[:, 0], is_there)
        box = _mean_of((output[:, 1:5].sigmoid() - target[:, 1:5]).square().sum(dim=1), is_there)
        kind = _mean_of(F.cross_entropy(output[:, 5:], target[:, 5:], reduction="none"), is_there)
        loss = present + self.box_weight * box + self.class_weight * kind
        return {"loss": loss, "present": present, "box": box, "class": kind}

    def metrics(self) -> list[Metric]:
        return [Found(self)]

    def check(self, output: Tensor, batch: Batch) -> None:
        """**Raises:** `ValueError` if there are not 5 + K outputs."""
        if output.shape[1:] != batch.target.shape[1:]:
            raise ValueError(
                f"gives {tuple(output.shape[1:])} an example, and [present, x, y, height, width] and "
                f"{len(self.class_names)} classes are {batch.target.shape[1]}"
            )

    def predict(self, output: Tensor) -> Tensor:
        """The output in the terms of the target: probabilities, and shares of the image (B, 5 + K)."""
        output = output.float()
        return torch.cat([output[:, :5].sigmoid(), output[:, 5:].softmax(dim=1)], dim=1)

    def answers(self, output: Tensor) -> dict[str, list[str]]:
        """Whether there is an object, which, and its box x1, y1, x2, y2 in pixels."""
        said = self.predict(output)
        corners = corners_of(said, self.size)
        found = [self._cells(*row, SHOWN_SCORE) for row in zip(said, corners, strict=True)]
        return {name: [row[name] for row in found] for name in found[0]}

    def sightings(self, output: Tensor, images: Sequence[ImageFile], least_score: float | None) -> list[Sighting]:
        """The object of each image, if it is likely enough, in pixels of that image."""
        least = SHOWN_SCORE if least_score is None else least_score
        said = self.predict(output).cpu()
        found: list[Sighting] = []
        for row, corners, image in zip(said, corners_of(said, self.size), images, strict=True):
            box, has_area = places.in_image(corners[None], image)
            objects = torch.cat([box, row[None, :1], row[None, 5:].argmax(1, keepdim=True)], dim=1)
            shown = objects[has_area & (row[0] > least)]
            found.append(places.FoundObjects(image, shown, self.class_names, self._cells(row, box[0], least)))
        return found

    def files(
        self, format: str, seen: Sequence[Sighting], images: Sequence[ImageFile], stems: Sequence[str]
    ) -> dict[str, str]:
        return places.files(format, seen, images, stems, self.class_names)

    def _cells(self, said: Tensor, corners: Tensor, least: float) -> dict[str, str]:
        """The row of a table, of an answer (5 + K,) and its box (4,)."""
        is_shown = said[0].item() > least
        return {
            "present": f"{said[0].item():.1%}",
            "class": self.class_names[int(said[5:].argmax())] if is_shown else "",
            "x1 y1 x2 y2": " ".join(f"{side:.1f}" for side in corners.tolist()) if is_shown else "",
        }

    def drawn(self, images: Tensor, target: Tensor) -> Tensor:
        corners = corners_of(target, (images.shape[-2], images.shape[-1]))
        return places.with_boxes(
            images, [box[None][: int(there)] for box, there in zip(corners, target[:, 0], strict=True)]
        )

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """Whether an object is there and was found, its class and the overlap of its box."""
        said, overlap = self.predict(output), self.overlap(output, target)
        is_there = (target[:, 0] > 0).tolist()
        names = [(self.class_names[k], self.class_names[j]) for k, j in zip(
            target[:, 5:].argmax(1).tolist(), said[:, 5:].argmax(1).tolist(), strict=True
        )]  # fmt: skip
        return {
            "true": [name if there else "" for (name, _), there in zip(names, is_there, strict=True)],
            "predicted": [name if p > 0.5 else "" for (_, name), p in zip(names, said[:, 0].tolist(), strict=True)],
            "present": said[:, 0].tolist(),
            "iou": [value if there else "" for value, there in zip(overlap.tolist(), is_there, strict=True)],
        }

    def overlap(self, output: Tensor, target: Tensor) -> Tensor:
        """IoU (B,) of the predicted and the true box, whatever the presence."""
        return _iou(corners_of(self.predict(output), self.size), corners_of(target, self.size))

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """True and predicted boxes, worst first, and how often which overlap was reached."""
        from dlrun.plots import boxes

        output, target = findings.outputs, findings.target
        said, overlap = self.predict(output), self.overlap(output, target)
        is_there, is_found = target[:, 0] > 0, said[:, 0] > 0.5
        figures = {}
        if is_there.any():
            figures["iou"] = boxes.iou_histogram(overlap[is_there].numpy())
        wrong = torch.where(is_there == is_found, torch.where(is_there, 1 - overlap, 0.0), 2.0)
        shown = wrong.argsort(descending=True, stable=True)[:SHOWN]
        true, found = corners_of(target[shown], self.size), corners_of(said[shown], self.size)
        figures["predictions"] = boxes.compared(
            findings.raw(shown).float().numpy() / 255,
            [box[None][: int(there)].numpy() for box, there in zip(true, is_there[shown], strict=True)],
            [box[None][: int(there)].numpy() for box, there in zip(found, is_found[shown], strict=True)],
            [[self.class_names[k]] for k in target[shown, 5:].argmax(1).tolist()],
            [[f"{self.class_names[k]} {p:.0%}"] for k, p in zip(
                said[shown, 5:].argmax(1).tolist(), said[shown, 0].tolist(), strict=True
            )],
        )  # fmt: skip
        return figures


class Found(Sums):
    """How well one object an image is found.

    - `mean_iou`: the mean overlap of box and truth over the images with an object, 0 where it was not said to be there.
    - `present_accuracy`: the share of images where it is right whether there is one.
    - `class_accuracy`: of images with an object, the share whose class is right.

    Without any object in a part both means are 0.
    """

    better: ClassVar[Mapping[str, str]] = {"mean_iou": "max", "present_accuracy": "max", "class_accuracy": "max"}

    def __init__(self, task: Localization):
        super().__init__()
        self.task = task

    def sums(self, output: Tensor, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        output, target = output.detach(), batch.target
        is_there, is_said = target[:, 0] > 0, output[:, 0] > 0
        is_class = output[:, 5:].argmax(dim=1) == target[:, 5:].argmax(dim=1)
        return {
            "overlap": (self.task.overlap(output, target) * (is_there & is_said)).sum(),
            "objects": is_there.sum(),
            "presence_right": (is_there == is_said).sum(),
            "class_right": (is_class & is_there).sum(),
        }

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        objects = max(totals["objects"], 1)
        return {
            "mean_iou": totals["overlap"] / objects,
            "present_accuracy": totals["presence_right"] / examples,
            "class_accuracy": totals["class_right"] / objects,
        }


def _mean_of(values: Tensor, is_counted: Tensor) -> Tensor:
    """The mean of `values` (B,) where `is_counted` (B,) is 1; 0 where none is."""
    return (values * is_counted).sum() / is_counted.sum().clamp(min=1)


def _iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union (B,) of boxes (B, 4), pair by pair."""
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    both = (high - low).clamp(min=0).prod(dim=1)
    areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(dim=1) for box in (one, other)]
    return both / (areas[0] + areas[1] - both).clamp(min=1e-9)
