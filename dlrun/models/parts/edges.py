"""The edges of a graph, and the matrices that graph layers multiply with, each computed once.

Kipf and Welling, "Semi-supervised classification with graph convolutional networks", 2017; Defferrard et al.,
"Convolutional neural networks on graphs with fast localized spectral filtering", 2016.

Letters: N nodes, E edges. An edge (j, i) of `edge_index` (2, E) carries a message from j to i, so row i of a matrix
holds what node i receives.

A batch may be a sample of a graph. Each entry of a matrix is then that of the whole graph's matrix, computed from
`degrees`, times the edge's `scale`: the expectation of the matrix is the whole graph's.

No result has a size that depends on values, which the host would have to wait for: an edge that is not to count gets
weight 0 and stays.
"""

import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from dlrun.models.parts.sparse import Sparse

T = TypeVar("T")


def _once(compute: Callable[["Edges"], T]) -> "functools.cached_property[T]":
    """A cached property, computed outside of inference mode, so that training can use what an evaluation computed."""

    @functools.wraps(compute)
    def computed(edges: "Edges") -> T:
        with torch.inference_mode(False):
            return compute(edges)

    return functools.cached_property(computed)


class Edges:
    """The edges of one graph, and what layers compute from them.

    **Arguments:**

    - `edge_index` (2, E): of each edge the node it leaves and the node it arrives at.
    - `edge_weight`: weights (E,) or features (E, D); an edge with features has weight 1.
    - `num_nodes`: N.
    - `scale` (E,): of a sample, the number of edges of the whole graph that each edge stands for.
    - `degrees` (N, 3): of a sample, the `degrees` of its nodes in the whole graph. A sample has all their self-loops.
    """

    def __init__(
        self,
        edge_index: Tensor,
        edge_weight: Tensor,
        num_nodes: int,
        scale: Tensor | None = None,
        degrees: Tensor | None = None,
    ):
        self.index, self.num_nodes, self.given = edge_index, num_nodes, edge_weight
        self.scale, self._degrees = scale, degrees

    @_once
    def features(self) -> Tensor:
        """(E, D): the features, or the weight as the only one."""
        return self.given.reshape(self.index.shape[1], -1)

    @_once
    def own_weight(self) -> Tensor:
        """(E,): the weights as they are given, or 1 where there are features."""
        return self.given if self.given.ndim == 1 else self.given.new_ones(self.index.shape[1])

    @_once
    def weight(self) -> Tensor:
        """(E,): what each edge counts in a sum."""
        return self.own_weight if self.scale is None else self.own_weight * self.scale

    @_once
    def degrees(self) -> Tensor:
        """(N, 3): how many edges arrive, the sum of their weights, the sum of those that leave to other nodes."""
        if self._degrees is not None:
            return self._degrees.to(self.own_weight.dtype)
        (source, target), weight = self.index, self.own_weight
        none = weight.new_zeros(self.num_nodes)
        count = none.index_add(0, target, torch.ones_like(weight))
        arriving = none.index_add(0, target, weight)
        leaving = none.index_add(0, source, weight.masked_fill(self.is_loop, 0.0))
        return torch.stack([count, arriving, leaving], dim=1)

    @_once
    def is_loop(self) -> Tensor:
        """(E,): whether an edge leads from a node to itself."""
        return self.index[0] == self.index[1]

    @_once
    def adjacency(self) -> Sparse:
        """A: the sum over the neighbours."""
        source, target = self.index
        return self._matrix(source, target, self.weight)

    @_once
    def mean(self) -> Sparse:
        """The mean over the neighbours, all of the same weight; 0 for a node without any."""
        source, target = self.index
        share = (1 / self.degrees[:, 0])[target]
        return self._matrix(source, target, share if self.scale is None else share * self.scale)

    @_once
    def normalized(self) -> Sparse:
        """D^-1/2 (A + I) D^-1/2, D the sums of the rows of A + I; a self-loop that is there keeps its weight."""
        # Every node gets a loop more: of weight 1 if it has none, else of weight 0.
        num_loops = self.weight.new_zeros(self.num_nodes).index_add(
            0, self.index[0], self.is_loop.to(self.weight.dtype)
        )
        added = (num_loops == 0).to(self.weight.dtype)
        source, target = self._with_loops()
        weight = torch.cat([self.weight, added])
        scale = _inverse_root(self.degrees[:, 1] + added)
        return self._matrix(source, target, scale[source] * weight * scale[target])

    @_once
    def looped(self) -> tuple[Tensor, Tensor]:
        """The edges (2, E + N) with a self-loop more at every node, and which of them (E + N,) were self-loops before.

        Without the old self-loops every node has exactly one, as attention wants it.
        """
        return self._with_loops(), torch.cat([self.is_loop, self.is_loop.new_zeros(self.num_nodes)])

    @_once
    def laplacian(self) -> Sparse:
        """-D^-1/2 A D^-1/2 without self-loops: the normalised Laplacian scaled to -1..1, 2 its largest eigenvalue."""
        (source, target), weight = self.index, self.weight.masked_fill(self.is_loop, 0.0)
        scale = _inverse_root(self.degrees[:, 2])
        return self._matrix(source, target, -scale[source] * weight * scale[target])

    def _with_loops(self) -> Tensor:
        loops = torch.arange(self.num_nodes, device=self.index.device)
        return torch.cat([self.index, loops.expand(2, -1)], dim=1)  # (2, E + N)

    def _matrix(self, source: Tensor, target: Tensor, value: Tensor) -> Sparse:
        return Sparse.from_entries(target, source, value, (self.num_nodes, self.num_nodes))


def _inverse_root(degree: Tensor) -> Tensor:
    return degree.pow(-0.5).masked_fill_(degree == 0, 0.0)
