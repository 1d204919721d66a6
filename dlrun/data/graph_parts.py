"""Parts whose samples are nodes of one graph, or whole graphs, and their batches.

What a model gets fourth, and calls `place`, are the nodes that are asked for (B,), or the offsets (B + 1,) of the
graphs of a batch, whose nodes lie one after another. What follows it describes a sample of a graph; see samplers.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dlrun.data import graph as graphs
from dlrun.data.graph import Graph, members
from dlrun.data.loading import Batch, Loader, Prepare


@dataclass
class NodePart:
    """Nodes `seeds` (M,) of one graph with their classes `target` (M,)."""

    graph: Graph
    seeds: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.seeds)

    def subset(self, index: Tensor) -> "NodePart":
        return NodePart(self.graph, self.seeds[index], self.target[index])

    def read(self, index: int) -> tuple[Tensor, ...]:
        """The features (F,) of one node."""
        row = self.graph.x[int(self.seeds[index])]
        return (row.to_dense() if row.layout != torch.strided else row,)

    def nbytes(self) -> int:
        return self.graph.nbytes()

    def loader(self, prepare: Prepare, device: torch.device, *, sampler: Any = None, **options: Any) -> Loader:
        """The whole graph in every batch, or what `sampler` takes of it."""
        make = WholeGraphLoader if sampler is None else sampler.loader
        return make(self, prepare, device, **options)


class WholeGraphLoader(Loader):
    """The whole graph and all of the part's nodes at once, one batch an epoch: `batch_size` does not count.

    A second batch would cost as much again, because an answer for one node needs the pass for all.
    """

    part: NodePart

    def __init__(self, part: NodePart, prepare: Prepare, device: torch.device, *, batch_size: int, **options: Any):
        super().__init__(part, prepare, device, **options | {"batch_size": len(part), "shuffle": False})
        inputs = prepare((*part.graph.inputs(device), part.seeds.to(device)))
        self.batch = Batch(inputs, part.target.to(device), torch.arange(len(part), device=device))

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        for _ in range(start, self.num_batches):
            yield self.batch

    def example(self) -> tuple[Tensor, ...]:
        return (*self.batch.inputs[:-1], self.batch.inputs[-1][:1])


@dataclass
class GraphsPart:
    """G whole graphs with their classes `target` (G,), one after another in long tensors.

    **Fields:**

    - `x` (N, F), `edge_index` (2, E), `edge_weight` (E,) or (E, D): of all graphs, each numbering its nodes from 0.
    - `num_nodes` (G,), `num_edges` (G,): of each graph.
    """

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor
    num_nodes: Tensor
    num_edges: Tensor
    target: Tensor

    @classmethod
    def of(cls, graphs: list[Graph], target: Tensor) -> "GraphsPart":
        """From graphs one by one."""
        return cls(
            torch.cat([graph.x for graph in graphs]),
            torch.cat([graph.edge_index for graph in graphs], dim=1),
            torch.cat([graph.edge_weight for graph in graphs]),
            torch.tensor([graph.num_nodes for graph in graphs]),
            torch.tensor([graph.num_edges for graph in graphs]),
            target,
        )

    def __len__(self) -> int:
        return len(self.target)

    def subset(self, index: Tensor) -> "GraphsPart":
        nodes, edges = members(self.num_nodes, index), members(self.num_edges, index)
        return GraphsPart(
            self.x.index_select(0, nodes),
            self.edge_index.index_select(1, edges),
            self.edge_weight.index_select(0, edges),
            self.num_nodes.index_select(0, index),
            self.num_edges.index_select(0, index),
            self.target.index_select(0, index),
        )

    def read(self, index: int) -> tuple[Tensor, ...]:
        """One graph: x (n, F), edge_index (2, e), edge_weight (e, ...)."""
        one = self.subset(torch.tensor([index]))
        return one.x, one.edge_index, one.edge_weight

    def nbytes(self) -> int:
        return self.x.nbytes + self.edge_index.nbytes + self.edge_weight.nbytes

    def to(self, device: torch.device) -> "GraphsPart":
        """The same on `device`."""
        tensors = (self.x, self.edge_index, self.edge_weight, self.num_nodes, self.num_edges, self.target)
        return GraphsPart(*(tensor.to(device) for tensor in tensors))

    def joined(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(x, edge_index, edge_weight, offsets) of one graph that holds all of them side by side."""
        offsets = torch.zeros(len(self) + 1, dtype=torch.int64, device=self.x.device)
        torch.cumsum(self.num_nodes, dim=0, out=offsets[1:])
        shift = offsets[:-1].repeat_interleave(self.num_edges, output_size=self.edge_index.shape[1])
        return self.x, self.edge_index + shift, self.edge_weight, offsets

    def loader(self, prepare: Prepare, device: torch.device, **options: Any) -> Loader:
        """Batches of whole graphs."""
        return GraphsLoader(self, prepare, device, **options)


class GraphsLoader(Loader):
    """Batches of whole graphs, laid side by side as one, from tensors on the training device."""

    def __init__(self, part: GraphsPart, prepare: Prepare, device: torch.device, **options: Any):
        super().__init__(part, prepare, device, **options)
        self.resident = part.to(device)

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        order = self.order(epoch).to(self.device)
        for batch in range(start, self.num_batches):
            index = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            taken = self.resident.subset(index)
            yield Batch(self.prepare(taken.joined()), taken.target, index)

    def example(self) -> tuple[Tensor, ...]:
        return self.prepare(self.resident.subset(torch.zeros(1, dtype=torch.int64, device=self.device)).joined())


def describe(parts: Mapping[str, Any], class_names: tuple[str, ...]) -> list[str]:
    """Lines for `dlrun show`: of the one graph that all parts share, or of the graphs that they hold."""
    first = next(iter(parts.values()))
    if isinstance(first, NodePart):
        target = torch.full((first.graph.num_nodes,), -1)
        for part in parts.values():
            target[part.seeds] = part.target
        return graphs.describe(first.graph, target)
    lines = []
    for name, part in parts.items():
        nodes, edges = part.num_nodes.float(), part.num_edges.float()
        counts = torch.bincount(part.target, minlength=len(class_names)).tolist()
        shares = ", ".join(f"{count} {label}" for label, count in zip(class_names, counts, strict=True))
        lines.append(
            f"{name}: {len(part)} graphs of {int(nodes.min())} to {int(nodes.max())} nodes, mean {nodes.mean():.1f}, "
            f"and {int(edges.min())} to {int(edges.max())} edges, mean {edges.mean():.1f}; {shares}"
        )
    return lines
