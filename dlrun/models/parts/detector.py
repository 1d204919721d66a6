"""What every model that finds objects has in common, beside its layers."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class Detector(nn.Module):
    """Images (B, C, H, W) -> of each image detections (m, 6) [x1, y1, x2, y2, score, class], best first.

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

    def candidates(self, images: Tensor) -> list[Tensor] | None:
        """What it finds in each image (n, 6) before overlapping boxes are suppressed; None: it cannot say."""
        return None
