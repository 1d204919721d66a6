"""Policies that choose from a list of operations, for each sample by itself."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from dlrun.augment.colour import grey
from dlrun.augment.draws import Draws
from dlrun.augment.geometric import resampled
from dlrun.schema import PositiveInt, Range

LEVELS = 30  # the strongest magnitude of both papers
GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
OTHERS = (
    "brightness", "color", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize", "identity",
)  # fmt: skip


@dataclass(frozen=True)
class Strongest:
    """What the highest magnitude means.

    **Fields:**

    - `shear`: tangent of the angle; `rotate`: degrees; `blend`: how far a factor of colour is from 1.
    - `translate`: the share of a side, or `pixels` if that is given.
    - `bits`: that posterize takes away from 8.
    """

    shear: float
    rotate: float
    blend: float
    bits: int
    translate: float = 0.0
    pixels: float | None = None


class RandAugment:
    """RandAugment (Cubuk et al. 2020): `num_ops` operations in a row, all of one magnitude."""

    strongest = Strongest(shear=0.3, rotate=30.0, blend=0.9, bits=4, translate=150 / 331)

    def __init__(self, *, num_ops: PositiveInt = 2, magnitude: Annotated[int, Range(low=0, high=30)] = 9):
        self.num_ops, self.magnitude = num_ops, magnitude

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Images (B, C, H, W), each changed by its row of `draws`."""
        for _ in range(self.num_ops):
            choice, sign = draws.uniform(2).unbind(1)
            level = torch.full_like(choice, self.magnitude / LEVELS)
            images = operated(images, choice, level, sign < 0.5, self.strongest)
        return images


class TrivialAugment:
    """TrivialAugment (Mueller and Hutter 2021, its wide ranges): one operation of a random magnitude."""

    strongest = Strongest(shear=0.99, rotate=135.0, blend=0.99, bits=6, pixels=32.0)

    def __init__(self, *, max_magnitude: Annotated[int, Range(low=0, high=30)] = 30):
        self.max_magnitude = max_magnitude

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Images (B, C, H, W), each changed by its row of `draws`."""
        choice, place, sign = draws.uniform(3).unbind(1)
        level = (place * (self.max_magnitude + 1)).floor() / LEVELS
        return operated(images, choice, level, sign < 0.5, self.strongest)


def operated(images: Tensor, choice: Tensor, level: Tensor, is_negative: Tensor, strongest: Strongest) -> Tensor:
    """Images (B, C, H, W), each changed by the operation that `choice` (B,), in [0, 1), picks from the list.

    `level` (B,) is the magnitude in 0..1; `is_negative` (B,) turns its direction where it has two.
    """
    operation = (choice * (len(GEOMETRIC) + len(OTHERS))).long()
    signed = torch.where(is_negative, -level, level)
    changed = images.clone()
    moved = torch.nonzero(operation < len(GEOMETRIC)).flatten()
    if len(moved):
        matrix, shift = _affine(operation[moved], signed[moved], strongest, *images.shape[-2:])
        place = moved.to(images.device, non_blocking=True)
        changed.index_copy_(0, place, resampled(images.index_select(0, place), matrix, shift))
    for number, name in enumerate(OTHERS[:-1], start=len(GEOMETRIC)):
        members = torch.nonzero(operation == number).flatten()
        if len(members):
            amount = LEVEL_OF.get(name, _factor)(level[members], signed[members], strongest)
            place = members.to(images.device, non_blocking=True)
            amount = amount.to(images.device, non_blocking=True)[:, None, None, None]
            changed.index_copy_(0, place, OPERATIONS[name](images.index_select(0, place), amount))
    return changed


def _affine(operation: Tensor, signed: Tensor, strongest: Strongest, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The matrices (M, 2, 2) and shifts (M, 2) of geometric operations; shear keeps the upper left corner."""
    slope_x, slope_y, share_x, share_y, turn = (
        torch.where(operation == number, signed, 0.0) for number in range(len(GEOMETRIC))
    )
    slope_x, slope_y = slope_x * strongest.shear, slope_y * strongest.shear
    angle = turn * math.radians(strongest.rotate)
    across, down = (
        side * strongest.translate if strongest.pixels is None else strongest.pixels for side in (width, height)
    )
    matrix = torch.stack([angle.cos(), slope_x - angle.sin(), slope_y + angle.sin(), angle.cos()], dim=1)
    shift = torch.stack([share_x * across + slope_x * height / 2, share_y * down + slope_y * width / 2], dim=1)
    return matrix.view(-1, 2, 2), shift


def _factor(level: Tensor, signed: Tensor, strongest: Strongest) -> Tensor:
    return 1 + signed * strongest.blend


def _blended(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(other, images, factor).clamp_(0, 1)


def _posterized(images: Tensor, bits: Tensor) -> Tensor:
    step = 2 ** (8 - bits)
    return (images * 255).round_().div_(step).floor_().mul_(step).div_(255)


def _by_channel(operation: Callable[..., Tensor], images: Tensor, *options: float) -> Tensor:
    """Of torchvision, which takes one channel or three; what it does to one does not depend on the others."""
    return operation(images.flatten(0, 1)[:, None], *options).view_as(images)


# How strong: from the level in 0..1, and the same with its direction. All others are factors around 1.
LEVEL_OF: dict[str, Callable[[Tensor, Tensor, Strongest], Tensor]] = {
    "posterize": lambda level, signed, strongest: 8 - (level * strongest.bits).round(),  # bits that are left
    "solarize": lambda level, signed, strongest: 1 - level,  # what is at least as bright is inverted
}
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": lambda images, factor: (images * factor).clamp_(0, 1),
    "color": lambda images, factor: _blended(images, grey(images), factor),
    "contrast": lambda images, factor: _blended(images, grey(images).mean(dim=(1, 2, 3), keepdim=True), factor),
    "sharpness": lambda images, factor: _blended(images, _by_channel(F.adjust_sharpness, images, 0.0), factor),
    "posterize": _posterized,
    "solarize": lambda images, threshold: torch.where(images >= threshold, 1 - images, images),
    "autocontrast": lambda images, _: _by_channel(F.autocontrast, images),
    "equalize": lambda images, _: _by_channel(F.equalize, images),
}
