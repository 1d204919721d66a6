"""Pictures of one face as a camera takes them again: another side, another place, another light."""

from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from dlrun.augment.colour import Colour
from dlrun.augment.geometric import Geometric, Move
from dlrun.config.schema import Fraction, NonNegativeInt, Range
from dlrun.engine.contracts import Change
from dlrun.engine.draws import Draws

Taken: TypeAlias = tuple[Move, tuple[Tensor, Tensor, Tensor], Tensor]


class Portrait(Change):
    """Mirrored, shifted, turned and scaled a little, brighter or darker, with more light from one side.

    What comes in from outside is the nearest pixel. Colours stay, as they tell people apart.
    """

    def __init__(
        self, *, mirror: Fraction = 0.5, shift: NonNegativeInt = 4,
        rotation: Annotated[float, Range(low=0, high=180)] = 8.0, scale: Annotated[float, Range(low=0, high=4)] = 0.1,
        light: Fraction = 0.3, side_light: Fraction = 0.3,
    ):  # fmt: skip
        """**Arguments:**

        - `mirror`: the probability of an image to be mirrored, left for right.
        - `shift`: the most pixels that an image is shifted by, to any side.
        - `rotation`: the largest angle, in degrees, to either side.
        - `scale`: an image becomes larger or smaller by at most the factor 1 + `scale`.
        - `light`: brightness, and the distance of each value from the mean grey, are multiplied by 1 - `light` to
          1 + `light`.
        - `side_light`: one edge becomes brighter by at most this share, and the opposite edge darker, along each side.
        """
        self.move = Geometric(
            mirror=mirror, padding=shift, rotation=rotation, shear=0.0, scale=scale, warp=0.0, border="edge"
        )
        self.light = Colour(brightness=light, contrast=light, saturation=0.0, hue=0.0, pca=0.0)
        self.side_light = side_light

    def draw(self, draws: Draws, size: tuple[int, int]) -> Taken:
        """(The move, the light, and how much brighter the right and the lower edge become (B, 2))."""
        return self.move.draw(draws, size), self.light.draw(draws, size), self.side_light * draws.signed(2)

    def apply(self, images: Tensor, drawn: Taken) -> Tensor:
        move, light, side = drawn
        lit = self.light.apply(self.move.apply(images, move), light)
        across, down = (torch.linspace(-1, 1, length, device=images.device) for length in (lit.shape[3], lit.shape[2]))
        right, lower = side.to(images.device, non_blocking=True)[:, :, None, None].unbind(1)  # (B, 1, 1)
        gain = 1 + right * across + lower * down[:, None]  # (B, H, W)
        return (lit * gain[:, None]).clamp_(0, 1)

    def map(self, drawn: Taken) -> Move:
        return drawn[0]
