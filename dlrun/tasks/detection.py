"""Objects of any number in an image, each with its box and class (notes, object detection)."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from dlrun.config.schema import Fraction
from dlrun.config.spec import DataSpec
from dlrun.data.boxes.letterbox import to_image
from dlrun.data.boxes.objects import Objects, ObjectsFiles, ObjectsPart
from dlrun.engine.contracts import Batch, Findings, ImageFile, Metric, Part, Sighting, Task
from dlrun.tasks import places
from dlrun.tasks.average_precision import AveragePrecision, ProposalRecall, curves
from dlrun.tasks.places import vector_text

SHOWN = 15  # images
LISTED = 10  # boxes of an image in a table
CANDIDATE = 0.1  # score from which a box is drawn before and after suppression


class Duty(Protocol):
    """What one cell of a grid is taught; as above."""

    @property
    def number(self) -> int: ...
    @property
    def grid(self) -> tuple[int, int]: ...
    @property
    def cell(self) -> Tensor: ...
    @property
    def anchors(self) -> Tensor: ...
    @property
    def chosen(self) -> int: ...
    @property
    def vector(self) -> Tensor: ...


class Detector(Protocol):
    """What a detector can do; dlrun/models/parts/detector.py says what each is."""

    def __call__(self, *inputs: Any) -> Any: ...
    def begin(self, boxes: list[Tensor], labels: list[Tensor]) -> list[str]: ...
    def sees(self) -> tuple[int, int] | None: ...
    def duties(self, boxes: Tensor, labels: Tensor) -> Sequence[Duty]: ...
    def candidates(self, images: Tensor) -> list[Tensor] | None: ...


class Detection(Task):
    """The losses are the model's own; detections (m, 6) [x1, y1, x2, y2, score, class] are held against the truth."""

    learns: str = "boxes"
    needs: str = "boxes"
    is_default: bool = True
    watch: str = "map50"
    mode: str = "max"
    is_seen: bool = True
    is_scored: bool = True
    formats: tuple[str, ...] = ("coco", "yolo")

    def __init__(self, spec: DataSpec, *, shown_score: Fraction = 0.5):
        """**Arguments:**

        - `spec`: what the data offer.
        - `shown_score`: score from which a box is drawn, listed and predicted. The metrics count all boxes, whatever it
          is.
        """
        super().__init__(spec)
        self.shown_score = shown_score
        self.class_names = spec.class_names or tuple(str(k) for k in range(spec.out_features or 0))

    def begin(self, model: nn.Module, train: Part) -> list[str]:
        if not isinstance(train, ObjectsPart | ObjectsFiles):
            return []
        return cast(Detector, model).begin(train.target.boxes, train.target.labels)

    def targets(self, model: nn.Module, train: Part) -> list[str]:
        """How much of the image a place of the map sees, and what the cells of the grid learn of one image."""
        detector, lines = cast(Detector, model), []
        field = detector.sees()
        if field is not None:
            lines.append(f"sees    {field[1]}x{field[0]} pixels, the receptive field of a place of the last map")
        if not isinstance(train, ObjectsPart | ObjectsFiles):
            return lines
        several = [number for number, own in enumerate(train.target.boxes) if 2 <= len(own) <= LISTED]
        for number in several[:1]:
            boxes, labels = train.target.boxes[number], train.target.labels[number]
            duties = detector.duties(boxes, labels)
            if duties:
                more = " ..." if len(self.class_names) > LISTED else ""
                names = ", ".join(["present", "x", "y", "height", "width", *self.class_names[:LISTED]])
                lines.append(f"target  of training image {number}, [{names}{more}] of a cell:")
                lines += [f"        {self._duty(duty, labels)}" for duty in duties]
                unknown = vector_text([0.0] + [None] * (len(duties[0].vector) - 1))
                lines.append(f"        everywhere else: {unknown}; ? is not taught")
        return lines

    def _duty(self, duty: Duty, labels: Tensor) -> str:
        x1, y1, x2, y2 = duty.cell.tolist()
        rows, columns = duty.grid
        row, column = round(y1 / (y2 - y1)), round(x1 / (x2 - x1))
        where = f"row {row + 1}, column {column + 1} of {rows}x{columns}"
        if len(duty.anchors):
            left, top, right, bottom = duty.anchors[duty.chosen].tolist()
            where += f", anchor {right - left:.0f}x{bottom - top:.0f}"
        return f"{self.class_names[int(labels[duty.number])]}: {where}: {vector_text(duty.vector.tolist())}"

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        if not model.training:
            return model(*batch.inputs)
        target: Objects = batch.target
        return model(*batch.inputs, target.boxes, target.labels, target.ignored)

    def losses(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """The terms that the model gives in training, and their sum; none in evaluation."""
        return {"loss": torch.stack(list(output.values())).sum(), **output} if isinstance(output, dict) else {}

    def metrics(self) -> list[Metric]:
        return [AveragePrecision(len(self.class_names)), ProposalRecall()]

    def check(self, output: Any, batch: Batch) -> None:
        """**Raises:** `ValueError` if there is not one tensor (m, 6) for each image."""
        boxes = cast(Any, output).boxes if isinstance(output, tuple) else output
        if len(boxes) != len(batch) or any(own.ndim != 2 or own.shape[1] != 6 for own in boxes):
            raise ValueError("a detector answers with [x1, y1, x2, y2, score, class] (m, 6) for each image")

    def shown(self, output: Tensor) -> Tensor:
        """Of the detections (m, 6) of an image those that are likely enough to be shown."""
        return output[output[:, 4] >= self.shown_score]

    def answers(self, output: Any) -> dict[str, list[str]]:
        """How many objects, and which, each with its score and box in pixels of the input."""
        found = [self.shown(own.cpu()) for own in output.boxes]
        return {"objects": [str(len(own)) for own in found], "boxes": [self._listed(own, True) for own in found]}

    def sightings(self, output: Any, images: Sequence[ImageFile], least_score: float | None) -> list[Sighting]:
        """The objects in pixels of their images; what lies beside its image, where an input is padded, is left out."""
        least = self.shown_score if least_score is None else least_score
        boxes, masks = output.boxes, output.masks
        found: list[Sighting] = []
        for number, (own, image) in enumerate(zip(boxes, images, strict=True)):
            own = own.cpu()
            cut, has_area = places.in_image(own[:, :4], image)
            kept = has_area & (own[:, 4] >= least)
            objects = torch.cat([cut, own[:, 4:]], dim=1)[kept]
            row = {"objects": str(len(objects)), "boxes": self._listed(objects, True)}
            inside = None if masks is None else masks[number].cpu()[kept]
            whole = to_image(own[kept, :4], image.frame)
            found.append(places.FoundObjects(image, objects, self.class_names, row, inside, whole))
        return found

    def files(
        self, format: str, seen: Sequence[Sighting], images: Sequence[ImageFile], stems: Sequence[str]
    ) -> dict[str, str]:
        return places.files(format, seen, images, stems, self.class_names)

    def drawn(self, images: Tensor, target: Objects) -> Tensor:
        left = [own[kinds >= 0] for own, kinds in zip(target.boxes, target.labels, strict=True)]
        return places.with_boxes(images, left)

    def rows(self, output: Any, target: Objects) -> dict[str, list[Any]]:
        """The true boxes and the likely predicted ones, as texts."""
        true = [
            torch.cat([boxes, boxes.new_ones(len(boxes), 1), labels[:, None].float()], dim=1)
            for boxes, labels in zip(target.boxes, target.labels, strict=True)
        ]
        return {
            "num_true": [len(own) for own in true],
            "num_predicted": [len(self.shown(own)) for own in output.boxes],
            "true": [self._listed(own, False) for own in true],
            "predicted": [self._listed(self.shown(own), True) for own in output.boxes],
        }

    def _listed(self, found: Tensor, with_score: bool) -> str:
        texts = []
        for x1, y1, x2, y2, score, kind in found[:LISTED].tolist():
            chance = f" {score:.0%}" if with_score else ""
            texts.append(f"{self.class_names[int(kind)]}{chance} {x1:.0f} {y1:.0f} {x2:.0f} {y2:.0f}")
        more = len(found) - LISTED
        return "; ".join(texts) + (f"; and {more} more" if more > 0 else "")

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """True and predicted boxes, worst first; precision over recall; overlaps; before and after suppression."""
        from dlrun.plots import boxes

        output, target = findings.outputs.boxes, findings.target
        likely = [self.shown(own) for own in output]
        matched = [_matched(own, true, kind) for own, true, kind in zip(
            likely, target.boxes, target.labels, strict=True
        )]  # fmt: skip
        wrong = torch.tensor([
            float((overlap < 0.5).sum() + max(len(own) - int((overlap >= 0.5).sum()), 0))
            for overlap, own in zip(matched, likely, strict=True)
        ])  # fmt: skip
        worst = wrong.argsort(descending=True, stable=True)[:SHOWN]
        shown = worst.tolist()
        figures: dict[str, Any] = {
            "predictions": boxes.compared(
                findings.raw(worst).float().numpy() / 255,
                [target.boxes[k].numpy() for k in shown],
                [likely[k][:, :4].numpy() for k in shown],
                [[self.class_names[j] for j in target.labels[k].tolist()] for k in shown],
                [[f"{self.class_names[int(j)]} {p:.0%}" for p, j in likely[k][:, 4:].tolist()] for k in shown],
            )
        }
        found = curves(output, target, len(self.class_names))
        figures["precision_recall"] = boxes.precision_recall(found.precision[0], self.class_names)
        overlap = torch.cat(matched)
        if len(overlap):
            figures["iou"] = boxes.iou_histogram(overlap.numpy())
        return figures | self._grid(findings, target) | self._suppression(findings, output)

    def _grid(self, findings: Findings, target: Objects) -> dict[str, Any]:
        """Which cells are responsible for the objects of one image."""
        from dlrun.plots import boxes

        detector = cast(Detector, findings.model)
        several = max(range(len(target.boxes)), key=lambda k: min(len(target.boxes[k]), LISTED))
        own, labels = target.boxes[several], target.labels[several]
        duties = detector.duties(own, labels)
        if not duties:
            return {}
        pixels = findings.raw(torch.tensor([several]))[0].float().numpy() / 255
        return {
            "grid": boxes.grid(
                pixels,
                own.numpy(),
                [self.class_names[k] for k in labels.tolist()],
                [(duty.grid, duty.cell.numpy(), duty.anchors.numpy(), duty.chosen) for duty in duties],
            )
        }

    def _suppression(self, findings: Findings, output: list[Tensor]) -> dict[str, Any]:
        from dlrun.plots import boxes

        # An image with many objects has much to suppress.
        most = max(range(len(output)), key=lambda k: len(self.shown(output[k])))
        raw = findings.raw(torch.tensor([most]))
        with torch.inference_mode():
            (inputs,) = findings.loader.options.prepare((raw.to(findings.loader.device),))
            before = cast(Detector, findings.model).candidates(inputs)
        if before is None:
            return {}
        pixels = raw[0].float().numpy() / 255
        all_, left = (own[own[:, 4] >= CANDIDATE].numpy() for own in (before[0].cpu(), output[most]))
        return {"suppression": boxes.before_and_after(pixels, all_, left, self.class_names, CANDIDATE)}


def _matched(found: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Of each true box (n,) the largest overlap with a detection (m, 6) of its class; 0 where there is none."""
    from torchvision.ops import box_iou

    if not len(boxes) or not len(found):
        return torch.zeros(len(boxes))
    overlap = box_iou(boxes, found[:, :4]) * (labels[:, None] == found[None, :, 5])
    return overlap.amax(dim=1)
