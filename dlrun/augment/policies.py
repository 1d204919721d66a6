"""Policies that choose from a list of operations, for each image by itself."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from dlrun.augment.colour import grey
from dlrun.augment.geometric import Move
from dlrun.config.schema import PositiveInt, Range
from dlrun.engine.contracts import Change
from dlrun.engine.draws import Draws

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


@dataclass(frozen=True)
class Operation:
    """One operation for each of B images, drawn on the host.

    **Fields:**

    - `members`: which images each operation is done to, by its position in `OTHERS`; those of no operation in no list.
    - `moved`: which images are moved, and how.
    - `level` (B,): the magnitude in 0..1; `signed` (B,): with its direction, where it has two.
    """

    moved: Tensor
    move: Move
    members: list[Tensor]
    level: Tensor
    signed: Tensor


class Policy(Change):
    """Operations that are drawn from a list, for each image by itself; `strongest` says what magnitudes mean."""

    strongest: Strongest

    def apply(self, images: Tensor, drawn: list[Operation]) -> Tensor:
        for operation in drawn:
            images = operated(images, operation, self.strongest)
        return images

    def map(self, drawn: list[Operation]) -> Move:
        """One move after the other as one."""
        size, num = drawn[0].move.size, len(drawn[0].level)
        matrix, shift = torch.eye(2).repeat(num, 1, 1), torch.zeros(num, 2)
        for operation in drawn:
            step, offset = torch.eye(2).repeat(num, 1, 1), torch.zeros(num, 2)
            step[operation.moved], offset[operation.moved] = operation.move.matrix, operation.move.shift
            # The pixel comes from where the earlier moves have put what this one looks up.
            shift = (matrix @ offset[:, :, None])[:, :, 0] + shift
            matrix = matrix @ step
        return Move(size, matrix, shift)


class RandAugment(Policy):
    """RandAugment (Cubuk et al. 2020): `num_ops` operations in a row, all of one magnitude."""

    strongest = Strongest(shear=0.3, rotate=30.0, blend=0.9, bits=4, translate=150 / 331)

    def __init__(self, *, num_ops: PositiveInt = 2, magnitude: Annotated[int, Range(low=0, high=30)] = 9):
        """**Arguments:**

        - `num_ops`: the number of operations in a row; the same one may be drawn again.
        - `magnitude`: of every operation, from 0 (weak) to 30 (as `strongest` says).
        """
        self.num_ops, self.magnitude = num_ops, magnitude

    def draw(self, draws: Draws, size: tuple[int, int]) -> list[Operation]:
        drawn = []
        for _ in range(self.num_ops):
            choice, sign = draws.uniform(2).unbind(1)
            level = torch.full_like(choice, self.magnitude / LEVELS)
            drawn.append(operation(choice, level, sign < 0.5, self.strongest, size))
        return drawn


class TrivialAugment(Policy):
    """TrivialAugment (Mueller and Hutter 2021, its wide ranges): one operation of a random magnitude."""

    strongest = Strongest(shear=0.99, rotate=135.0, blend=0.99, bits=6, pixels=32.0)

    def __init__(self, *, max_magnitude: Annotated[int, Range(low=0, high=30)] = 30):
        """**Arguments:**

        - `max_magnitude`: the highest magnitude; each from 0 on is as likely, and 30 is what `strongest` says.
        """
        self.max_magnitude = max_magnitude

    def draw(self, draws: Draws, size: tuple[int, int]) -> list[Operation]:
        choice, strength, sign = draws.uniform(3).unbind(1)
        level = (strength * (self.max_magnitude + 1)).floor() / LEVELS
        return [operation(choice, level, sign < 0.5, self.strongest, size)]


def operation(
    choice: Tensor, level: Tensor, is_negative: Tensor, strongest: Strongest, size: tuple[int, int]
) -> Operation:
    """What `choice` (B,), in [0, 1), picks from the list for each image.

    `level` (B,) is the magnitude in 0..1; `is_negative` (B,) turns its direction where it has two.
    """
    number = (choice * (len(GEOMETRIC) + len(OTHERS))).long()
    signed = torch.where(is_negative, -level, level)
    moved = torch.nonzero(number < len(GEOMETRIC)).flatten()
    move = Move(size, *_affine(number[moved], signed[moved], strongest, *size))
    members = [torch.nonzero(number == len(GEOMETRIC) + other).flatten() for other in range(len(OTHERS) - 1)]
    return Operation(moved, move, members, level, signed)


def operated(images: Tensor, drawn: Operation, strongest: Strongest) -> Tensor:
    """Images (B, C, H, W), each changed by the operation that was drawn for it."""
    changed = images.clone()
    if len(drawn.moved):
        moved = drawn.moved.to(images.device, non_blocking=True)
        changed.index_copy_(0, moved, drawn.move.pixels(images.index_select(0, moved)))
    for name, members in zip(OTHERS[:-1], drawn.members, strict=True):
        if len(members):
            amount = LEVEL_OF.get(name, _factor)(drawn.level[members], drawn.signed[members], strongest)
            there = members.to(images.device, non_blocking=True)
            amount = amount.to(images.device, non_blocking=True)[:, None, None, None]
            changed.index_copy_(0, there, OPERATIONS[name](images.index_select(0, there), amount))
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
