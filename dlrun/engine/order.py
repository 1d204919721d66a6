"""Orders: which examples are in which batch, as data. Each is a function of (seed, epoch) alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlrun.engine.contracts import Order

LENGTHS_SORTED_IN = 50  # batches whose examples are sorted by length among each other


def generator(seed: int, epoch: int | None) -> torch.Generator:
    """What all chance in the order of an epoch comes from; without an epoch, of the first."""
    return torch.Generator().manual_seed((seed * 1_000_003 + (epoch or 0)) % 2**63)


def sizes(num_examples: int, batch_size: int, drop_last: bool = False, limit: int | None = None) -> list[int]:
    """The sizes of the batches of an epoch that sees every example once."""
    full, rest = divmod(num_examples, batch_size)
    return ([batch_size] * full + ([rest] if rest and not drop_last else []))[:limit]


def times_before(index: Tensor) -> Tensor:
    """For each entry of `index` (N,), how many before it are the same."""
    order = index.argsort(stable=True)
    place = torch.arange(len(index))
    is_first = torch.ones(len(index), dtype=torch.bool)
    is_first[1:] = index[order][1:] != index[order][:-1]
    first = torch.where(is_first, place, 0).cummax(dim=0).values
    return torch.empty_like(index).scatter_(0, order, place - first)


class Sequential(Order):
    """The examples as they stand in their part."""

    def __init__(self, num_examples: int, batch_size: int, drop_last: bool = False, limit: int | None = None):
        self.num_examples, self.sizes = num_examples, sizes(num_examples, batch_size, drop_last, limit)

    def batches(self, epoch: int | None) -> Sequence[Tensor]:
        return _cut(self.examples(epoch), self.sizes)

    def examples(self, epoch: int | None) -> Tensor:
        """The order (N,) of all examples in `epoch`."""
        return torch.arange(self.num_examples)


class Random(Sequential):
    """All examples in an order drawn anew for each epoch."""

    def __init__(
        self, num_examples: int, batch_size: int, seed: int, drop_last: bool = False, limit: int | None = None
    ):
        super().__init__(num_examples, batch_size, drop_last, limit)
        self.seed = seed

    def examples(self, epoch: int | None) -> Tensor:
        return torch.randperm(self.num_examples, generator=generator(self.seed, epoch))


class Weighted(Random):
    """As many examples as there are, with replacement, each as likely as its weight (N,)."""

    repeats: bool = True

    def __init__(self, weights: Tensor, batch_size: int, seed: int, drop_last: bool = False, limit: int | None = None):
        super().__init__(len(weights), batch_size, seed, drop_last, limit)
        # torch's own multinomial takes no more than 2^24 categories.
        self.cumulative = weights.double().cumsum(0)

    def examples(self, epoch: int | None) -> Tensor:
        points = torch.rand(self.num_examples, generator=generator(self.seed, epoch), dtype=torch.float64)
        found = torch.searchsorted(self.cumulative, points * self.cumulative[-1], right=True)
        return found.clamp_(max=self.num_examples - 1)


class ByLength(Random):
    """Batches of examples of nearly one length (N,): little padding. Which examples meet is drawn anew each epoch."""

    def __init__(self, lengths: Tensor, batch_size: int, seed: int, drop_last: bool = False, limit: int | None = None):
        super().__init__(len(lengths), batch_size, seed, drop_last, limit)
        self.lengths, self.batch_size = lengths, batch_size

    def batches(self, epoch: int | None) -> Sequence[Tensor]:
        chance = generator(self.seed, epoch)
        order = torch.randperm(self.num_examples, generator=chance)
        pools = order.split(LENGTHS_SORTED_IN * self.batch_size)
        order = torch.cat([pool[self.lengths[pool].argsort(stable=True)] for pool in pools])
        batches, whole = order.split(self.batch_size), len(order) // self.batch_size
        # The smaller one stays last, as its size says.
        shuffled = [batches[place] for place in torch.randperm(whole, generator=chance).tolist()]
        return [*shuffled, *batches[whole:]][: len(self.sizes)]


class PerClass(Order):
    """P classes x K samples a batch: of each class in it exactly K different examples (Hermans et al. 2017).

    In a round each example is in at most one batch. What does not fill up to K, or to P classes, waits for another
    round; `never` has the classes of fewer than K examples. An epoch is a round, or with
    `num_batches` as many rounds as that takes, the last one not to its end.

    **Raises:** `ValueError` if there are fewer than P classes of at least K examples.
    """

    def __init__(
        self, labels: Tensor, num_classes: int, num_samples: int, seed: int, limit: int | None = None,
        num_batches: int | None = None,
    ):  # fmt: skip
        classes, counts = labels.unique(return_counts=True)
        self.never = classes[counts < num_samples].tolist()
        self.members = [torch.nonzero(labels == k).flatten() for k in classes[counts >= num_samples].tolist()]
        if len(self.members) < num_classes:
            raise ValueError(
                f"{num_classes} classes of {num_samples} samples a batch are asked for, and {len(self.members)} "
                f"classes have as many samples{_instead(counts.tolist(), num_classes, num_samples)}"
            )
        self.num_classes, self.num_samples, self.seed = num_classes, num_samples, seed
        groups = [len(each) // num_samples for each in self.members]
        self.in_round = sum(groups) // num_classes
        # A class is in a batch once: so many batches can be filled from groups of unequal number.
        while sum(min(group, self.in_round) for group in groups) < self.in_round * num_classes:
            self.in_round -= 1
        num = self.in_round if num_batches is None else num_batches
        self.sizes = ([num_classes * num_samples] * num)[:limit]
        self.repeats = len(self.sizes) > self.in_round

    def batches(self, epoch: int | None) -> Sequence[Tensor]:
        chance = generator(self.seed, epoch)
        found: list[Tensor] = []
        while len(found) < len(self.sizes):
            found += self._round(chance, min(self.in_round, len(self.sizes) - len(found)))
        return found

    def _round(self, chance: torch.Generator, num_batches: int) -> list[Tensor]:
        shuffled = [each[torch.randperm(len(each), generator=chance)] for each in self.members]
        size = self.num_samples
        groups = [list(each[: len(each) // size * size].split(size)) for each in shuffled]
        found = []
        for _ in range(num_batches):
            # Those with most left first, or they would be left over; among equals by chance.
            left = torch.tensor([len(each) for each in groups]) + torch.rand(len(groups), generator=chance)
            chosen = left.topk(self.num_classes).indices.tolist()
            found.append(torch.cat([groups[place].pop() for place in chosen]))
        return found


def _instead(counts: Sequence[int], num_classes: int, num_samples: int) -> str:
    """What could be asked for of classes with so many samples, at least two of two."""
    falling = sorted(counts, reverse=True)
    as_many = sum(count >= num_samples for count in counts)
    found = [f"num_classes={as_many}"] if as_many > 1 else []
    if len(falling) >= num_classes and falling[num_classes - 1] > 1:
        found.append(f"num_samples={falling[num_classes - 1]}")
    if not found and len(falling) > 1 and falling[1] > 1:
        found.append(f"num_classes={sum(count > 1 for count in counts)} and num_samples=2")
    return f"; possible is {' or '.join(found)}" if found else ""


class Share(Order):
    """What one of `num_ranks` processes has of another order: of each batch every `num_ranks`-th example.

    All of them together see what one process would, each example once.
    """

    def __init__(self, whole: Order, rank: int, num_ranks: int):
        self.whole, self.rank, self.num_ranks = whole, rank, num_ranks
        self.sizes = [len(range(rank, size, num_ranks)) for size in whole.sizes]

    def batches(self, epoch: int | None) -> Sequence[Tensor]:
        return [batch[self.rank :: self.num_ranks] for batch in self.whole.batches(epoch)]


def _cut(order: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    return list(order[: sum(sizes)].split(list(sizes))) if sizes else []
