"""The train, val and test part of a data set, in memory or on disk, and their splits."""

from collections.abc import Callable
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

    paths: list[str]
    target: Tensor
    decode: Callable[[str], Tensor]
    sample_bytes: int

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, index: Tensor) -> "FilePart":
        paths = [self.paths[i] for i in index.tolist()]
        return FilePart(paths, self.target[index], self.decode, self.sample_bytes)

    def read(self, index: int) -> tuple[Tensor, ...]:
        return (self.decode(self.paths[index]),)

    def nbytes(self) -> int:
        return len(self.paths) * self.sample_bytes


def split(part: Part, fraction: float, seed: int) -> tuple[Part, Part]:
    """Splits off `fraction` by `seed`: (the rest, the split-off samples).

    Both keep the original order of the samples. Of a class target (integers) that share is
    taken from every class, as evenly as whole samples allow, and every class keeps one sample
    where that leaves any to split off. At least one is split off when `fraction` is above 0.
    """
    candidates = torch.randperm(len(part), generator=torch.Generator().manual_seed(seed))
    if part.target.ndim == 1 and not part.target.is_floating_point():
        candidates = candidates[part.target[candidates].argsort(stable=True)]
        labels = part.target[candidates]
        is_spare = torch.cat([labels[:1] != labels[:1], labels[1:] == labels[:-1]])
        candidates = candidates[is_spare] if is_spare.any() else candidates
    wanted = min(max(round(len(part) * fraction), int(fraction > 0)), len(candidates))
    is_taken = torch.zeros(len(part), dtype=torch.bool)
    if wanted:
        # Every (1 / fraction)-th of the candidates, which lie class after class.
        is_taken[candidates[(torch.arange(wanted) * 2 + 1) * len(candidates) // (2 * wanted)]] = True
    return part.subset(torch.nonzero(~is_taken).flatten()), part.subset(torch.nonzero(is_taken).flatten())
