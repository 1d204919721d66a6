"""Images moved, turned and bent: one bilinear look-up for all of it (grid_sample), each sample by its own matrix."""

import functools
import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.augment.draws import Draws
from dlrun.schema import Fraction, NonNegativeFloat, NonNegativeInt, Range

POINTS = 4  # of a bend, on each side
BORDERS = {"black": "zeros", "edge": "border", "reflect": "reflection"}


class Geometric:
    """Mirror, random crop, rotation, shear, scale, and a local warp (Simard, Steinkraus and Platt 2003).

    The warp is random shifts of a 4 x 4 mesh, smooth between its points (as in Ronneberger et al. 2015). `border` is
    what comes in from outside of the image. The size of the images stays.
    """

    def __init__(
        self,
        *,
        mirror: Fraction = 0.0,
        padding: NonNegativeInt = 2,
        rotation: Annotated[float, Range(low=0, high=180)] = 10.0,
        shear: Annotated[float, Range(low=0, high=60)] = 5.0,
        scale: Annotated[float, Range(low=0, high=4)] = 0.1,
        warp: NonNegativeFloat = 1.0,
        border: Literal["black", "edge", "reflect"] = "black",
    ):
        self.mirror, self.padding, self.scale, self.warp = mirror, padding, scale, warp
        self.rotation, self.shear = math.radians(rotation), math.radians(shear)
        self.border = BORDERS[border]

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Images (B, C, H, W), each changed by its row of `draws`."""
        chance, turn, slant, size, *move = draws.uniform(6).unbind(1)
        angle, slope = (2 * turn - 1) * self.rotation, torch.tan((2 * slant - 1) * self.shear)
        zoom = (1 + self.scale) ** (1 - 2 * size)
        flip = torch.where(chance < self.mirror, -1.0, 1.0)
        cos, sin = angle.cos() * zoom, angle.sin() * zoom
        rows = (cos * flip, cos * slope - sin, sin * flip, sin * slope + cos)
        shift = (torch.stack(move, dim=1) * (2 * self.padding + 1)).floor_() - self.padding
        bend = draws.signed(2 * POINTS**2).view(-1, 2, POINTS, POINTS) * self.warp if self.warp else None
        return resampled(images, torch.stack(rows, dim=1).view(-1, 2, 2), shift, bend, self.border)


def resampled(
    images: Tensor, matrix: Tensor, shift: Tensor, bend: Tensor | None = None, border: str = "zeros"
) -> Tensor:
    """Images (B, C, H, W) whose pixel at p, from the centre, is the one that was at `matrix` p + `shift` + `bend`.

    `matrix` (B, 2, 2), `shift` (B, 2) and `bend` (B, 2, P, P), a mesh over the image, are in pixels, x before y.
    """
    height, width = images.shape[-2:]
    # grid_sample counts from -1 to 1 over each side.
    unit = torch.tensor([2 / width, 2 / height])
    affine = torch.cat([matrix, shift[..., None]], dim=2).mul_(unit[:, None]).to(images.device, non_blocking=True)
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    by_x, by_y, fixed = affine[..., None].unbind(2)  # (B, 2, 1)
    grid = (by_x * x)[:, :, None, :] + (by_y * y + fixed)[:, :, :, None]  # (B, 2, H, W)
    if bend is not None:
        mesh = (bend * unit[:, None, None]).to(images.device, non_blocking=True)
        grid += _spline(height, images.device).T @ (mesh @ _spline(width, images.device))
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), padding_mode=border, align_corners=False)


@functools.lru_cache(maxsize=16)
def _spline(length: int, device: torch.device) -> Tensor:
    """How much each point of a mesh counts at each of `length` pixels (P, length), bicubic.

    Two products with it, one a side, cost a twentieth of `interpolate` on the mesh.
    """
    points = torch.eye(POINTS)[:, None, None]
    return F.interpolate(points, (1, length), mode="bicubic", align_corners=True)[:, 0, 0].to(device)
