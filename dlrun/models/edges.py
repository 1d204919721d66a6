"""The edges of a graph, and the matrices that graph layers multiply with, each computed once.

Kipf and Welling, "Semi-supervised classification with graph convolutional networks", 2017; Defferrard et al.,
"Convolutional neural networks on graphs with fast localized spectral filtering", 2016.

Letters: N nodes, E edges. An edge (j, i) of `edge_index` (2, E) carries a message from j to i, so row i of a matrix
holds what node i receives.
"""

import functools

import torch
from torch import Tensor

from dlrun.models.sparse import Sparse


class Edges:
    """`edge_index` (2, E) between `num_nodes` nodes; `edge_weight` (E,), or features (E, D), which are no weights."""

    def __init__(self, edge_index: Tensor, edge_weight: Tensor, num_nodes: int):
        self.index, self.num_nodes = edge_index, num_nodes
        self.features = edge_weight.reshape(edge_index.shape[1], -1)  # (E, D)
        self.weight = edge_weight if edge_weight.ndim == 1 else edge_weight.new_ones(edge_index.shape[1])

    @functools.cached_property
    def adjacency(self) -> Sparse:
        """A: the sum over the neighbours."""
        source, target = self.index
        return self._matrix(source, target, self.weight)

    @functools.cached_property
    def mean(self) -> Sparse:
        """The mean over the neighbours, all of the same weight; 0 for a node without any."""
        source, target = self.index
        count = torch.bincount(target, minlength=self.num_nodes)
        return self._matrix(source, target, (1 / count.to(self.weight.dtype))[target])

    @functools.cached_property
    def normalized(self) -> Sparse:
        """D^-1/2 (A + I) D^-1/2, D the sums of the rows of A + I; a self-loop that is there keeps its weight."""
        source, target = self.index
        is_loop = source == target
        looped = torch.zeros(self.num_nodes, dtype=torch.bool, device=source.device)
        looped[source[is_loop]] = True
        missing = torch.nonzero(~looped).flatten()
        source, target = torch.cat([source, missing]), torch.cat([target, missing])
        weight = torch.cat([self.weight, self.weight.new_ones(len(missing))])
        scale = _inverse_root(weight.new_zeros(self.num_nodes).index_add(0, target, weight))
        return self._matrix(source, target, scale[source] * weight * scale[target])

    @functools.cached_property
    def looped(self) -> Tensor:
        """`edge_index` with exactly one self-loop a node, as attention wants it."""
        loops = torch.arange(self.num_nodes, device=self.index.device)
        return torch.cat([self.index[:, self.index[0] != self.index[1]], loops.expand(2, -1)], dim=1)

    @functools.cached_property
    def laplacian(self) -> Sparse:
        """-D^-1/2 A D^-1/2 without self-loops: the normalised Laplacian scaled to -1..1, 2 its largest eigenvalue."""
        is_edge = self.index[0] != self.index[1]
        (source, target), weight = self.index[:, is_edge], self.weight[is_edge]
        scale = _inverse_root(weight.new_zeros(self.num_nodes).index_add(0, source, weight))
        return self._matrix(source, target, -scale[source] * weight * scale[target])

    def _matrix(self, source: Tensor, target: Tensor, value: Tensor) -> Sparse:
        return Sparse.from_entries(target, source, value, (self.num_nodes, self.num_nodes))


def _inverse_root(degree: Tensor) -> Tensor:
    return degree.pow(-0.5).masked_fill_(degree == 0, 0.0)
