"""Images and the class of each of their pixels."""

import torch
from torch import Tensor

from dlrun.engine.contracts import Map
from dlrun.engine.parts import TensorPart

NOT_COUNTED = 255  # in a mask: a pixel of which nothing is known


class MaskPart(TensorPart):
    """Images (N, C, H, W) uint8 in memory and masks (N, H, W) uint8 of classes; 255 is not counted."""

    @property
    def labels(self) -> None:
        return None

    def moved(self, target: Tensor, map: Map) -> Tensor:
        """The masks (B, H, W) after `map`. What comes in from outside of the image, black or mirrored, is 255."""
        # 0 comes in from outside, and means something else than the class 0.
        moved = map.masks(target.to(torch.int16) + 1)
        return torch.where(moved == 0, NOT_COUNTED, moved - 1).to(torch.uint8)

    def joined(self, target: Tensor, num_images: int) -> Tensor:
        """Each pixel of the pieces (k * B, H, W) is of the one in which it is counted."""
        return target.unflatten(0, (-1, num_images)).amin(dim=0)
