"""Images moved, turned and bent: one bilinear look-up for all of it (grid_sample), each image by its own matrix."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dlrun.config.schema import Fraction, NonNegativeFloat, NonNegativeInt, PositiveInt, Range
from dlrun.engine.contracts import Change
from dlrun.engine.draws import Draws

POINTS = 4  # of a bend, on each side
INVERTED_IN = 20  # rounds
QUARTER_TURNS = torch.tensor([[[1.0, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]])
BORDERS = {"black": "zeros", "edge": "border", "reflect": "reflection"}


class Geometric(Change):
    """Mirror, shift, crop, rotation, shear, scale, and a local warp (Simard, Steinkraus and Platt 2003).

    The warp is random shifts of a 4 x 4 mesh, smooth between its points (as in Ronneberger et al. 2015). `border` is
    what comes in from outside of the image. Without `crop` the size of the images stays; with it all else happens to
    the window, around its centre, and looks beyond the window where there is more of the image.
    """

    def __init__(
        self, *, mirror: Fraction = 0.0, padding: NonNegativeInt = 2,
        rotation: Annotated[float, Range(low=0, high=180)] = 10.0,
        shear: Annotated[float, Range(low=0, high=60)] = 5.0, scale: Annotated[float, Range(low=0, high=4)] = 0.1,
        warp: NonNegativeFloat = 1.0, border: Literal["black", "edge", "reflect"] = "black",
        crop: PositiveInt | None = None, quarter_turns: bool = False, probability: Fraction = 1.0,
    ):  # fmt: skip
        """**Arguments:**

        - `mirror`: the probability of an image to be mirrored, left for right.
        - `padding`: the most pixels that an image is shifted, to any side: a crop of it with so wide a border.
        - `rotation`: the largest angle, in degrees, to either side.
        - `shear`: the largest angle, in degrees, by which columns are slanted to either side.
        - `scale`: an image becomes larger or smaller by at most the factor 1 + `scale`.
        - `warp`: the most pixels that a point of the mesh is shifted by, along each side; 0: no warp.
        - `border`: 0 (`black`), the nearest pixel (`edge`), or the image mirrored at its border (`reflect`).
        - `crop`: H and W in pixels of the window that is cut from each image at a random place; around a smaller image
          the border comes in. None: the whole image. Evaluation sees whole images.
        - `quarter_turns`: whether each is also turned by 0, 90, 180 or 270 degrees, which needs no look-up between
          pixels; for square images or windows that have no right way up.
        - `probability`: of an image to be rotated, sheared, scaled and bent at all. That smooths its noise: a network
          that has never seen it as it is errs more in evaluation.
        """
        self.mirror, self.padding, self.scale, self.warp = mirror, padding, scale, warp
        self.rotation, self.shear = math.radians(rotation), math.radians(shear)
        self.border, self.crop = BORDERS[border], crop
        self.quarter_turns, self.probability = quarter_turns, probability

    def draw(self, draws: Draws, size: tuple[int, int]) -> "Move":
        """The move of each image."""
        chance, turn, slant, scale, *move = draws.uniform(6).unbind(1)
        angle, slope = (2 * turn - 1) * self.rotation, torch.tan((2 * slant - 1) * self.shear)
        zoom = (1 + self.scale) ** (1 - 2 * scale)
        bend = draws.signed(2 * POINTS**2).view(-1, 2, POINTS, POINTS) * self.warp if self.warp else None
        if self.probability < 1:
            is_left = draws.uniform(1)[:, 0] >= self.probability
            angle, slope, zoom = (
                angle.masked_fill(is_left, 0),
                slope.masked_fill(is_left, 0),
                zoom.masked_fill(is_left, 1),
            )
            bend = bend.masked_fill(is_left[:, None, None, None], 0) if bend is not None else None
        flip = torch.where(chance < self.mirror, -1.0, 1.0)
        cos, sin = angle.cos() * zoom, angle.sin() * zoom
        rows = (cos * flip, cos * slope - sin, sin * flip, sin * slope + cos)
        shift = (torch.stack(move, dim=1) * (2 * self.padding + 1)).floor_() - self.padding
        matrix = torch.stack(rows, dim=1).view(-1, 2, 2)
        if self.quarter_turns:
            matrix = matrix @ QUARTER_TURNS[(draws.uniform(1)[:, 0] * 4).long()]
        if self.crop is None:
            return Move(size, matrix, shift, bend)
        spare = torch.tensor([size[1] - self.crop, size[0] - self.crop])  # negative: the image is smaller
        place = (draws.uniform(2) * (spare.abs() + 1)).floor_() + spare.clamp(max=0)
        # The window's centre, from that of the image.
        return Move((self.crop, self.crop), matrix, shift + place - spare / 2, bend, source=size)

    def apply(self, images: Tensor, drawn: "Move") -> Tensor:
        return drawn.pixels(images, self.border)

    def map(self, drawn: "Move") -> "Move":
        return drawn


@dataclass(frozen=True)
class Move:
    """Where images (B, C, H, W) are moved, each its own way; the moved ones are of `size` (H, W).

    The pixel at q, from the centre, is the one that was at `matrix` q + `shift` + `bend`, from the centre: `matrix`
    (B, 2, 2), `shift` (B, 2) and `bend` (B, 2, P, P), a mesh over the moved image, are in pixels, x before y, on the
    host. `source` is the (H, W) of the images before; None: `size`.
    """

    size: tuple[int, int]
    matrix: Tensor
    shift: Tensor
    bend: Tensor | None = None
    source: tuple[int, int] | None = None

    @property
    def before(self) -> tuple[int, int]:
        """(H, W) of the images before the move."""
        return self.source or self.size

    @property
    def window(self) -> Tensor | None:
        return None

    def pixels(self, images: Tensor, border: str = "zeros", mode: str = "bilinear") -> Tensor:
        """The moved images (B, C, H, W); `border` is what comes in from outside, as `grid_sample` calls it."""
        return F.grid_sample(
            images, self._grid(images.device).permute(0, 2, 3, 1), mode=mode, padding_mode=border, align_corners=False
        )

    def masks(self, masks: Tensor) -> Tensor:
        """The moved masks (B, ..., H, W), each value that of the nearest pixel; 0 comes in from outside."""
        flat = masks.reshape(len(masks), -1, *self.before)
        return self.pixels(flat.float(), mode="nearest").to(masks.dtype).view(*masks.shape[:-2], *self.size)

    def points(self, points: Sequence[Tensor]) -> list[Tensor]:
        """The moved points: a list of B tensors (n, 2), x, y in pixels from the upper left corner of the image.

        They may lie outside. The inverse of the move: exact of a matrix, of a bend to a thousandth of a pixel where it
        does not fold.
        """
        sizes, device = [len(own) for own in points], points[0].device
        centre, after = (torch.tensor([width / 2, height / 2]) for height, width in (self.before, self.size))
        back = torch.linalg.inv(self.matrix).to(device, non_blocking=True)
        # (B, most, 2): those of an image with fewer have zeros behind them.
        start = pad_sequence(list(points), batch_first=True)
        start = start - (centre + self.shift)[:, None].to(device, non_blocking=True)
        moved = _turned(start, back)
        if self.bend is not None:
            height, width = self.size
            bend = self.bend.to(device, non_blocking=True)
            field = _spline(height, device).T @ (bend @ _spline(width, device))  # (B, 2, H, W)
            unit = torch.tensor([2 / width, 2 / height]).to(device, non_blocking=True)
            options = {"mode": "bilinear", "padding_mode": "border", "align_corners": False}
            for _ in range(INVERTED_IN):
                bent = F.grid_sample(field, (moved * unit)[:, None].to(field.dtype), **options)  # (B, 2, 1, most)
                moved = _turned(start - bent[:, :, 0].mT, back)
        moved = moved + after.to(device, non_blocking=True)
        return [own[:num] for own, num in zip(moved, sizes, strict=True)]

    def _grid(self, device: torch.device) -> Tensor:
        """Where each pixel comes from (B, 2, H, W), counted from -1 to 1 over each side."""
        height, width = self.size
        unit = torch.tensor([2 / self.before[1], 2 / self.before[0]])
        affine = torch.cat([self.matrix, self.shift[..., None]], dim=2).mul_(unit[:, None])
        affine = affine.to(device, non_blocking=True)
        x = torch.arange(width, device=device) - (width - 1) / 2
        y = torch.arange(height, device=device) - (height - 1) / 2
        by_x, by_y, fixed = affine[..., None].unbind(2)  # (B, 2, 1)
        grid = (by_x * x)[:, :, None, :] + (by_y * y + fixed)[:, :, :, None]  # (B, 2, H, W)
        if self.bend is not None:
            mesh = (self.bend * unit[:, None, None]).to(device, non_blocking=True)
            grid += _spline(height, device).T @ (mesh @ _spline(width, device))
        return grid


def _turned(points: Tensor, matrix: Tensor) -> Tensor:
    """Points (B, n, 2), each times the matrix (B, 2, 2) of its image; number by number, so that n changes no bit."""
    return points[..., :1] * matrix[:, None, :, 0] + points[..., 1:] * matrix[:, None, :, 1]


@functools.lru_cache(maxsize=16)
def _spline(length: int, device: torch.device) -> Tensor:
    """How much each point of a mesh counts at each of `length` pixels (P, length), bicubic.

    Two products with it, one a side, cost a twentieth of `interpolate` on the mesh.
    """
    points = torch.eye(POINTS)[:, None, None]
    return F.interpolate(points, (1, length), mode="bicubic", align_corners=True)[:, 0, 0].to(device)
