"""A change of images as a loader applies it to its batches."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.engine.contracts import Batch, Change, Mixture, Part
from dlrun.engine.draws import Draws

MIXED_TARGETS = ("class", "binary", "value")  # of which there is something between two
JOINED_TARGETS = ("boxes", "instances", "mask")  # of which an image can have several
CHANGED_TARGETS = ("image", "style")  # pictures themselves, which a change of the input would leave behind


class Augmentation:
    """A change of images with the run's seed: what becomes of an example depends on (seed, epoch, index) alone.

    Numbers are drawn on the host, which therefore never waits for the device.
    """

    def __init__(self, change: Change | Mixture, seed: int, num_classes: int | None = None):
        """**Arguments:**

        - `change`: what is done to the images.
        - `seed`: from which, with the epoch and the index of an example, its random numbers come.
        - `num_classes`: K of a class target, whose mixtures become shares (B, K) of the classes; None: another target.
        """
        self.change, self.seed, self.num_classes = change, seed, num_classes

    def partners(self, epoch: int, index: Tensor, num_examples: int) -> Tensor | None:
        """The examples (k * B,) of a part of `num_examples` that go into each of `index` (B,) too; None: none do."""
        num = self.change.num_others
        return Draws(self.seed, epoch, index).partners(num_examples, num) if num else None

    def __call__(self, raw: Batch, part: Part, epoch: int, index: Tensor) -> Batch:
        """`raw` with its uint8 images changed, as float in 0..255, and its target with them.

        `index` (B,) are its examples, on the host; where they are mixed, `raw` has their partners behind them.
        """
        pixels, draws = raw.inputs[0].float().div_(255), Draws(self.seed, epoch, index)
        drawn, num = self.change.draw(draws, (pixels.shape[-2], pixels.shape[-1])), len(index)
        if isinstance(self.change, Mixture):
            mixed, share = self.change.apply(pixels[:num], pixels[num:], drawn)
            target = self._mixed(raw.target[:num], raw.target[num:], share)
            return Batch((mixed.mul_(255),), target, raw.index[:num])
        changed, map = self.change.apply(pixels, drawn), self.change.map(drawn)
        target = raw.target if map is None else part.moved(raw.target, map)
        if self.change.num_others:
            target = part.joined(target, num)
        return Batch((changed.mul_(255), *raw.inputs[1:]), target, raw.index[:num])

    def _mixed(self, own: Tensor, other: Tensor, share: Tensor) -> Tensor:
        """The soft target of mixtures with `share` (B,) of `own`."""
        if own.ndim > 1:
            return torch.lerp(other, own, share[:, None])
        if self.num_classes is None:
            return torch.lerp(other.float(), own.float(), share)
        mine, others = (F.one_hot(each, self.num_classes).float() for each in (own, other))
        return torch.lerp(others, mine, share[:, None])


def none() -> None:
    """The examples as they are."""
