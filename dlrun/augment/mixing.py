"""Two examples in one image, and the share of each in what is to be learned.

The partner is any example of the train part, not only of the batch, so that it does not depend on the batch.
"""

from typing import Annotated

import torch
from scipy.special import betaincinv
from torch import Tensor

from dlrun.augment.erasing import rectangle
from dlrun.config.schema import Fraction, Range
from dlrun.engine.contracts import Mixture
from dlrun.engine.draws import Draws


class Mixup(Mixture):
    """Weighted means of two images and of their targets (Zhang et al. 2018), the weight from Beta(alpha, alpha)."""

    def __init__(self, *, alpha: Annotated[float, Range(low=0.01, high=100)] = 0.2, probability: Fraction = 1.0):
        """**Arguments:**

        - `alpha`: of the distribution; small: one of the two images is mostly alone; 1: any weight is as likely.
        - `probability`: of an image to be mixed at all.
        """
        self.weights, self.probability = _Beta(alpha), probability

    def draw(self, draws: Draws, size: tuple[int, int]) -> Tensor:
        """The weights (B,)."""
        point, chance = draws.uniform(2).unbind(1)
        return torch.where(chance < self.probability, self.weights(point), 1.0)

    def apply(self, images: Tensor, others: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        share = drawn.to(images.device, non_blocking=True)
        return torch.lerp(others, images, share[:, None, None, None]), share


class CutMix(Mixture):
    """A rectangle of one image in another (Yun et al. 2019); targets are mixed by area, drawn from Beta(alpha, alpha).

    The rectangle may reach over the border, where it is cut off.
    """

    def __init__(self, *, alpha: Annotated[float, Range(low=0.01, high=100)] = 1.0, probability: Fraction = 1.0):
        """**Arguments:**

        - `alpha`: of the distribution; 1: any share of the area is as likely.
        - `probability`: of an image to be mixed at all.
        """
        self.weights, self.probability = _Beta(alpha), probability

    def draw(self, draws: Draws, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(top, bottom, left and right (B, 4) of the rectangles, the share (B,) of what is outside)."""
        point, chance, *centers = draws.uniform(4).unbind(1)
        half = (1 - self.weights(point)).sqrt() / 2 * (chance < self.probability)
        spans = []
        for center, length in zip(centers, size, strict=True):
            middle = (center * length).floor()
            reach = (half * length).floor()
            spans += [(middle - reach).clamp(min=0), (middle + reach).clamp(max=length)]
        top, bottom, left, right = spans
        return torch.stack(spans, dim=1), 1 - (bottom - top) * (right - left) / (size[0] * size[1])

    def apply(self, images: Tensor, others: Tensor, drawn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        spans, share = (each.to(images.device, non_blocking=True) for each in drawn)
        return torch.where(rectangle(spans, *images.shape[-2:]), others, images), share


class _Beta:
    """Numbers of Beta(alpha, alpha) from uniform ones, by a table of the inverse of its integral."""

    def __init__(self, alpha: float, size: int = 4096):
        steps = torch.linspace(0, 1, size + 1, dtype=torch.float64)
        self.table, self.size = torch.from_numpy(betaincinv(alpha, alpha, steps.numpy())).float(), size

    def __call__(self, point: Tensor) -> Tensor:
        """The numbers (B,) below which the shares `point` (B,), in [0, 1), of the distribution lie."""
        step = (point * self.size).long()
        return torch.lerp(self.table[step], self.table[step + 1], point * self.size - step)
