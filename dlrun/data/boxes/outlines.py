"""Outlines of objects, polygons or runs of pixels, and the masks that they stand for, as COCO draws them.

Letters: n objects of an image, H, W pixels.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dlrun.data.boxes.letterbox import letterboxed_mask
from dlrun.data.boxes.objects import Objects, ObjectsFiles, ObjectsPart
from dlrun.engine.contracts import Batch

FARTHEST = 4  # sides of an image that a corner may be away from it; the drawing takes memory by the length of a side


class Runs(NamedTuple):
    """Runs of pixels, column by column, of which every second one is in the mask, the first one is not."""

    counts: np.ndarray
    height: int
    width: int


# The polygons of an object, each x, y, x, y, ...; or runs.
Outline: TypeAlias = list[np.ndarray] | Runs


def outline_of(value: Any) -> Outline:
    """COCO's `segmentation`, checked. **Raises:** `ValueError`: what is wrong."""
    if isinstance(value, dict):
        return runs(value)
    if not isinstance(value, list) or not value:
        raise ValueError(f"segmentation must be a list of polygons, or runs, found {type(value).__name__}")
    return [polygon(part) for part in value]


def polygon(value: Any) -> np.ndarray:
    """One polygon x, y, x, y, ..., checked. **Raises:** `ValueError`: what is wrong."""
    if not isinstance(value, list) or len(value) < 6 or len(value) % 2:
        raise ValueError("a polygon needs x and y of 3 or more corners")
    if not all(isinstance(item, int | float) and not isinstance(item, bool) for item in value):
        raise ValueError("a polygon holds something else than numbers")
    try:
        corners = np.array(value, dtype=np.float64)
    except OverflowError:
        raise ValueError("a polygon holds a number too large") from None
    if not np.isfinite(corners).all():
        raise ValueError("a polygon holds something else than finite numbers")
    return corners


def fitted(outline: Outline, size: tuple[int, int], is_relative: bool = False) -> Outline:
    """`outline` in pixels of an image of `size` (W, H). **Raises:** `ValueError` if it is none of such an image."""
    if isinstance(outline, Runs):
        if (outline.width, outline.height) != size:
            raise ValueError(f"runs of {outline.width}x{outline.height}, but the image is {size[0]}x{size[1]}")
        return outline
    found = []
    for part in outline:
        sides = np.tile(np.array(size, dtype=np.float64), len(part) // 2)
        pixels = part * sides if is_relative else part
        if (np.abs(pixels) > sides * FARTHEST).any():
            raise ValueError("a polygon reaches far out of the image")
        found.append(pixels)
    return found


def runs(value: dict) -> Runs:
    """COCO's runs, compressed to a text or not, checked. **Raises:** `ValueError`: what is wrong."""
    sides, counts = value.get("size"), value.get("counts")
    if not isinstance(sides, list) or len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ValueError("the size of runs must be [height, width]")
    height, width = sides
    if isinstance(counts, str):
        lengths = _unpacked(counts)
    elif isinstance(counts, list) and all(type(count) is int for count in counts):
        lengths = counts
    else:
        raise ValueError("counts must be a text or a list of integers")
    if any(length < 0 for length in lengths) or sum(lengths) != height * width:
        raise ValueError(f"the runs do not add up to the {height * width} pixels of the image")
    return Runs(np.array(lengths, dtype=np.int64), height, width)


def _unpacked(text: str) -> list[int]:
    """Run lengths from COCO's text: each in pieces of 5 bits, from the third on as the change since the last but one.

    **Raises:** `ValueError` for a text that is none.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        piece = ord(character) - 48
        if not 0 <= piece < 64 or shift > 60:
            raise ValueError("counts is not a text of runs")
        value |= (piece & 0x1F) << shift
        shift += 5
        if piece & 0x20:
            continue
        if piece & 0x10:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("counts breaks off")
    return lengths


def mask_of(outline: Outline, size: tuple[int, int]) -> np.ndarray:
    """The mask (H, W), 0 or 1, of an object in an image of `size` (W, H); several polygons are one object."""
    width, height = size
    if isinstance(outline, Runs):
        inside = np.arange(len(outline.counts)) % 2
        return np.repeat(inside, outline.counts).astype(np.uint8).reshape(outline.width, outline.height).T
    from faster_coco_eval import mask as coco  # late: only instances need it

    parts = [coco.frPyObjects([part.tolist()], height, width)[0] for part in outline]
    return coco.decode(coco.merge(parts))


class InstanceFiles(ObjectsFiles):
    """Image files; the target is `Objects` with masks, which are drawn when a batch is taken.

    `outlines` are those of the objects of each image, in its own pixels; `image_size` is that (H, W) of the input.
    """

    def __init__(
        self, paths: list[str], target: Objects, decode: Callable[[str], Tensor], sample_bytes: int,
        outlines: list[list[Outline]], image_size: tuple[int, int],
    ):  # fmt: skip
        super().__init__(paths, target, decode, sample_bytes)
        self.outlines, self.image_size = outlines, image_size

    def subset(self, index: Tensor) -> "InstanceFiles":
        some = ObjectsFiles(self.paths, self.target, self.decode, self.sample_bytes).subset(index)
        outlines = [self.outlines[position] for position in index.tolist()]
        return InstanceFiles(some.paths, some.target, self.decode, self.sample_bytes, outlines, self.image_size)

    def take(self, index: Tensor) -> Batch:
        batch = super().take(index)
        batch.target = batch.target._replace(masks=[self.masks(position) for position in index.tolist()])
        return batch

    def nbytes(self) -> int:
        # Unlike boxes, masks are as large as images.
        num_masks = sum(map(len, self.outlines))
        return super().nbytes() + num_masks * self.image_size[0] * self.image_size[1]

    def to(self, device: torch.device) -> ObjectsPart:
        images = [self.decode(path) for path in tqdm(self.paths, "reading", unit="file", leave=False, disable=None)]
        masks = [self.masks(position) for position in range(len(self))]
        return ObjectsPart((torch.stack(images),), self.target._replace(masks=masks)).to(device)

    def masks(self, position: int) -> Tensor:
        """The masks (n, H, W) of an image, in its input."""
        width, height = map(int, self.target.frame[position, 4:].tolist())
        found = [
            letterboxed_mask(mask_of(outline, (width, height)), self.image_size) for outline in self.outlines[position]
        ]
        return torch.from_numpy(np.stack(found)) if found else torch.zeros(0, *self.image_size, dtype=torch.uint8)
