"""How much of an image one place of a map is made of."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def receptive_field(
    map: Callable[[Tensor], Tensor], model: nn.Module, in_channels: int, size: tuple[int, int]
) -> tuple[int, int]:
    """Rows and columns of pixels that the middle place of a map depends on, at most twice the image's `size` (H, W).

    `map` gives the map (1, C', H', W') of an image (1, C, H, W) by layers of `model`. Pixels that are not a number
    spoil all that is made of them, whatever the layers are; how far they can reach in from a side before they spoil the
    place is found by halving.
    """
    is_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            height, width = (_span(map, in_channels, (2 * size[0], 2 * size[1]), axis) for axis in (0, 1))
    finally:
        model.train(is_training)
    return height, width


def _span(map: Callable[[Tensor], Tensor], in_channels: int, size: tuple[int, int], axis: int) -> int:
    ends = []
    for from_end in (False, True):
        low, high = 0, size[axis]  # pixels from one side: `low` of them do not spoil the place, `high` of them do
        while high - low > 1:
            middle = (low + high) // 2
            image = torch.zeros(1, in_channels, *size)
            image.movedim(2 + axis, 0)[size[axis] - middle if from_end else 0 :][:middle] = torch.nan
            found = map(image)
            is_spoilt = found[0, :, found.shape[2] // 2, found.shape[3] // 2].isnan().any()
            low, high = (low, middle) if is_spoilt else (middle, high)
        ends.append(low)
    return size[axis] - sum(ends)
