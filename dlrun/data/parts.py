"""The train, val and test part of a data set, in memory or on disk, and their splits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Part(Protocol):
    """Samples that can be read by index. `target` is (N, ...) and always in memory."""

    target: Tensor

    def __len__(self) -> int: ...

    def subset(self, index: Tensor) -> "Part":
        """The samples `index` (M,), in that order."""
        ...

    def read(self, index: int) -> tuple[Tensor, ...]:
        """The inputs of one sample, without the batch dimension."""
        ...

    def nbytes(self) -> int:
        """Bytes of all inputs once in memory."""
        ...


@dataclass
class TensorPart:
    """Samples as whole tensors: each of `inputs` and `target` has N as first dimension.

    Images stay uint8 (N, C, H, W); a batch is scaled and normalised when it is taken.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def subset(self, index: Tensor) -> "TensorPart":
        return TensorPart(tuple(value[index] for value in self.inputs), self.target[index])

    def read(self, index: int) -> tuple[Tensor, ...]:
        return tuple(value[index] for value in self.inputs)

    def nbytes(self) -> int:
        return sum(value.nbytes for value in self.inputs)


@dataclass
class FilePart:
    """Samples that are decoded from a file each: `decode(path)` gives one uint8 (C, H, W) image."""

    paths: Sequence[str]
    target: Tensor
    decode: Callable[[str], Tensor]
    sample_bytes: int

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, index: Tensor) -> "FilePart":
        return FilePart([self.paths[i] for i in index.tolist()], self.target[index], self.decode, self.sample_bytes)

    def read(self, index: int) -> tuple[Tensor, ...]:
        return (self.decode(self.paths[index]),)

    def nbytes(self) -> int:
        return len(self.paths) * self.sample_bytes


def split(part: Part, fraction: float, seed: int) -> tuple[Part, Part]:
    """Splits off `fraction` by `seed`: (the rest, the split-off samples).

    Of a class target (integers) that share is taken from every class. Both keep the original order of the samples. At least one sample is split off when
    `fraction` is above 0, and at least one stays.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(part), generator=generator)
    taken = torch.zeros(len(part), dtype=torch.bool)
    if fraction > 0:
        by_class = part.target.ndim == 1 and not part.target.is_floating_point()
        groups = part.target.unique() if by_class else [None]
        for label in groups:
            members = order if label is None else order[part.target[order] == label]
            taken[members[: round(len(members) * fraction)]] = True
        if not taken.any():
            taken[order[0]] = True
        if taken.all():
            taken[order[-1]] = False
    return part.subset(torch.nonzero(~taken).flatten()), part.subset(torch.nonzero(taken).flatten())
