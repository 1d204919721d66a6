"""A picture that learns: the parameters are its pixels.

Gatys, Ecker, Bethge 2016 (Image Style Transfer Using Convolutional Neural Networks), figure 2: of all that is computed
there, the picture alone is changed.

Departure: what is learned is the logit of each pixel. Its sigmoid is in 0..1 by itself. A pixel that is cut off at 0 or
1 while it learns would get no gradient there, or one that tears at the same bound again and again.

Letters: B examples, C channels, H, W pixels.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt

EDGE = 1 / 255  # as near to black and white as a picture begins: a logit further out would hardly move


class Canvas(nn.Module):
    """The pixels of one picture as weights (C, H, W) in 0..1, the same for every input."""

    accepts: tuple = ("image",)
    answers: tuple = ("picture",)

    def __init__(
        self, *, start: Literal["noise", "content"] = "noise", in_channels: PositiveInt,
        image_size: tuple[PositiveInt, PositiveInt],
    ):  # fmt: skip
        """**Arguments:**

        - `start`: what it shows before it learns: `noise`, each value drawn evenly from 0..1, or the `content`, which
          `begin` hands over.
        - `in_channels`: C.
        - `image_size`: (H, W) in pixels.
        """
        super().__init__()
        self.start = start
        self.logits = nn.Parameter(_logits(torch.rand(1, in_channels, *image_size)))

    def begin(self, content: Tensor) -> None:
        """Starts with `content` (1, C, H, W) in 0..1, if that is what it starts with."""
        if self.start == "content":
            with torch.no_grad():
                self.logits.copy_(_logits(content))

    def forward(self, content: Tensor) -> Tensor:
        return self.logits.sigmoid().expand(content.shape[0], -1, -1, -1)  # (1, C, H, W) -> (B, C, H, W)


def _logits(picture: Tensor) -> Tensor:
    return picture.clamp(EDGE, 1 - EDGE).logit()
