"""Batches of a part, in an order that is a function of (seed, epoch) alone.

Two roads give the same values: a part that is held on the training device is asked for a batch by its index; of another
one batches are read in this process or in DataLoader workers. Examples are augmented on the device, by (seed, epoch,
index, how often it came before in that epoch) alone. A position in training is therefore (epoch, batch), and the number
of workers changes nothing.
"""

import ctypes
import functools
import multiprocessing
import os
import signal
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dlrun.engine import nested
from dlrun.engine.contracts import Batch, Loader, LoaderOptions, Order, Part
from dlrun.engine.interrupt import WARNINGS
from dlrun.engine.order import Random, Sequential, times_before

END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl


class PartLoader(Loader):
    """The examples of `part` by their index; without an `order` each of them once an epoch."""

    def __init__(self, part: Part, options: LoaderOptions, order: Order | None = None):
        self.options = options
        self.order = order if order is not None else _usual(part, options)
        self.part = part if options.workers is not None else part.to(options.device)
        self.source = _Source(self, options.workers) if options.workers is not None else None

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        if self.source is not None:
            yield from self.source.batches(epoch, start)
            return
        for index, turn in self.order_of(epoch)[start:]:
            yield self.prepared(self.part.take(self.rows(epoch, index, turn)), epoch, turn)

    def order_of(self, epoch: int | None) -> list[tuple[Tensor, Tensor]]:
        """For each batch its examples (B,) and, for each of these, the number that its augmentation is drawn by.

        That number is its index; when it comes again in an epoch, another one, so that it is not changed alike.
        """
        batches = self.order.batches(epoch)
        if self.options.augment is None or not self.order.repeats:
            return [(index, index) for index in batches]
        turns = torch.cat([*batches]) + len(self.part) * times_before(torch.cat([*batches]))
        return list(zip(batches, turns.split([len(index) for index in batches]), strict=True))

    def rows(self, epoch: int | None, index: Tensor, turn: Tensor) -> Tensor:
        """What is read for the examples `index` (B,): they, and behind them what they are mixed with."""
        if epoch is None or self.options.augment is None:
            return index
        partners = self.options.augment.partners(epoch, turn, len(self.part))
        return index if partners is None else torch.cat([index, partners])

    def prepared(self, raw: Batch, epoch: int | None, turn: Tensor) -> Batch:
        """`raw` as the model takes it; `turn` (B,) as in `order_of`, on the host."""
        if self.options.augment is not None and epoch is not None:
            raw = self.options.augment(raw, self.part, epoch, turn)
        raw.inputs = self.options.prepare(raw.inputs)
        return raw

    def example(self, epoch: int | None = None) -> Batch:
        first = torch.zeros(1, dtype=torch.int64)
        return self.prepared(self.part.take(self.rows(epoch, first, first)).to(self.device), epoch, first)


def _usual(part: Part, options: LoaderOptions) -> Order:
    """All examples, shuffled or as they are."""
    if part.is_one_batch:
        return Sequential(len(part), max(len(part), 1), limit=options.limit)
    sizes = (options.drop_last, options.limit)
    if options.shuffle:
        return Random(len(part), options.batch_size, options.seed, *sizes)
    return Sequential(len(part), options.batch_size, *sizes)


class _Source:
    """Batches that are read in this process (`workers` 0) or in others, each of them whole in one."""

    def __init__(self, loader: PartLoader, workers: int):
        # A cycle would keep the loader processes alive to the very end, where torch takes their end for a crash.
        self.loader = weakref.proxy(loader)
        self.schedule = _Schedule()
        self.reader = DataLoader(
            _Batches(loader.part),
            batch_size=None,
            sampler=self.schedule,
            collate_fn=_unchanged,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=loader.device.type == "cuda",
            worker_init_fn=functools.partial(_live_with_parent, os.getpid()),
            # Of its own: an epoch's start must not draw from the generator that dropout uses.
            generator=torch.Generator().manual_seed(0),
        )

    def batches(self, epoch: int | None, start: int) -> Iterator[Batch]:
        order = self.loader.order_of(epoch)[start:]
        self.schedule.wanted = [self.loader.rows(epoch, index, turn).tolist() for index, turn in order]
        for (_, turn), raw in zip(order, self.reader, strict=True):
            raw = raw.to(self.loader.device)
            raw.target = nested.unpacked(raw.target)
            yield self.loader.prepared(raw, epoch, turn)


class _Schedule(Sampler[list[int]]):
    """The index lists of the current epoch; made in the parent, so persistent workers follow it."""

    def __init__(self) -> None:
        self.wanted: list[list[int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.wanted)

    def __len__(self) -> int:
        return len(self.wanted)


class _Batches(Dataset):
    def __init__(self, part: Part):
        self.part = part

    def __getitem__(self, index: list[int]) -> Batch:
        batch = self.part.take(torch.tensor(index))
        # Each tensor that crosses to another process takes a file handle, and each copy to a device a call.
        batch.target = nested.packed(batch.target)
        return batch


def _unchanged(batch: Any) -> Any:
    return batch


def _live_with_parent(parent: int, worker: int) -> None:
    """Leaves signals to the process that trains, and ends with it."""
    # A forked worker inherits the handlers of the run; only the parent may save and stop.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, *WARNINGS):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # torch's worker looks whether its parent has changed since it began; one killed before that would leave it for
    # good, with the lock of the run's folder.
    if multiprocessing.get_start_method() == "fork":
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
