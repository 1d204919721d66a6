"""One object or none an image: as a vector (notes, target localisation), or as its points (notes, landmarks)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlrun.data.boxes.objects import cut_off, moved_bounds
from dlrun.engine.contracts import Map
from dlrun.engine.parts import TensorPart


def vectors(boxes: Sequence[Tensor], labels: Sequence[Tensor], num_classes: int, size: tuple[int, int]) -> Tensor:
    """[present, x, y, height, width, classes ...] (N, 5 + K) of the first box (n, 4) of each image, or zeros.

    x, y is the centre of the box; they and the sides are shares of the image of `size` (H, W).
    """
    found = torch.zeros(len(boxes), 5 + num_classes)
    height, width = size
    for row, own, label in zip(found, boxes, labels, strict=True):
        if len(own):
            x1, y1, x2, y2 = own[0].tolist()
            row[:5] = torch.tensor(
                [1, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (y2 - y1) / height, (x2 - x1) / width]
            )
            row[5 + int(label[0])] = 1
    return found


def corners_of(vector: Tensor, size: tuple[int, int]) -> Tensor:
    """The boxes x1, y1, x2, y2 (N, 4) in pixels of vectors (N, 5 + K), in images of `size` (H, W)."""
    x, y, height, width = vector[:, 1:5].unbind(1)
    x, width, y, height = x * size[1], width * size[1], y * size[0], height * size[0]
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dim=1)


class VectorPart(TensorPart):
    """Images (N, C, H, W) in memory and the vectors of `vectors` (N, 5 + K)."""

    @property
    def labels(self) -> None:
        return None

    def moved(self, target: Tensor, map: Map) -> Tensor:
        """The box around where the sides of the old one are now; no object where its centre has left the image."""
        before = corners_of(target, (self.inputs[0].shape[-2], self.inputs[0].shape[-1]))
        height, width = map.size
        x1, y1, x2, y2 = torch.cat(cut_off(moved_bounds(list(before[:, None]), map), map)).unbind(1)
        centre = torch.cat(map.points(list(((before[:, :2] + before[:, 2:]) / 2)[:, None])))
        box = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (y2 - y1) / height, (x2 - x1) / width]
        is_in = ((centre >= 0) & (centre < centre.new_tensor([width, height]))).all(dim=1) & (target[:, 0] > 0)
        return torch.cat([target[:, :1], torch.stack(box, dim=1), target[:, 5:]], dim=1) * is_in[:, None]


class PointsPart(TensorPart):
    """Images (N, C, H, W) in memory and points (N, P, 3): x, y in pixels, and 1 where there is such a point.

    `mirrored` (P,) says which point each one is once left and right have changed places; None: nobody knows.
    """

    def __init__(self, inputs: tuple[Tensor, ...], target: Tensor, mirrored: Tensor | None = None):
        super().__init__(inputs, target)
        self.mirrored = mirrored

    @property
    def labels(self) -> None:
        return None

    def subset(self, index: Tensor) -> "PointsPart":
        return PointsPart(tuple(value[index] for value in self.inputs), self.target[index], self.mirrored)

    def to(self, device: torch.device) -> "PointsPart":
        return PointsPart(tuple(value.to(device) for value in self.inputs), self.target.to(device), self.mirrored)

    def moved(self, target: Tensor, map: Map) -> Tensor:
        """The moved points; one that has left the image is no longer there.

        **Raises:** `ValueError` if an image was mirrored, and nobody knows which point is then which.
        """
        height, width = map.size
        x, y = torch.stack(map.points(list(target[..., :2]))).unbind(2)
        is_there = (target[..., 2] > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        moved = torch.stack([x, y, torch.ones_like(x)], dim=2) * is_there[..., None]
        is_flipped = _is_flipped(map, len(target))
        if self.mirrored is None:
            if is_flipped.any():
                raise ValueError("an image was mirrored, and the data do not say which points are then which")
            return moved
        return torch.where(is_flipped.to(x.device)[:, None, None], moved[:, self.mirrored.to(x.device)], moved)


def _is_flipped(map: Map, num_images: int) -> Tensor:
    """Whether left and right have changed places in each image (B,), by where three points around its middle go."""
    middle = torch.tensor([map.size[1] / 2, map.size[0] / 2])
    three = middle + torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    origin, right, down = torch.stack(map.points([three] * num_images)).unbind(1)
    (a, b), (c, d) = (right - origin).unbind(1), (down - origin).unbind(1)
    return a * d - b * c < 0
