"""Metrics that are sums, metrics of gathered outputs, and the meter that takes in the batches of a pass."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from dlrun.engine import nested
from dlrun.engine.contracts import Batch, Metric
from dlrun.engine.nested import Nested


class Sums(Metric):
    """A metric that follows from sums over the examples; they stay on the device.

    A subclass gives `sums` of a batch and `value` of their totals. Sums of one name are one sum: what two metrics both
    count is counted once.
    """

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.examples = 0

    def sums(self, output: Any, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sums over the batch: numbers, or tensors of the same size for each batch."""
        raise NotImplementedError

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        """The metrics from the sums over `examples` examples: numbers, or tensors on the CPU."""
        raise NotImplementedError

    def update(self, output: Any, batch: Batch, losses: Mapping[str, Tensor]) -> None:
        self.examples += len(batch)
        add(self.totals, self.sums(output, batch, losses))

    def merge(self, other: Metric) -> None:
        assert isinstance(other, Sums)
        self.examples += other.examples
        add(self.totals, other.totals)

    def compute(self) -> dict[str, float]:
        return self.value(read(self.totals), self.examples)


class Gathered(Metric):
    """A metric of all outputs at once, such as an area under a curve. A subclass gives `value`."""

    in_training: ClassVar[bool] = False

    def __init__(self) -> None:
        self.batches: list[tuple[Nested, Nested, Tensor]] = []

    def value(self, output: Nested, target: Nested) -> dict[str, float]:
        """The metrics of all examples, on the CPU and in the order of their part."""
        raise NotImplementedError

    def update(self, output: Any, batch: Batch, losses: Mapping[str, Tensor]) -> None:
        self.batches.append((output, batch.target, batch.index))

    def merge(self, other: Metric) -> None:
        assert isinstance(other, Gathered)
        self.batches += other.batches

    def compute(self) -> dict[str, float]:
        output, target, index = nested.on_host(nested.gathered(self.batches))
        order = index.argsort()
        return self.value(nested.picked(output, order), nested.picked(target, order))


def add(totals: dict[str, Tensor], sums: Mapping[str, Tensor]) -> None:
    """Adds to the running `totals`, in place and without waiting for the device."""
    for name, value in sums.items():
        totals[name] = totals[name].add_(value) if name in totals else value.clone()


def read(totals: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sums on the host, single ones as numbers: here it waits for the device."""
    return {name: total.item() if total.ndim == 0 else total.cpu() for name, total in totals.items()}


class Meter:
    """The loss, its terms and the metrics of one pass over a part.

    `sums` is where the sums of all of them run up, by name: what a checkpoint in the middle of an epoch holds.
    """

    def __init__(self, metrics: Sequence[Metric], sums: dict[str, Tensor] | None = None):
        self.metrics, self.sums = metrics, {} if sums is None else sums

    def update(self, output: Any, batch: Batch, losses: Mapping[str, Tensor]) -> None:
        """Takes in a batch, without waiting for the device."""
        found = {_sum_of(name): value.detach() * len(batch) for name, value in losses.items()}
        for metric in self.metrics:
            if isinstance(metric, Sums):
                found |= metric.sums(output, batch, losses)
            else:
                metric.update(output, batch, losses)
        add(self.sums, found)

    def compute(self, examples: int) -> dict[str, float]:
        """All values over `examples` examples; this is where the host waits for the device."""
        totals = read(self.sums)
        terms = {name: total / examples for name, total in totals.items() if name == _sum_of(_term(name))}
        values = {_term(name): value for name, value in terms.items()}
        for metric in self.metrics:
            values |= metric.value(totals, examples) if isinstance(metric, Sums) else metric.compute()
        return values


def _sum_of(term: str) -> str:
    """The name of the sum of a loss or of a term of it."""
    return term if term == "loss" else f"loss/{term}"


def _term(name: str) -> str:
    return name.removeprefix("loss/")


def chosen(metrics: Sequence[Metric], watch: str, *, in_training: bool = False) -> list[Metric]:
    """Those that are recorded after each epoch: by themselves, or because they are watched."""
    return [
        metric
        for metric in metrics
        if (metric.each_epoch or watch in metric.better) and (metric.in_training or not in_training)
    ]
