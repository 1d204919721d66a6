"""Two samples in one image, and the share of each in what is to be learned.

The partner is any sample of the train part, not only of the batch, so that it does not depend on the batch.
"""

from typing import Annotated

import torch
from scipy.special import betaincinv
from torch import Tensor

from dlrun.augment.draws import Draws
from dlrun.augment.erasing import rectangle
from dlrun.schema import Fraction, Range


class Mixup:
    """Weighted means of two images and of their targets (Zhang et al. 2018), the weight from Beta(alpha, alpha)."""

    mixes: bool = True

    def __init__(self, *, alpha: Annotated[float, Range(low=0.01, high=100)] = 0.2, probability: Fraction = 1.0):
        self.weights, self.probability = _Beta(alpha), probability

    def __call__(self, images: Tensor, others: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W), and the share (B,) that those of `images` have in them."""
        place, chance = draws.uniform(2).unbind(1)
        share = torch.where(chance < self.probability, self.weights(place), 1.0).to(images.device, non_blocking=True)
        return torch.lerp(others, images, share[:, None, None, None]), share


class CutMix:
    """A rectangle of one image in another (Yun et al. 2019); targets are mixed by area, drawn from Beta(alpha, alpha).

    The rectangle may reach over the border, where it is cut off.
    """

    mixes: bool = True

    def __init__(self, *, alpha: Annotated[float, Range(low=0.01, high=100)] = 1.0, probability: Fraction = 1.0):
        self.weights, self.probability = _Beta(alpha), probability

    def __call__(self, images: Tensor, others: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W), and the share (B,) that those of `images` have in them."""
        height, width = images.shape[-2:]
        place, chance, *centers = draws.uniform(4).unbind(1)
        half = (1 - self.weights(place)).sqrt() / 2 * (chance < self.probability)
        spans = []
        for center, length in zip(centers, (height, width), strict=True):
            middle = (center * length).floor()
            reach = (half * length).floor()
            spans += [(middle - reach).clamp(min=0), (middle + reach).clamp(max=length)]
        top, bottom, left, right = spans
        share = 1 - (bottom - top) * (right - left) / (height * width)
        is_other = rectangle(torch.stack(spans, dim=1).to(images.device, non_blocking=True), height, width)
        return torch.where(is_other, others, images), share.to(images.device, non_blocking=True)


class _Beta:
    """Numbers of Beta(alpha, alpha) from uniform ones, by a table of the inverse of its integral."""

    def __init__(self, alpha: float, size: int = 4096):
        steps = torch.linspace(0, 1, size + 1, dtype=torch.float64)
        self.table, self.size = torch.from_numpy(betaincinv(alpha, alpha, steps.numpy())).float(), size

    def __call__(self, place: Tensor) -> Tensor:
        step = (place * self.size).long()
        return torch.lerp(self.table[step], self.table[step + 1], place * self.size - step)
