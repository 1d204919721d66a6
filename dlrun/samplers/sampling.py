"""Batches that are samples of one graph: what they have in common.

A batch is a graph of its own, with the inputs (x, edge_index, edge_weight, seeds, ptr, scale, degrees). `scale` (E,)
says how many edges of the whole graph an edge stands for, and `degrees` (N, 3) are those of the whole graph: with
both, what a node receives by the edges of a batch is in expectation what it receives in the whole graph.

Which edges a batch has is a function of (seed, epoch, batch) alone. Everything is drawn on the CPU.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from dlrun.data.graphs.graph import Graph, members, rows
from dlrun.data.graphs.parts import NodePart
from dlrun.engine.contracts import Batch, Loader, LoaderOptions, Order, Part, Sampler
from dlrun.engine.loading import PartLoader
from dlrun.engine.order import Random, Sequential

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


# (The sample, the nodes (B,) in it that are asked for, which examples (B,) of the part they are, what each counts in
# the loss (B,), or None).
Drawn = tuple[Sample, Tensor, Tensor, Tensor | None]


class GraphSampler(Sampler):
    """A sampler that cuts batches out of the one graph of a part."""

    takes: ClassVar[str] = "graph"

    def loader(self, part: Part, options: LoaderOptions) -> "SampleLoader":
        assert isinstance(part, NodePart), "sampler and data were checked before"
        return self.of_graph(part, options)

    def of_graph(self, part: NodePart, options: LoaderOptions) -> "SampleLoader":
        """The loader of `part`."""
        raise NotImplementedError


class SampleLoader(Loader):
    """One sample of the part's graph a batch; a subclass says which."""

    nodes: NodePart

    def __init__(self, part: NodePart, options: LoaderOptions, order: Order):
        self.part = self.nodes = part
        self.options, self.order = options, order
        graph = part.graph
        self.x, _, self.edge_weight = graph.inputs(self.device)
        self.row_lengths = graph.x.crow_indices().diff() if graph.x.layout == torch.sparse_csr else None
        self.degrees = degree_sums(graph).to(self.device)

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        order = self.order.batches(epoch)
        for batch in range(start, self.num_batches):
            yield self.batch_of(*self.sampled(order[batch], epoch or 0, batch))

    def sampled(self, asked: Tensor, epoch: int, batch: int) -> Drawn:
        """What is drawn for this position of an epoch, on the host; `asked` is what the order has there."""
        raise NotImplementedError

    def generator(self, epoch: int, batch: int) -> torch.Generator:
        """What all chance in this batch comes from."""
        return torch.Generator().manual_seed(((self.options.seed * 1_000_003 + epoch) * 1_000_003 + batch + 1) % 2**63)

    def batch_of(self, sample: "Sample", seeds: Tensor, index: Tensor, weight: Tensor | None) -> Batch:
        """The batch of what was drawn, on the training device."""
        if sample.edge is None:
            edge_weight = self.edge_weight.new_ones(len(sample.scale), *self.edge_weight.shape[1:])
        else:
            edge_weight = self.edge_weight.index_select(0, self._there(sample.edge))
        nodes = self._there(sample.nodes)
        degrees = self.degrees.index_select(0, nodes) if sample.degrees is None else self._there(sample.degrees)
        inputs = (
            rows(self.x, sample.nodes, self.row_lengths),
            self._there(torch.stack([sample.source, sample.target])),
            edge_weight,
            self._there(seeds),
            self._there(torch.tensor([0, len(sample.nodes)])),
            self._there(sample.scale),
            degrees,
        )
        target = self._there(self.nodes.target.index_select(0, index))
        weight = None if weight is None else self._there(weight)
        return Batch(self.options.prepare(inputs), target, self._there(index), weight)

    def _there(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    def example(self, epoch: int | None = None) -> Batch:
        return self.batch_of(*self.sampled(self.order.batches(0)[0], 0, 0))

    def exact(self) -> Loader:
        return PartLoader(self.nodes, replace(self.options, workers=None))


class SeedLoader(SampleLoader):
    """`batch_size` nodes of the part a batch, each once an epoch, and what `draw(nodes, generator)` finds around them.

    The nodes that were asked for come first in what it finds.
    """

    def __init__(self, part: NodePart, options: LoaderOptions, draw: Callable[[Tensor, torch.Generator], "Sample"]):
        super().__init__(part, options, order_of(len(part), options.batch_size, options))
        self.draw = draw

    def sampled(self, asked: Tensor, epoch: int, batch: int) -> Drawn:
        return self.draw(self.nodes.seeds[asked], self.generator(epoch, batch)), torch.arange(len(asked)), asked, None


class CountingLoader(SampleLoader):
    """Batches that ask for as many nodes as the sample happens to have of the part."""

    def __init__(self, part: NodePart, options: LoaderOptions, order: Order):
        super().__init__(part, options, order)
        self.epoch, self.counts = 0, {}
        self.position = torch.full((part.graph.num_nodes,), -1)
        self.position[part.seeds] = torch.arange(len(part))

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        self.epoch, self.counts = epoch or 0, {}
        for position, batch in enumerate(super().batches(epoch, start), start):
            self.counts[position] = len(batch)
            yield batch

    def num_in(self, first: int, last: int) -> int:
        missing = [batch for batch in range(first, last) if batch not in self.counts]
        order: Sequence[Tensor] = self.order.batches(self.epoch) if missing else ()
        # Ahead of an epoch, and of what a resumed run has left behind: drawn again, and the same.
        self.counts |= {batch: len(self.sampled(order[batch], self.epoch, batch)[2]) for batch in missing}
        return sum(self.counts[batch] for batch in range(first, last))

    def found(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """(Which of `nodes` (n,) are examples of the part, which examples they are)."""
        example = self.position[nodes]
        seeds = (example >= 0).nonzero().flatten()
        return seeds, example[seeds]


def order_of(count: int, batch_size: int, options: LoaderOptions) -> Order:
    """The order in which `count` nodes, or clusters, are asked for."""
    if options.shuffle:
        return Random(count, batch_size, options.seed, options.drop_last, options.limit)
    return Sequential(count, batch_size, options.drop_last, options.limit)


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


def gathered(graph: Graph, numbering: Numbering, target: Tensor, entry: Tensor, scale: Tensor) -> Sample:
    """A sample of the nodes of `numbering`, the edges `entry` of `graph.incoming` to `target`, and all loops."""
    incoming, nodes = graph.incoming, numbering.nodes()
    at, loops = loops_of(graph, nodes)
    source = torch.cat([numbering.position.index_select(0, incoming.source.index_select(0, entry)), at])
    scale = torch.cat([scale, torch.ones(len(loops))])
    return Sample(
        nodes, source, torch.cat([target, at]), scale, torch.cat([incoming.edge.index_select(0, entry), loops])
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
    """(Which of `nodes` (n,) receives, the entry of `graph.incoming`) of every edge from a node of `numbering`."""
    counts = graph.incoming.counts
    entry = members(counts, nodes)
    target = torch.arange(len(nodes)).repeat_interleave(counts[nodes])
    is_inside = numbering.position.index_select(0, graph.incoming.source.index_select(0, entry)) >= 0
    return target[is_inside], entry[is_inside]


def by_weight(cumulative: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` positions, with replacement, each as likely as its step in `cumulative` (N,), which is in double."""
    points = torch.rand(count, generator=generator, dtype=torch.float64) * cumulative[-1]
    return torch.searchsorted(cumulative, points, right=True).clamp_(max=len(cumulative) - 1)
