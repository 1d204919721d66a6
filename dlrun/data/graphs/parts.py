"""Parts whose examples are nodes of one graph, or whole graphs.

A model of graphs is called `model(x, edge_index, edge_weight, seeds, ptr)`: the features (N, F) of all nodes, the edges
(2, E) with their weights (E,) or features (E, D), the nodes `seeds` (B,) that are asked for, and `ptr` (G + 1,): the
graphs of a batch lie one after another, and graph g owns the nodes ptr[g] to ptr[g + 1] - 1. Where whole graphs are
asked for there are no `seeds`. What follows `ptr` describes a sample of a graph; see samplers/sampling.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dlrun.data.graphs import graph as graphs
from dlrun.data.graphs.graph import Graph, members
from dlrun.engine.contracts import Batch, Part


class NodePart(Part):
    """Nodes `seeds` (M,) of one graph with their classes `target` (M,)."""

    is_one_batch = True

    def __init__(self, graph: Graph, seeds: Tensor, target: Tensor):
        self.graph, self.seeds, self.target = graph, seeds, target
        self.ptr = torch.tensor([0, graph.num_nodes], device=seeds.device)

    @property
    def labels(self) -> Tensor:
        return self.target

    @property
    def device(self) -> torch.device:
        return self.seeds.device

    def __len__(self) -> int:
        return len(self.seeds)

    def subset(self, index: Tensor) -> "NodePart":
        return NodePart(self.graph, self.seeds[index], self.target[index])

    def take(self, index: Tensor) -> Batch:
        index = index.to(self.device, non_blocking=True)
        inputs = (*self.graph.inputs(self.device), self.seeds.index_select(0, index), self.ptr)
        return Batch(inputs, self.target.index_select(0, index), index)

    def nbytes(self) -> int:
        return self.graph.nbytes()

    def to(self, device: torch.device) -> "NodePart":
        return NodePart(self.graph, self.seeds.to(device), self.target.to(device))


class Places(NamedTuple):
    """M of the graphs of a part, on the host.

    **Fields:**

    - `graphs` (M,): which; `nodes`, `edges`: the positions of all their nodes and edges in the part.
    - `num_nodes` (M,), `num_edges` (M,): of each; `ptr` (M + 1,): where each begins if they lie one after another.
    - `shift`: of each edge, by how much its ends are numbered higher then.
    """

    graphs: Tensor
    nodes: Tensor
    edges: Tensor
    num_nodes: Tensor
    num_edges: Tensor
    ptr: Tensor
    shift: Tensor


@dataclass
class GraphsPart(Part):
    """G whole graphs with their classes `target` (G,), one after another in long tensors.

    **Fields:**

    - `x` (N, F), `edge_index` (2, E), `edge_weight` (E,) or (E, D): of all graphs, each numbering its nodes from 0.
    - `num_nodes` (G,), `num_edges` (G,): of each graph, on the host, where the sizes of a batch are needed.
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

    @property
    def labels(self) -> Tensor:
        return self.target

    @property
    def device(self) -> torch.device:
        return self.x.device

    def __len__(self) -> int:
        return len(self.target)

    def subset(self, index: Tensor) -> "GraphsPart":
        return self._gathered(self.places(index))

    def places(self, index: Tensor) -> "Places":
        """Where the graphs `index` (M,) lie, found on the host."""
        num_nodes, num_edges = self.num_nodes.index_select(0, index), self.num_edges.index_select(0, index)
        ptr = torch.zeros(len(index) + 1, dtype=torch.int64)
        torch.cumsum(num_nodes, dim=0, out=ptr[1:])
        nodes, edges = members(self.num_nodes, index), members(self.num_edges, index)
        return Places(index, nodes, edges, num_nodes, num_edges, ptr, ptr[:-1].repeat_interleave(num_edges))

    def take(self, index: Tensor) -> Batch:
        places = self.places(index)
        some = self._gathered(places)
        ptr, shift, place = (self._there(each) for each in (places.ptr, places.shift, index))
        return Batch((some.x, some.edge_index + shift, some.edge_weight, ptr[:0], ptr), some.target, place)

    def _gathered(self, places: "Places") -> "GraphsPart":
        nodes, edges, index = (self._there(each) for each in (places.nodes, places.edges, places.graphs))
        return GraphsPart(
            self.x.index_select(0, nodes), self.edge_index.index_select(1, edges),
            self.edge_weight.index_select(0, edges), places.num_nodes, places.num_edges,
            self.target.index_select(0, index),
        )  # fmt: skip

    def _there(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    def graph(self, index: int) -> Graph:
        """One graph, on the CPU."""
        one = self.subset(torch.tensor([index]))
        return Graph(one.x.cpu(), one.edge_index.cpu(), one.edge_weight.cpu())

    def nbytes(self) -> int:
        return self.x.nbytes + self.edge_index.nbytes + self.edge_weight.nbytes

    def to(self, device: torch.device) -> "GraphsPart":
        x, edge_index, edge_weight, target = (
            tensor.to(device) for tensor in (self.x, self.edge_index, self.edge_weight, self.target)
        )
        return GraphsPart(x, edge_index, edge_weight, self.num_nodes, self.num_edges, target)


def describe(parts: Mapping[str, Part], class_names: tuple[str, ...]) -> list[str]:
    """Lines for `dlrun show`: of the one graph that all parts share, or of the graphs that they hold."""
    lines, target = [], None
    for name, part in parts.items():
        if isinstance(part, NodePart):
            target = torch.full((part.graph.num_nodes,), -1) if target is None else target
            target[part.seeds] = part.target
            lines = graphs.describe(part.graph, target)
        elif isinstance(part, GraphsPart):
            nodes, edges = part.num_nodes.float(), part.num_edges.float()
            counts = torch.bincount(part.target, minlength=len(class_names)).tolist()
            shares = ", ".join(f"{count} {label}" for label, count in zip(class_names, counts, strict=True))
            lines.append(
                f"{name}: {len(part)} graphs of {int(nodes.min())} to {int(nodes.max())} nodes, mean "
                f"{nodes.mean():.1f}, and {int(edges.min())} to {int(edges.max())} edges, mean {edges.mean():.1f}; "
                f"{shares}"
            )
    return lines
