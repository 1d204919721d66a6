"""Batches of a part: the order of the samples is a function of (seed, epoch) alone.

Two roads give the same values. `TensorLoader` keeps the whole part on the training device and
takes a batch by index; `WorkerLoader` reads samples in DataLoader workers. Samples are augmented
on the device, by (seed, epoch, index) alone. A position in training is therefore (epoch, batch),
and the number of workers changes nothing.
"""

import ctypes
import functools
import multiprocessing
import os
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dlrun.data.parts import Part, TensorPart

END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl

Prepare = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


@dataclass(slots=True)
class Batch:
    """What a model (`model(*batch.inputs)`) and a task get.

    `target` is (B, ...), `index` (B,) holds the positions of the samples in their part. A sample that is mixed with
    another has `share` (B,) in 0..1 of the mixture, and `partner` (B, ...) is the target of the other. `weight` (B,) is
    what each counts in the mean loss; None: all count 1.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    index: Tensor
    partner: Tensor | None = None
    share: Tensor | None = None
    weight: Tensor | None = None

    def __len__(self) -> int:
        return self.index.shape[0]


class Augment(Protocol):
    """What a loader asks of an augmentation; dlrun/augment/augmentation.py."""

    def partners(self, epoch: int, index: Tensor) -> Tensor | None: ...
    def __call__(self, raw: Batch, epoch: int, index: Tensor) -> Batch: ...


class Loader:
    """Cuts a part into batches; a subclass says where the values come from.

    `prepare` turns the raw inputs of a batch into what the model takes (scaling, view).
    `augment` changes the raw samples of an epoch of training. `limit` caps the batches of an epoch. An epoch can
    start at any batch.
    """

    def __init__(
        self,
        part: Part,
        prepare: Prepare,
        device: torch.device,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        limit: int | None = None,
        augment: Augment | None = None,
    ):
        self.part, self.prepare, self.device, self.augment = part, prepare, device, augment
        self.num_examples = len(part)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.drop_last, self.limit = drop_last, limit
        self.num_batches = self.batches_of(len(part), batch_size)

    def batches_of(self, count: int, size: int) -> int:
        """How many batches an epoch has if each takes `size` of `count`."""
        batches = count // size if self.drop_last else -(-count // size)
        return min(batches, self.limit) if self.limit is not None else batches

    def order(self, epoch: int | None) -> Tensor:
        """The order (N,) of the samples in `epoch`; without one, that of the first."""
        return self.order_of(self.num_examples, epoch)

    def order_of(self, count: int, epoch: int | None) -> Tensor:
        """The order of `count` things in `epoch`; without one, that of the first."""
        if not self.shuffle:
            return torch.arange(count)
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + (epoch or 0)) % 2**63)
        return torch.randperm(count, generator=generator)

    def rows(self, epoch: int | None) -> Tensor:
        """The order (1, N) of the samples in `epoch`; where samples are mixed, the partner of each below it (2, N)."""
        order = self.order(epoch)
        partners = None if self.augment is None or epoch is None else self.augment.partners(epoch, order)
        return order[None] if partners is None else torch.stack([order, partners])

    def num_in(self, first: int, last: int) -> int:
        """How many examples the batches `first` up to, and without, `last` of an epoch hold."""
        return min(last * self.batch_size, self.num_examples) - first * self.batch_size

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` from position `start` on; without an epoch, the samples as they are."""
        raise NotImplementedError

    def made(self, raw: Batch, epoch: int | None, index: Tensor) -> Batch:
        """`raw` as the model takes it; `index` are its samples, on the host."""
        if self.augment is not None and epoch is not None:
            raw = self.augment(raw, epoch, index)
        raw.inputs = self.prepare(raw.inputs)
        return raw

    def example(self) -> tuple[Tensor, ...]:
        """What a model gets for the first sample alone."""
        return self.prepare(tuple(value.unsqueeze(0).to(self.device) for value in self.part.read(0)))

    def exact(self) -> "Loader":
        """The loader to measure with: this one, unless its batches are but samples of what a model needs."""
        return self


class TensorLoader(Loader):
    """Batches by index from tensors that live on the training device."""

    def __init__(self, part: TensorPart, prepare: Prepare, device: torch.device, **options):
        super().__init__(part, prepare, device, **options)
        self.inputs = tuple(value.to(device) for value in part.inputs)
        self.target = part.target.to(device)

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        on_host = self.rows(epoch)
        rows = on_host.to(self.device)
        for batch in range(start, self.num_batches):
            taken = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            index = rows[:, taken].flatten()
            inputs = tuple(value.index_select(0, index) for value in self.inputs)
            raw = Batch(inputs, self.target.index_select(0, index), index)
            yield self.made(raw, epoch, on_host[:, taken].flatten())


class WorkerLoader(Loader):
    """Batches whose samples are read one by one, in this process or in `workers` others."""

    def __init__(self, part: Part, prepare: Prepare, device: torch.device, *, workers: int = 0, **options):
        super().__init__(part, prepare, device, **options)
        self.target = part.target.to(device)
        self.schedule = _Schedule(self)
        self.source = DataLoader(
            _Samples(part),
            batch_sampler=self.schedule,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
            worker_init_fn=functools.partial(_live_with_parent, os.getpid()),
            # Of its own: an epoch's start must not draw from the generator that dropout uses.
            generator=torch.Generator().manual_seed(0),
        )

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        self.schedule.epoch, self.schedule.start = epoch, start
        for on_host, *values in self.source:
            inputs = tuple(value.to(self.device, non_blocking=True) for value in values)
            index = on_host.to(self.device, non_blocking=True)
            yield self.made(Batch(inputs, self.target.index_select(0, index), index), epoch, on_host)


class _Schedule(Sampler[list[int]]):
    """Index lists of the current epoch; drawn in the parent, so persistent workers follow it."""

    def __init__(self, loader: Loader):
        # A cycle would keep the loader processes alive to the very end, where torch takes their end for a crash.
        self.loader, self.start = weakref.proxy(loader), 0
        self.epoch: int | None = None

    def __iter__(self) -> Iterator[list[int]]:
        rows, size = self.loader.rows(self.epoch), self.loader.batch_size
        for batch in range(self.start, self.loader.num_batches):
            yield rows[:, batch * size : (batch + 1) * size].flatten().tolist()

    def __len__(self) -> int:
        return self.loader.num_batches - self.start


class _Samples(Dataset):
    def __init__(self, part: Part):
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple:
        return index, *self.part.read(index)


def _live_with_parent(parent: int, worker: int) -> None:
    """Leaves signals to the process that trains, and ends with it."""
    # A forked worker inherits the handlers of the run; only the parent may save and stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # torch's worker looks whether its parent has changed since it began; one killed before that would leave it for
    # good, with the lock of the run's folder.
    if multiprocessing.get_start_method() == "fork":
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
