"""Batches that are samples of one graph: what they have in common.

A batch is a graph of its own, with the inputs (x, edge_index, edge_weight, place, scale, degrees). `scale` (E,) says
how many edges of the whole graph an edge stands for, and `degrees` (N, 3) are those of the whole graph: with both, what
a node receives by the edges of a batch is in expectation what it receives in the whole graph.

Which edges a batch has is a function of (seed, epoch, batch) alone. Everything is drawn on the CPU.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dlrun.data.graph import Graph, members, rows
from dlrun.data.graph_parts import NodePart, WholeGraphLoader
from dlrun.data.loading import Batch, Loader, Prepare

# An epoch that no training reaches: what is drawn once, before it starts.
BEFORE = 2**40


@dataclass
class Sample:
    """n nodes of a graph and some of the edges between them, all their self-loops among these.

    **Fields:**

    - `nodes` (n,): their numbers in the graph; one may be there several times.
    - `source`, `target` (e,): the ends of each edge, as positions in `nodes`.
    - `scale` (e,): how many edges of the graph each stands for.
    - `edge` (e,): which edge of the graph it is; None: the sample has edges of its own, of weight 1.
    - `degrees` (n, 3): see `degree_sums`; None: those of the graph.
    """

    nodes: Tensor
    source: Tensor
    target: Tensor
    scale: Tensor
    edge: Tensor | None = None
    degrees: Tensor | None = None


class SampleLoader(Loader):
    """One sample of the part's graph a batch; a subclass says which."""

    part: NodePart

    def __init__(self, part: NodePart, prepare: Prepare, device: torch.device, **options: Any):
        super().__init__(part, prepare, device, **options)
        graph = part.graph
        self.x, _, self.edge_weight = graph.inputs(device)
        self.degrees = degree_sums(graph).to(device)

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        order = self.order(epoch)
        for batch in range(start, self.num_batches):
            yield self.batch(order, epoch or 0, batch)

    def batch(self, order: Tensor, epoch: int, batch: int) -> Batch:
        """The batch at this position of an epoch whose order is `order`."""
        raise NotImplementedError

    def generator(self, epoch: int, batch: int) -> torch.Generator:
        """What all chance in this batch comes from."""
        return torch.Generator().manual_seed(((self.seed * 1_000_003 + epoch) * 1_000_003 + batch + 1) % 2**63)

    def sampled(self, sample: Sample, place: Tensor, index: Tensor, weight: Tensor | None = None) -> Batch:
        """The batch that asks for the nodes at `place` (B,) of `sample`, the part's `index` (B,)."""
        nodes = sample.nodes.to(self.device)
        if sample.edge is None:
            edge_weight = self.edge_weight.new_ones(len(sample.scale), *self.edge_weight.shape[1:])
        else:
            edge_weight = self.edge_weight.index_select(0, sample.edge.to(self.device))
        degrees = self.degrees.index_select(0, nodes) if sample.degrees is None else sample.degrees.to(self.device)
        ends = torch.stack([sample.source, sample.target]).to(self.device)
        inputs = (rows(self.x, nodes), ends, edge_weight, place.to(self.device), sample.scale.to(self.device), degrees)
        target = self.part.target.index_select(0, index).to(self.device)
        weight = None if weight is None else weight.to(self.device)
        return Batch(self.prepare(inputs), target, index.to(self.device), weight=weight)

    def example(self) -> tuple[Tensor, ...]:
        return self.batch(self.order(0), 0, 0).inputs

    def exact(self) -> Loader:
        return WholeGraphLoader(self.part, self.prepare, self.device, batch_size=len(self.part))


class SeedLoader(SampleLoader):
    """`batch_size` nodes of the part a batch, each once an epoch, and what `draw(nodes, generator)` finds around them.

    The nodes that were asked for come first in what it finds.
    """

    def __init__(
        self,
        part: NodePart,
        prepare: Prepare,
        device: torch.device,
        *,
        draw: Callable[[Tensor, torch.Generator], Sample],
        **options: Any,
    ):
        super().__init__(part, prepare, device, **options)
        self.draw = draw

    def batch(self, order: Tensor, epoch: int, batch: int) -> Batch:
        index = order[batch * self.batch_size : (batch + 1) * self.batch_size]
        sample = self.draw(self.part.seeds[index], self.generator(epoch, batch))
        return self.sampled(sample, torch.arange(len(index)), index)


class CountingLoader(SampleLoader):
    """Batches that ask for as many nodes as the sample happens to have of the part."""

    def __init__(self, part: NodePart, prepare: Prepare, device: torch.device, **options: Any):
        super().__init__(part, prepare, device, **options)
        self.epoch, self.counts = 0, {}
        self.position = torch.full((part.graph.num_nodes,), -1)
        self.position[part.seeds] = torch.arange(len(part))

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        self.epoch, self.counts = epoch or 0, {}
        for batch, made in enumerate(super().batches(epoch, start), start):
            self.counts[batch] = len(made)
            yield made

    def num_in(self, first: int, last: int) -> int:
        missing = [batch for batch in range(first, last) if batch not in self.counts]
        order = self.order(self.epoch) if missing else torch.empty(0)
        # Ahead of an epoch, and of what a resumed run has left behind: drawn again, and the same.
        self.counts |= {batch: len(self.batch(order, self.epoch, batch)) for batch in missing}
        return sum(self.counts[batch] for batch in range(first, last))

    def asked(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """(Where `nodes` (n,) has nodes of the part, which of the part they are)."""
        position = self.position[nodes]
        place = (position >= 0).nonzero().flatten()
        return place, position[place]


class Full:
    """No sampling: the whole graph and all nodes of a part in one batch."""

    def loader(self, part: NodePart, prepare: Prepare, device: torch.device, **options: Any) -> Loader:
        return WholeGraphLoader(part, prepare, device, **options)


class Numbering:
    """Positions of nodes in a growing list of them, without a search: a table over all nodes of a graph."""

    def __init__(self, num_nodes: int):
        self.position = torch.full((num_nodes,), -1)
        self.is_new = torch.zeros(num_nodes, dtype=torch.bool)

    def __enter__(self) -> "Numbering":
        self.taken: list[Tensor] = []
        self.count = 0
        return self

    def __exit__(self, *_: object) -> None:
        self.position[self.nodes()] = -1

    def add(self, nodes: Tensor) -> Tensor:
        """Takes up those of `nodes` that are not there yet, each once: they are returned, rising."""
        missing = nodes[self.position.index_select(0, nodes) < 0]
        self.is_new[missing] = True
        fresh = self.is_new.nonzero().flatten()
        self.is_new[fresh] = False
        return self.append(fresh)

    def append(self, nodes: Tensor) -> Tensor:
        """Takes up `nodes`, none of which is there yet, in their order."""
        self.position[nodes] = torch.arange(self.count, self.count + len(nodes))
        self.count += len(nodes)
        self.taken.append(nodes)
        return nodes

    def nodes(self) -> Tensor:
        """All that were taken up, in the order of their positions."""
        return torch.cat(self.taken)


def degree_sums(graph: Graph) -> Tensor:
    """(N, 3): how many edges arrive at a node, the sum of their weights, the sum of those that leave to others."""
    (source, target), count = graph.edge_index, graph.degrees().float()
    if graph.edge_weight.ndim > 1:
        ones = torch.bincount(source[source != target], minlength=graph.num_nodes).float()
        return torch.stack([count, count, ones], dim=1)
    empty = torch.zeros(graph.num_nodes)
    arriving = empty.index_add(0, target, graph.edge_weight)
    leaving = empty.index_add(0, source, graph.edge_weight.masked_fill(source == target, 0.0))
    return torch.stack([count, arriving, leaving], dim=1)


def gathered(graph: Graph, numbering: Numbering, target: Tensor, place: Tensor, scale: Tensor) -> Sample:
    """A sample of the nodes of `numbering`, the edges at `place` of `graph.incoming` to `target`, and all loops."""
    incoming, nodes = graph.incoming, numbering.nodes()
    at, loops = loops_of(graph, nodes)
    source = torch.cat([numbering.position.index_select(0, incoming.source.index_select(0, place)), at])
    scale = torch.cat([scale, torch.ones(len(loops))])
    return Sample(
        nodes, source, torch.cat([target, at]), scale, torch.cat([incoming.edge.index_select(0, place), loops])
    )


def loops_of(graph: Graph, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """(The position in `nodes` (n,), the edge) of every self-loop of `nodes`, of which one may be there twice."""
    owner = graph.incoming.owner
    first = torch.searchsorted(owner, nodes)
    counts = torch.searchsorted(owner, nodes, right=True) - first
    at = torch.arange(len(nodes)).repeat_interleave(counts)
    within = torch.arange(len(at)) - (counts.cumsum(0) - counts)[at]
    return at, graph.incoming.loops[first[at] + within]


def induced(graph: Graph, numbering: Numbering, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """(Which of `nodes` (n,) receives, the place in `graph.incoming`) of every edge from a node of `numbering`."""
    counts = graph.incoming.counts
    place = members(counts, nodes)
    target = torch.arange(len(nodes)).repeat_interleave(counts[nodes])
    is_inside = numbering.position.index_select(0, graph.incoming.source.index_select(0, place)) >= 0
    return target[is_inside], place[is_inside]


def by_weight(cumulative: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` positions, with replacement, each as likely as its step in `cumulative` (N,), which is in double."""
    points = torch.rand(count, generator=generator, dtype=torch.float64) * cumulative[-1]
    return torch.searchsorted(cumulative, points, right=True).clamp_(max=len(cumulative) - 1)
