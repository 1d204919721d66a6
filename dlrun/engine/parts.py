"""Parts in memory and on disk, and their split."""

from collections.abc import Callable
from typing import ClassVar, Self

import torch
from torch import Tensor
from tqdm import tqdm

from dlrun.engine import nested
from dlrun.engine.contracts import Batch, Part
from dlrun.engine.nested import Nested


class TensorPart(Part):
    """Examples as whole tensors: `inputs` are tensors of which each has N as first dimension.

    `target` (N, ...) is a tensor, a list of N tensors, or a tuple of such, which may have names. Images stay uint8
    (N, C, H, W): a batch is scaled and normalised when it is taken.
    """

    def __init__(self, inputs: tuple[Tensor, ...], target: Nested):
        self.inputs, self.target = inputs, target

    @property
    def labels(self) -> Tensor | None:
        return self.target if isinstance(self.target, Tensor) else None

    @property
    def device(self) -> torch.device:
        return self.inputs[0].device if self.inputs else torch.device("cpu")

    def __len__(self) -> int:
        return len(self.inputs[0]) if self.inputs else len(self.target)

    def subset(self, index: Tensor) -> Self:
        return type(self)(nested.picked(self.inputs, index), nested.picked(self.target, index))

    def take(self, index: Tensor) -> Batch:
        place = index if self.device.type == "cpu" else index.to(self.device, non_blocking=True)
        inputs = tuple(value.index_select(0, place) for value in self.inputs)
        if isinstance(self.target, Tensor):
            return Batch(inputs, self.target.index_select(0, place), place)
        return Batch(inputs, _taken(self.target, index, place), place)

    def nbytes(self) -> int:
        return sum(value.nbytes for value in self.inputs)

    def to(self, device: torch.device) -> Self:
        return type(self)(*nested.mapped((self.inputs, self.target), lambda value: value.to(device)))


class FilePart(Part):
    """Examples that are decoded from a file each: `decode(path)` gives one uint8 (C, H, W) image.

    `target` is as in `TensorPart`; `sample_bytes` are those of one image. `in_memory` is the class that holds the same
    examples in memory: one with the same `moved`.
    """

    in_memory: ClassVar[type[TensorPart]] = TensorPart

    def __init__(self, paths: list[str], target: Nested, decode: Callable[[str], Tensor], sample_bytes: int):
        self.paths, self.target, self.decode, self.sample_bytes = paths, target, decode, sample_bytes

    @property
    def labels(self) -> Tensor | None:
        return self.target if isinstance(self.target, Tensor) else None

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, index: Tensor) -> Self:
        paths = [self.paths[i] for i in index.tolist()]
        return type(self)(paths, nested.picked(self.target, index), self.decode, self.sample_bytes)

    def take(self, index: Tensor) -> Batch:
        images = torch.stack([self.decode(self.paths[i]) for i in index.tolist()])
        return Batch((images,), _taken(self.target, index, index), index)

    def nbytes(self) -> int:
        return len(self.paths) * self.sample_bytes

    def to(self, device: torch.device) -> TensorPart:
        images = [self.decode(path) for path in tqdm(self.paths, "reading", unit="file", leave=False, disable=None)]
        return self.in_memory((torch.stack(images),), self.target).to(device)


def _taken(target: Nested, index: Tensor, place: Tensor) -> Nested:
    """The entries of a batch: of tensors by `place`, on their device, of lists by `index`, on the host."""
    if isinstance(target, Tensor):
        return target.index_select(0, place)
    if isinstance(target, tuple):
        return nested.like(target, [_taken(inner, index, place) for inner in target])
    if target is None:
        return None
    return [target[position] for position in index.tolist()]


def split(part: Part, fraction: float, seed: int) -> tuple[Part, Part]:
    """Splits off `fraction` by `seed`: (the rest, the split-off examples).

    Both keep the original order of the examples. Of a class target (integers) that share is
    taken from every class, as evenly as whole examples allow, and every class keeps one example
    where that leaves any to split off. At least one is split off when `fraction` is above 0.
    """
    candidates, labels = torch.randperm(len(part), generator=torch.Generator().manual_seed(seed)), part.labels
    if labels is not None and labels.ndim == 1 and not labels.is_floating_point():
        candidates = candidates[labels[candidates].argsort(stable=True)]
        ordered = labels[candidates]
        is_spare = torch.cat([ordered[:1] != ordered[:1], ordered[1:] == ordered[:-1]])
        candidates = candidates[is_spare] if is_spare.any() else candidates
    wanted = min(max(round(len(part) * fraction), int(fraction > 0)), len(candidates))
    is_taken = torch.zeros(len(part), dtype=torch.bool)
    if wanted:
        # Every (1 / fraction)-th of the candidates, which lie class after class.
        is_taken[candidates[(torch.arange(wanted) * 2 + 1) * len(candidates) // (2 * wanted)]] = True
    return part.subset(torch.nonzero(~is_taken).flatten()), part.subset(torch.nonzero(is_taken).flatten())
