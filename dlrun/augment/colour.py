"""Colours changed by one matrix an image."""

import math
from typing import Annotated

import torch
from torch import Tensor

from dlrun.config.schema import Fraction, NonNegativeFloat, Range
from dlrun.engine.contracts import Change
from dlrun.engine.draws import Draws

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in what looks grey (ITU-R BT.601)
# Of the colours of ImageNet's training images, in 0..1 (Krizhevsky et al. 2012): square roots of the eigenvalues of
# their covariance, and the eigenvectors as columns.
DEVIATIONS = (0.2175, 0.0188, 0.0045)
DIRECTIONS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


class Colour(Change):
    """Brightness, contrast, saturation and hue, and AlexNet's colour noise along the main directions of ImageNet.

    Hue is a turn about the axis of greys (Karras et al. 2020, ADA), so that all is one matrix an image. Images that
    are not RGB change in brightness and contrast alone.
    """

    def __init__(
        self, *, brightness: Fraction = 0.4, contrast: Fraction = 0.4, saturation: Fraction = 0.4,
        hue: Annotated[float, Range(low=0, high=0.5)] = 0.05, pca: NonNegativeFloat = 0.1,
    ):  # fmt: skip
        """**Arguments:**

        - `brightness`: each value is multiplied by 1 - `brightness` to 1 + `brightness`.
        - `contrast`: the distance of each value from the mean grey of the image is multiplied by such a factor.
        - `saturation`: the distance of each colour from its own grey is multiplied by such a factor.
        - `hue`: the most that colours turn to either side, in turns of the colour circle.
        - `pca`: the standard deviation of AlexNet's noise, in standard deviations of ImageNet's colours.
        """
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.hue, self.pca = hue, pca

    def draw(self, draws: Draws, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """(gain (B,), contrast (B,), matrix and shift (B, 3, 4) of the colours, without the gain)."""
        bright, strong, vivid, turn = draws.signed(4).unbind(1)
        gain, contrast = 1 + self.brightness * bright, 1 + self.contrast * strong
        shift = torch.tensor(DIRECTIONS) * torch.tensor(DEVIATIONS) @ (draws.normal(3) * self.pca)[:, :, None]
        matrix = _turned(2 * math.pi * self.hue * turn) @ _washed(1 + self.saturation * vivid)
        return gain, contrast, torch.cat([matrix, shift], dim=2)

    def apply(self, images: Tensor, drawn: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        gain, contrast, colours = drawn
        mean = grey(images).mean(dim=(1, 2, 3))
        drift = ((1 - contrast) * gain).to(images.device, non_blocking=True) * mean  # (B,)
        gain = gain * contrast
        if images.shape[1] != 3:
            scale = gain.to(images.device, non_blocking=True)[:, None, None, None]
            return (images * scale).add_(drift[:, None, None, None]).clamp_(0, 1)
        matrix, shift = colours[..., :3] * gain[:, None, None], colours[..., 3:]
        moved = torch.cat([matrix, shift], dim=2).to(images.device, non_blocking=True)  # (B, 3, 4)
        matrix, shift = moved[..., :3], moved[..., 3:] + drift[:, None, None]
        return torch.baddbmm(shift, matrix, images.flatten(2)).view_as(images).clamp_(0, 1)


def grey(images: Tensor) -> Tensor:
    """How bright each pixel (B, 1, H, W) of images (B, C, H, W) looks."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _washed(factor: Tensor) -> Tensor:
    """Matrices (B, 3, 3) that bring a colour nearer to its grey (a factor below 1) or further away."""
    factor = factor[:, None, None]
    return factor * torch.eye(3) + (1 - factor) * torch.tensor(LUMA).expand(3, 3)


def _turned(angle: Tensor) -> Tensor:
    """Matrices (B, 3, 3) that turn colours by `angle` about the axis of greys (Rodrigues)."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    across = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    return cos * torch.eye(3) + (1 - cos) / 3 + sin * across
