"""What every model that finds objects has in common, beside its layers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn


class Detections(NamedTuple):
    """What was found in each image of a batch.

    **Fields:**

    - `boxes`: (m, 6) [x1, y1, x2, y2, score, class] in pixels, best first.
    - `masks`: (m, 28, 28) in 0..1 inside the box of each; None: the model draws none.
    - `proposals`: the regions (r, 4) that were looked at; None: the model looks everywhere.
    """

    boxes: list[Tensor]
    masks: list[Tensor] | None = None
    proposals: list[Tensor] | None = None


class Duty(NamedTuple):
    """What one cell of a grid is taught.

    **Fields:**

    - `number`: of the object, among those of its image.
    - `grid`: rows and columns.
    - `cell` (4,): x1, y1, x2, y2 in pixels.
    - `anchors` (A, 4): those of the cell, around its middle; none: there are no anchors.
    - `chosen`: which of them is responsible.
    - `vector` (5 + K,): [present, x, y, height, width, classes ...], the notes': the place in 0..1 from the upper left
      corner of the cell, sides in those of the cell.
    """

    number: int
    grid: tuple[int, int]
    cell: Tensor
    anchors: Tensor
    chosen: int
    vector: Tensor


class Detector(nn.Module):
    """Images (B, C, H, W) -> `Detections`.

    In training it is given the boxes (n, 4) and labels (n,) of each image too, and answers with the terms of its loss.
    A label of -1 marks a box that is no longer there. All boxes are in pixels.
    """

    accepts: tuple = ("image",)
    answers: tuple = ("boxes",)

    def forward(
        self, images: Tensor, boxes: list[Tensor] | None = None, labels: list[Tensor] | None = None,
        ignored: list[Tensor] | None = None,
    ) -> Any:  # fmt: skip
        raise NotImplementedError

    def begin(self, boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> list[str]:
        """Looks at the boxes of all training images before training; lines for the person who trains."""
        return []

    def sees(self) -> tuple[int, int] | None:
        """Rows and columns of pixels that a place of its map depends on; None: it has no such places."""
        return None

    def duties(self, boxes: Tensor, labels: Tensor) -> list[Duty]:
        """Which cell of a grid learns which of the objects of an image, boxes (n, 4); none: there is no grid."""
        return []

    def candidates(self, images: Tensor) -> list[Tensor] | None:
        """What it finds in each image (n, 6) before overlapping boxes are suppressed; None: it cannot say."""
        return None
