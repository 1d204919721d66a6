"""The edges of a graph, and the matrices that graph layers multiply with, each computed once.

Kipf and Welling, "Semi-supervised classification with graph convolutional networks", 2017; Defferrard et al.,
"Convolutional neural networks on graphs with fast localized spectral filtering", 2016.

Letters: N nodes, E edges. An edge (j, i) of `edge_index` (2, E) carries a message from j to i, so row i of a matrix
holds what node i receives.

A sample of a graph brings two tensors more, by which its matrices are in expectation those of the whole graph: each of
its entries is the whole graph's, from `degrees`, times the edge's `scale`.
"""

import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from dlrun.models.sparse import Sparse

T = TypeVar("T")


def _once(compute: Callable[["Edges"], T]) -> "functools.cached_property[T]":
    """A property that is computed when it is first asked for; in an evaluation too in a way that training can use."""

    @functools.wraps(compute)
    def computed(edges: "Edges") -> T:
        with torch.inference_mode(False):
            return compute(edges)

    return functools.cached_property(computed)


class Edges:
    """`edge_index` (2, E) between `num_nodes` nodes; `edge_weight` (E,), or features (E, D), which are no weights.

    Of a sample, `scale` (E,) is how many edges of the whole graph each edge stands for, and `degrees` (N, 3) are the
    nodes' in the whole graph: how many edges arrive, the sum of their weights, the sum of those that leave to others.
    All self-loops of its nodes are in a sample.
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
        """(N, 3): how many edges arrive, the sum of their weights, the sum of those that leave to others."""
        if self._degrees is not None:
            return self._degrees.to(self.own_weight.dtype)
        (source, target), weight = self.index, self.own_weight
        empty = weight.new_zeros(self.num_nodes)
        count = torch.bincount(target, minlength=self.num_nodes).to(weight.dtype)
        arriving = empty.index_add(0, target, weight)
        leaving = empty.index_add(0, source, weight.masked_fill(source == target, 0.0))
        return torch.stack([count, arriving, leaving], dim=1)

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
        source, target = self.index
        is_loop = source == target
        looped = torch.zeros(self.num_nodes, dtype=torch.bool, device=source.device)
        looped[source[is_loop]] = True
        missing = torch.nonzero(~looped).flatten()
        source, target = torch.cat([source, missing]), torch.cat([target, missing])
        weight = torch.cat([self.weight, self.weight.new_ones(len(missing))])
        scale = _inverse_root(self.degrees[:, 1] + ~looped)
        return self._matrix(source, target, scale[source] * weight * scale[target])

    @_once
    def looped(self) -> Tensor:
        """`edge_index` with exactly one self-loop a node, as attention wants it."""
        loops = torch.arange(self.num_nodes, device=self.index.device)
        return torch.cat([self.index[:, self.index[0] != self.index[1]], loops.expand(2, -1)], dim=1)

    @_once
    def laplacian(self) -> Sparse:
        """-D^-1/2 A D^-1/2 without self-loops: the normalised Laplacian scaled to -1..1, 2 its largest eigenvalue."""
        is_edge = self.index[0] != self.index[1]
        (source, target), weight = self.index[:, is_edge], self.weight[is_edge]
        scale = _inverse_root(self.degrees[:, 2])
        return self._matrix(source, target, -scale[source] * weight * scale[target])

    def _matrix(self, source: Tensor, target: Tensor, value: Tensor) -> Sparse:
        return Sparse.from_entries(target, source, value, (self.num_nodes, self.num_nodes))


def _inverse_root(degree: Tensor) -> Tensor:
    return degree.pow(-0.5).masked_fill_(degree == 0, 0.0)
