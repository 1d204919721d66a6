"""Average precision as COCO counts it, by faster-coco-eval: the one evaluator of all detectors here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from dlrun.data.boxes.letterbox import to_image
from dlrun.data.boxes.objects import Objects
from dlrun.engine.metrics import Gathered

LEAST_LIMIT = 100  # detections an image that COCO's own figure counts


@dataclass(frozen=True)
class Curves:
    """Precision and recall of K classes; of one without a true box NaN.

    `precision` (10, 101, K): at IoU 0.5, 0.55 ... 0.95 and recall 0, 0.01 ... 1. `recall` (10, K): the highest.
    """

    precision: np.ndarray
    recall: np.ndarray

    def mean(self, which: int | slice = slice(None)) -> float:
        """The mean average precision over classes with a true box, at one IoU or all; 0 where no class has one."""
        values = self.precision[which]
        return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0


def curves(
    output: Sequence[Tensor], target: Objects, num_classes: int, masks: Sequence[Tensor] | None = None
) -> Curves:
    """Precision and recall of detections (m, 6) an image, all of them, in the pixels of the images themselves.

    Every image counts, those without objects too. What lies in an ignored region is neither right nor wrong. With the
    `masks` (m, H, W) of the detections these are held against those of the target, in pixels of the input.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    found: list[dict[str, Any]] = []
    true: list[dict[str, Any]] = []
    images = []
    for number, frame in enumerate(target.frame.double(), start=1):
        width, height = (round(side) for side in frame[4:].tolist())
        if masks is not None:
            height, width = masks[number - 1].shape[-2:]
        images.append({"id": number, "width": width, "height": height})
        kinds = target.labels[number - 1].tolist()
        objects = [(box, kind, 0) for box, kind in zip(_xywh(target.boxes[number - 1], frame), kinds, strict=True)]
        first = len(true)
        # A region of which nothing is known is one of every class.
        regions = _xywh(target.ignored[number - 1], frame)
        objects += [(box, kind, 1) for box in regions for kind in range(num_classes)]
        for box, kind, crowd in objects:
            # COCO's own code takes an annotation 0 for none at all.
            true.append({
                "id": len(true) + 1, "image_id": number, "category_id": kind + 1, "bbox": box,
                "area": box[2] * box[3], "iscrowd": crowd,
            })  # fmt: skip
        own = output[number - 1]
        rows = zip(_xywh(own[:, :4], frame), own[:, 4].tolist(), own[:, 5].long().tolist(), strict=True)
        said = [{"image_id": number, "category_id": k + 1, "bbox": box, "score": score} for box, score, k in rows]
        if masks is not None and target.masks is not None:
            _add_masks(true[first:], target.masks[number - 1], target.ignored[number - 1])
            _add_masks(said, masks[number - 1])
        found += said
    names = [{"id": k + 1, "name": str(k)} for k in range(num_classes)]
    if not true or not found:
        occurs = np.isin(np.arange(num_classes), [each["category_id"] - 1 for each in true if not each["iscrowd"]])
        none = np.where(occurs, 0.0, np.nan)
        return Curves(np.broadcast_to(none, (10, 101, num_classes)), np.broadcast_to(none, (10, num_classes)))
    truth = COCO({"images": images, "annotations": true, "categories": names})
    kind = "bbox" if masks is None else "segm"
    evaluator = COCOeval_faster(truth, truth.loadRes(found), iouType=kind, print_function=_quiet)
    most = max(LEAST_LIMIT, *(len(own) for own in output))
    evaluator.params.maxDets, evaluator.params.areaRng, evaluator.params.areaRngLbl = [most], [[0, 1e10]], ["all"]
    evaluator.evaluate()
    evaluator.accumulate()
    precision, recall = evaluator.eval["precision"][:, :, :, 0, 0], evaluator.eval["recall"][:, :, 0, 0]
    return Curves(np.where(precision < 0, np.nan, precision), np.where(recall < 0, np.nan, recall))


class AveragePrecision(Gathered):
    """Mean average precision over the classes: `map50` at IoU 0.5, `map` the mean of 0.5 to 0.95, and `recall50`.

    Of a part without any true box all three are 0.
    """

    better: ClassVar[Mapping[str, str]] = {"map50": "max", "map": "max", "recall50": "max"}

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes

    def value(self, output: Any, target: Objects) -> dict[str, float]:
        found = curves(output.boxes, target, self.num_classes)
        recall = found.recall[0]
        return {
            "map50": found.mean(0),
            "map": found.mean(),
            "recall50": float(np.nanmean(recall)) if np.isfinite(recall).any() else 0.0,
        }


class InstancePrecision(AveragePrecision):
    """As `AveragePrecision`, and `mask_map50` and `mask_map` by the overlap of masks in place of boxes."""

    better: ClassVar[Mapping[str, str]] = {**AveragePrecision.better, "mask_map50": "max", "mask_map": "max"}

    def value(self, output: Any, target: Objects) -> dict[str, float]:
        boxes, masks = output.boxes, output.masks
        assert target.masks is not None, "a target of instances has masks"
        sizes = [own.shape[-2:] for own in target.masks]
        whole = [pasted(*each) for each in zip(masks, boxes, sizes, strict=True)]
        found = curves(boxes, target, self.num_classes, whole)
        return super().value(output, target) | {"mask_map50": found.mean(0), "mask_map": found.mean()}


class ProposalRecall(Gathered):
    """`proposal_recall50`: the share of the true boxes that a proposed region overlaps by 0.5 or more, whatever comes
    of it; of a part without any true box 0, of a model that proposes nothing no value."""

    better: ClassVar[Mapping[str, str]] = {"proposal_recall50": "max"}

    def gives(self, output: Any) -> Collection[str]:
        return self.better if output.proposals is not None else ()

    def value(self, output: Any, target: Objects) -> dict[str, float]:
        if output.proposals is None:
            return {}
        from torchvision.ops import box_iou

        pairs = [(true, own) for true, own in zip(target.boxes, output.proposals, strict=True) if len(true)]
        hit = [(box_iou(true, own) >= 0.5).any(dim=1) if len(own) else torch.zeros(len(true)) for true, own in pairs]
        return {"proposal_recall50": float(torch.cat(hit).float().mean()) if hit else 0.0}


def pasted(masks: Tensor, boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Masks (m, 28, 28) in 0..1 inside their boxes (m, 4 or more) as whole ones (m, H, W) of 0 and 1."""
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    height, width = size
    if not len(masks):
        return torch.zeros(0, height, width, dtype=torch.uint8)
    return (paste_masks_in_image(masks[:, None], boxes[:, :4], (height, width)) > 0.5)[:, 0].byte()


def _add_masks(objects: list[dict[str, Any]], masks: Tensor, ignored: Tensor | None = None) -> None:
    """Gives each its mask; a region of which nothing is known is whole."""
    from faster_coco_eval.core import mask as coding

    regions = [] if ignored is None else [_filled(box, masks.shape[-2:]) for box in ignored.tolist()]
    num_of_each = (len(objects) - len(masks)) // max(len(regions), 1)
    whole = [*masks.cpu().numpy(), *(region for region in regions for _ in range(num_of_each))]
    for own, mask in zip(objects, whole, strict=True):
        own["segmentation"] = coding.encode(np.asfortranarray(mask, dtype=np.uint8))
        own["area"] = float(mask.sum())
        del own["bbox"]  # the evaluator takes what has one for a box


def _filled(box: Sequence[float], size: Sequence[int]) -> np.ndarray:
    """A mask (H, W) that is 1 inside of a box x1, y1, x2, y2."""
    x1, y1, x2, y2 = (round(corner) for corner in box)
    mask = np.zeros(tuple(size), dtype=np.uint8)
    mask[max(y1, 0) : y2, max(x1, 0) : x2] = 1
    return mask


def _xywh(boxes: Tensor, frame: Tensor) -> list[list[float]]:
    """Boxes (n, 4) of an input as x, y, width, height in the pixels of its image."""
    own = to_image(boxes.double(), frame)
    return torch.cat([own[:, :2], own[:, 2:] - own[:, :2]], dim=1).tolist()


def _quiet(*words: Any) -> None:
    """The evaluator's own table is not printed."""
