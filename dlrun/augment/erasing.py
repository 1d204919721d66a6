"""A rectangle of an image is taken away."""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from dlrun.config.schema import Fraction, Range
from dlrun.engine.contracts import Change
from dlrun.engine.draws import Draws


class Erasing(Change):
    """Random erasing (Zhong et al. 2020): a rectangle of random size, shape and place is filled.

    Its sides are cut to those of the image.
    """

    def __init__(
        self, *, probability: Fraction = 0.5, min_area: Fraction = 0.02, max_area: Fraction = 0.33,
        min_aspect: Annotated[float, Range(low=0.01, high=1)] = 0.3, fill: Literal["noise", "black"] = "noise",
    ):  # fmt: skip
        """**Arguments:**

        - `probability`: of an image to lose a rectangle at all.
        - `min_area`, `max_area`: the smallest and the largest share of the image's pixels in the rectangle.
        - `min_aspect`: the smallest ratio of the shorter to the longer side.
        - `fill`: what is there instead: uniform noise in 0..1, or 0.
        """
        if min_area > max_area:
            raise ValueError(f"min_area {min_area:g} is above max_area {max_area:g}")
        self.probability, self.min_area, self.max_area = probability, min_area, max_area
        self.min_aspect, self.fill = min_aspect, fill

    def draw(self, draws: Draws, size: tuple[int, int]) -> tuple[Tensor, Draws]:
        """(top, bottom, left and right (B, 4) of the rectangles, the numbers for the noise)."""
        height, width = size
        chance, share, shape, *starts = draws.uniform(5).unbind(1)
        area = (self.min_area + (self.max_area - self.min_area) * share) * height * width
        aspect = torch.exp((1 - 2 * shape) * math.log(self.min_aspect))
        spans = []
        for start, side, length in zip(starts, ((area * aspect).sqrt(), (area / aspect).sqrt()), size, strict=True):
            taken = side.round().clamp(max=length)
            first = (start * (length - taken + 1)).floor()
            spans += [first, torch.where(chance < self.probability, first + taken, first)]
        return torch.stack(spans, dim=1), draws

    def apply(self, images: Tensor, drawn: tuple[Tensor, Draws]) -> Tensor:
        (spans, draws), (channels, height, width) = drawn, images.shape[1:]
        is_inside = rectangle(spans.to(images.device, non_blocking=True), height, width)
        if self.fill == "black":
            return images.masked_fill(is_inside, 0)
        noise = draws.uniform(channels * height * width, images.device).view_as(images)
        return torch.where(is_inside, noise, images)


def rectangle(spans: Tensor, height: int, width: int) -> Tensor:
    """Which pixels (B, 1, H, W) lie in top <= y < bottom and left <= x < right, the columns of `spans` (B, 4)."""
    top, bottom, left, right = spans[:, :, None].unbind(1)
    y, x = torch.arange(height, device=spans.device), torch.arange(width, device=spans.device)
    rows, columns = (top <= y) & (y < bottom), (left <= x) & (x < right)
    return (rows[:, :, None] & columns[:, None, :])[:, None]
