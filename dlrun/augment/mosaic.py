"""Four images in one, each with its objects: more of them an image, cut off and in new surroundings."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from dlrun.augment.geometric import Move
from dlrun.config.schema import Fraction, Range
from dlrun.engine.contracts import Change
from dlrun.engine.draws import Draws

TILES = 4
MIDDLE = (0.25, 0.75)  # of the sides, between which the tiles meet


class Mosaic(Change):
    """A tile of each of four images around a point that is drawn (Bochkovskiy et al., "YOLOv4", 2020).

    Each is mirrored and scaled by itself, and so placed that its tile is full.
    """

    num_others: ClassVar[int] = 3

    def __init__(
        self, *, mirror: Fraction = 0.5, scale: Annotated[float, Range(low=0, high=4)] = 0.5,
        probability: Fraction = 1.0,
    ):  # fmt: skip
        """**Arguments:**

        - `mirror`: the probability of each of the four to be mirrored, left for right.
        - `scale`: each becomes larger or smaller by at most the factor 1 + `scale`.
        - `probability`: of an image to be one of four; the others are alone, and keep their scale.
        """
        self.mirror, self.scale, self.probability = mirror, scale, probability

    def draw(self, draws: Draws, size: tuple[int, int]) -> "Tiles":
        """The move of each image, the B first ones, then their first partners, and so on."""
        whole = torch.tensor([size[1], size[0]]).float()
        chance, point = draws.uniform(1), draws.uniform(2)
        low, high = MIDDLE
        meet = ((low + (high - low) * point) * whole).round()  # (B, 2) x, y
        is_alone = chance >= self.probability
        meet = torch.where(is_alone, whole, meet)
        windows, moves = [], []
        for tile in range(TILES):
            is_right = torch.tensor([tile % 2, tile // 2]).bool()  # and lower
            corner, end = torch.where(is_right, meet, 0), torch.where(is_right, whole, meet)
            flip, zoom, *place = draws.uniform(4).split(1, dim=1)
            factor = torch.where(is_alone, 1.0, (1 + self.scale) ** (2 * zoom - 1))
            # At least so large that the tile is full.
            factor = torch.maximum(factor, ((end - corner) / whole).amax(dim=1, keepdim=True))
            side = torch.where(flip < self.mirror, -1.0, 1.0)
            back = torch.cat([side, torch.ones_like(side)], dim=1) / factor  # (B, 2), the diagonal of the matrix
            room = whole - (end - corner) / factor
            source = (torch.cat(place, dim=1) - 0.5) * room  # of the middle of the tile, from that of its image
            shift = source - back * ((corner + end) / 2 - whole / 2)
            windows.append(torch.cat([corner, end], dim=1))
            moves.append((back.diag_embed(), shift))
        matrix, shift = (torch.cat(values) for values in zip(*moves, strict=True))
        return Tiles(size, matrix, shift, tiles=torch.cat(windows))

    def apply(self, images: Tensor, drawn: "Tiles") -> Tensor:
        moved = drawn.pixels(images, "border") * drawn.is_seen(images.device)[:, None]
        return moved.unflatten(0, (TILES, -1)).sum(dim=0)  # (4 * B, C, H, W) -> (B, C, H, W)

    def map(self, drawn: "Tiles") -> "Tiles":
        return drawn


@dataclass(frozen=True)
class Tiles(Move):
    """Moved images, of each of which a rectangle of `tiles` (B, 4) x1, y1, x2, y2 is seen, whole pixels."""

    tiles: Tensor | None = None

    @property
    def window(self) -> Tensor | None:
        return self.tiles

    def is_seen(self, device: torch.device) -> Tensor:
        """Which pixels (B, H, W) are seen."""
        assert self.tiles is not None
        x1, y1, x2, y2 = self.tiles.to(device, non_blocking=True)[:, None, None].unbind(-1)
        x = torch.arange(self.size[1], device=device)
        y = torch.arange(self.size[0], device=device)[:, None]
        return (x >= x1) & (x < x2) & (y >= y1) & (y < y2)

    def masks(self, masks: Tensor) -> Tensor:
        seen = self.is_seen(masks.device)
        return super().masks(masks) * seen.view(len(seen), *[1] * (masks.ndim - 3), *self.size)
