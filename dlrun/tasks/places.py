"""What tasks say of the objects in image files: drawn, told, and written as COCO or YOLO.

Letters: W, H pixels of an image, n objects of an image, P points.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dlrun.data.boxes.letterbox import to_image
from dlrun.engine.contracts import ImageFile, Sighting
from dlrun.tasks.average_precision import pasted

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class FoundObjects(Sighting):
    """The objects found in one image.

    **Fields:**

    - `image`: the file.
    - `found` (n, 6): x1, y1, x2, y2 inside of the image, score, class.
    - `class_names`: of all classes.
    - `row`: the cells of the table.
    - `masks` (n, 28, 28) in 0..1 inside of `whole` (n, 4), the boxes that may reach out of the image; None: no masks.
    """

    image: ImageFile
    found: Tensor
    class_names: Sequence[str]
    row: dict[str, str]
    masks: Tensor | None = None
    whole: Tensor | None = None

    def cells(self) -> dict[str, str]:
        return self.row

    def mask(self, number: int) -> np.ndarray:
        """The mask (H, W) of an object, 0 or 1."""
        assert self.masks is not None and self.whole is not None
        width, height = self.image.size
        # One at a time: a hundred masks of a photo take gigabytes.
        chosen = slice(number, number + 1)
        return pasted(self.masks[chosen], self.whole[chosen], (height, width))[0].numpy()

    def draw(self, picture: "Image") -> "Image":
        from dlrun.plots import drawn

        labels = self.found[:, 5].long().tolist()
        for number, label in enumerate(labels if self.masks is not None else ()):
            picture = drawn.painted(picture, self.mask(number), drawn.color_of(label))
        texts = [f"{self.class_names[k]} {p:.0%}" for k, p in zip(labels, self.found[:, 4].tolist(), strict=True)]
        return drawn.outlined(picture, self.found[:, :4].numpy(), labels, texts)


def vector_text(values: Sequence[float | None]) -> str:
    """A target vector written out; None is what is not taught."""
    most = 16
    texts = ["?" if value is None else f"{value:.4g}" for value in values[:most]]
    return f"[{', '.join(texts)}{', ...' if len(values) > most else ''}]"


def coloured(images: Tensor) -> Tensor:
    """Images (B, C, H, W) as (B, 3, H, W): of other channels than three the mean."""
    return images if images.shape[1] == 3 else images.float().mean(dim=1, keepdim=True).byte().repeat(1, 3, 1, 1)


def with_boxes(images: Tensor, boxes: Sequence[Tensor]) -> Tensor:
    """Images (B, C, H, W) uint8 with the boxes (n, 4) of each drawn on it."""
    from torchvision.utils import draw_bounding_boxes

    pairs = zip(coloured(images), boxes, strict=True)
    return torch.stack([draw_bounding_boxes(image, own, colors="red") if len(own) else image for image, own in pairs])


def in_image(boxes: Tensor, image: ImageFile) -> tuple[Tensor, Tensor]:
    """Boxes (n, 4) of an input in pixels of its image, cut off at its border; and which of them have an area (n,)."""
    width, height = image.size
    own = to_image(boxes, image.frame)
    cut = torch.stack([own[:, k].clamp(0, (width, height)[k % 2]) for k in range(4)], dim=1)
    return cut, ((cut[:, 2:] - cut[:, :2]) > 0).all(dim=1)


def points_in_image(points: Tensor, image: ImageFile) -> Tensor:
    """Points x, y (n, 2) of an input in pixels of its image, none of them out of it."""
    width, height = image.size
    own = to_image(points.repeat(1, 2), image.frame)[:, :2]
    return torch.stack([own[:, 0].clamp(0, width), own[:, 1].clamp(0, height)], dim=1)


def classes_in_image(classes: Tensor, image: ImageFile) -> np.ndarray:
    """Classes (H', W') of the pixels of an input as those (H, W) of its image, by the nearest pixel."""
    width, height = image.size
    scale_x, scale_y, left, top = image.frame[:4].tolist()
    columns = ((np.arange(width) + 0.5) * scale_x + left).astype(int).clip(0, classes.shape[1] - 1)
    rows = ((np.arange(height) + 0.5) * scale_y + top).astype(int).clip(0, classes.shape[0] - 1)
    return classes.numpy()[rows[:, None], columns]


def files(
    format: str, seen: Sequence[Any], images: Sequence[ImageFile], stems: Sequence[str], class_names: Sequence[str]
) -> dict[str, str]:
    """The text of each file, by name, in the format `coco` or `yolo`; `seen` are `FoundObjects`."""
    if format == "coco":
        return coco_files(seen, images, categories(class_names), _coco)
    # Line 0 of classes.txt is the name of the class 0.
    names = {"classes.txt": "".join(f"{name}\n" for name in class_names)}
    return {f"{stem}.txt": _yolo(own) for stem, own in zip(stems, seen, strict=True)} | names


def categories(names: Sequence[str]) -> list[dict[str, Any]]:
    """COCO's categories, from 1 on."""
    return [{"id": number, "name": name} for number, name in enumerate(names, start=1)]


def coco_files(
    seen: Sequence[Any], images: Sequence[ImageFile], kinds: list[dict[str, Any]],
    entries: Callable[[Any], list[dict[str, Any]]],
) -> dict[str, str]:  # fmt: skip
    """detections.json, COCO's list of results, and images.json with the images and categories that it speaks of."""
    listed, found = [], []
    for number, (own, image) in enumerate(zip(seen, images, strict=True), start=1):
        width, height = image.size
        listed.append({"id": number, "file_name": os.path.basename(image.path), "width": width, "height": height})
        found += [{"image_id": number, "file_name": listed[-1]["file_name"], **entry} for entry in entries(own)]
    values = {
        "detections.json": found,
        "images.json": {"images": listed, "annotations": [], "categories": kinds},
    }
    return {name: json.dumps(value) + "\n" for name, value in values.items()}


def _coco(own: FoundObjects) -> list[dict[str, Any]]:
    found = []
    for number, (x1, y1, x2, y2, score, kind) in enumerate(own.found.double().tolist()):
        box = [round(side, 3) for side in (x1, y1, x2 - x1, y2 - y1)]
        entry = {"category_id": int(kind) + 1, "bbox": box, "score": round(score, 6)}
        if own.masks is not None:
            from faster_coco_eval.core import mask as coding

            runs = coding.encode(np.asfortranarray(own.mask(number)))
            entry["segmentation"] = {"size": [int(side) for side in runs["size"]], "counts": _text(runs["counts"])}
        found.append(entry)
    return found


def _text(counts: Any) -> str:
    return counts.decode() if isinstance(counts, bytes) else str(counts)


def _yolo(own: FoundObjects) -> str:
    """A line an object: class, centre, width and height in shares of the image, score."""
    width, height = own.image.size
    rows = []
    for x1, y1, x2, y2, score, kind in own.found.double().tolist():
        places = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        rows.append(f"{int(kind)} {' '.join(f'{place:.8f}' for place in places)} {score:.6f}\n")
    return "".join(rows)
