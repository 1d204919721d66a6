"""A change of images as a loader applies it to its batches."""

from typing import Any

from torch import Tensor

from dlrun.augment.draws import Draws
from dlrun.data.loading import Batch


class Augmentation:
    """`change` with the run's `seed`: what it makes of a sample depends on (seed, epoch, index) alone.

    `change(images, draws)` gets float images (B, C, H, W) in 0..1 on the training device and gives such images. One
    that `mixes` is `change(images, others, draws)` and also gives the share (B,) of the first in each. Numbers are
    drawn on the host, which therefore never waits for the device.
    """

    def __init__(self, change: Any, seed: int):
        self.change, self.seed = change, seed
        self.mixes = getattr(change, "mixes", False)

    def partners(self, epoch: int, index: Tensor) -> Tensor | None:
        """The sample (N,) that each of a whole part, `index` (N,), is mixed with; None where none is."""
        return Draws(self.seed, epoch, index).partners(len(index)) if self.mixes else None

    def __call__(self, raw: Batch, epoch: int, index: Tensor) -> Batch:
        """`raw` with its uint8 images changed, as float in 0..255; where samples are mixed its second half is partners.

        `index` are those of `raw` on the host.
        """
        pixels, num = raw.inputs[0].float().div_(255), len(index)
        if not self.mixes:
            changed = self.change(pixels, Draws(self.seed, epoch, index))
            return Batch((changed.mul_(255), *raw.inputs[1:]), raw.target, raw.index)
        num //= 2
        changed, share = self.change(pixels[:num], pixels[num:], Draws(self.seed, epoch, index[:num]))
        return Batch((changed.mul_(255),), raw.target[:num], raw.index[:num], raw.target[num:], share)


def none() -> None:
    """The samples as they are."""
