"""Images turned by quarters and mirrored, each orientation of a class as a class of its own.

A digit on its side is none of the ten, and makes a network look at shapes that the few classes do not have (Santoro et
al., "One-shot learning with memory-augmented neural networks", 2016, did so with letters).
"""

from typing import Self

import torch
from torch import Tensor

from dlrun.engine.contracts import Batch, Part

TURNS = ("", " turned left", " upside down", " turned right")
ORIENTATIONS = (*TURNS, *(f"{turn} mirrored" for turn in TURNS))  # of a square, as they are added to a name


class Oriented(Part):
    """The images (C, S, S) of `part` in several orientations, the first of which is the one that they have.

    Its examples are those of `part` in each of `numbers` orientations, one after the other; `class_of` (numbers, K) is
    the class that class k of `part` becomes in each of them.
    """

    def __init__(self, part: Part, class_of: Tensor, which: Tensor | None = None):
        self.part, self.class_of = part, class_of
        self.which = torch.arange(len(class_of) * len(part)) if which is None else which

    @property
    def labels(self) -> Tensor:
        assert self.part.labels is not None, "images by class"
        return self.class_of[self.which // len(self.part), self.part.labels.cpu()[self.which % len(self.part)]]

    @property
    def device(self) -> torch.device:
        return self.part.device

    def __len__(self) -> int:
        return len(self.which)

    def subset(self, index: Tensor) -> Self:
        return type(self)(self.part, self.class_of, self.which[index])

    def take(self, index: Tensor) -> Batch:
        which = self.which[index]
        batch, turn = self.part.take(which % len(self.part)), which // len(self.part)
        (images,), target = batch.inputs, batch.target
        place = index.to(target.device, non_blocking=True)
        for number in turn.unique().tolist():
            own = (turn == number).nonzero().flatten().to(images.device, non_blocking=True)
            images = images.index_copy(0, own, oriented(images.index_select(0, own), number))
        classes = self.class_of.to(target.device, non_blocking=True)
        turn = turn.to(target.device, non_blocking=True)
        return Batch((images,), classes.flatten()[turn * classes.shape[1] + target], place)

    def nbytes(self) -> int:
        return self.part.nbytes()

    def to(self, device: torch.device) -> Self:
        return type(self)(self.part.to(device), self.class_of, self.which)


def oriented(images: Tensor, number: int) -> Tensor:
    """Images (B, C, S, S) in the orientation of that number."""
    turned = images.rot90(number % len(TURNS), (2, 3))
    return turned.flip(3) if number >= len(TURNS) else turned
