"""DiffPool: nodes are softly assigned to clusters, which are the nodes of the next, coarser graph.

Ying et al., "Hierarchical graph representation learning with differentiable pooling", 2018. The dense layers and the
pooling are torch_geometric's.

Departures: without the paper's two additional losses (link prediction and entropy of the assignment).

Letters: G graphs, M nodes of the largest, H hidden features, C clusters, K outputs.
"""

import torch
from torch import Tensor, nn
from torch_geometric.nn import DenseSAGEConv, dense_diff_pool
from torch_geometric.utils import to_dense_adj, to_dense_batch

from dlrun.config.schema import Level, PositiveInt
from dlrun.models.parts.readout import graph_index


class DenseBlock(nn.Module):
    """Two layers on dense adjacency matrices (G, M, M), their outputs side by side; padding stays 0."""

    def __init__(self, in_channels: int, hidden_size: int, out_channels: int):
        super().__init__()
        self.convs = nn.ModuleList([DenseSAGEConv(in_channels, hidden_size), DenseSAGEConv(hidden_size, hidden_size)])
        self.fc = nn.Linear(2 * hidden_size, out_channels)

    def forward(self, x: Tensor, adjacency: Tensor, mask: Tensor | None) -> Tensor:
        first = self.convs[0](x, adjacency, mask).relu()
        second = self.convs[1](first, adjacency, mask).relu()
        return self.fc(torch.cat([first, second], dim=2))  # (G, M, out)


class DiffPool(nn.Module):
    """Differentiable pooling, once for each of `num_clusters`; an MLP answers from the sums of all levels' nodes."""

    accepts: tuple = ("graph",)

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 32,
        num_clusters: tuple[PositiveInt, ...] = (8, 2), level: Level, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `hidden_size`: H, features of a node after each block.
        - `num_clusters`: C of each pooling: nodes of the graph after it.
        - `level`: must be `graph`: the model answers for whole graphs.
        - `out_features`: K, logits of an answer.

        **Raises:** `ValueError` if the data ask for an answer a node.
        """
        super().__init__()
        if level != "graph":
            raise ValueError("answers for whole graphs, and the data ask for an answer a node; try data=motifs")
        sizes = [in_features, *[hidden_size] * len(num_clusters)]
        self.embeds = nn.ModuleList(DenseBlock(size, hidden_size, hidden_size) for size in sizes)
        self.assigns = nn.ModuleList(
            DenseBlock(size, hidden_size, count) for size, count in zip(sizes, num_clusters, strict=False)
        )
        self.fc = nn.Sequential(
            nn.Linear(hidden_size * len(self.embeds), hidden_size), nn.ReLU(), nn.Linear(hidden_size, out_features)
        )

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, seeds: Tensor, ptr: Tensor) -> Tensor:
        """Logits (G, K) of the graphs whose nodes `ptr` (G + 1,) delimits."""
        sums, _ = self._pooled(x, edge_index, edge_weight, ptr)
        return self.fc(torch.cat(sums, dim=1))

    def clusters(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, seeds: Tensor, ptr: Tensor) -> Tensor:
        """The share (G, M, C) with which each node of a graph is in each cluster of the first pooling."""
        _, assigned = self._pooled(x, edge_index, edge_weight, ptr)
        return assigned[0].softmax(dim=2)

    def _pooled(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, ptr: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """(Sums (G, H) over the nodes of each level, scores (G, M, C) of the clusters of each pooling)."""
        index, count = graph_index(ptr, len(x)), len(ptr) - 1
        weight = edge_weight if edge_weight.ndim == 1 else None
        adjacency = to_dense_adj(edge_index, index, weight, batch_size=count)  # (G, M, M)
        h, mask = to_dense_batch(x, index, batch_size=count)  # (G, M, F), (G, M)
        sums, scores = [], []
        for level, embed in enumerate(self.embeds):
            z = embed(h, adjacency, mask)
            sums.append((z if mask is None else z * mask[:, :, None]).sum(dim=1))
            if level < len(self.assigns):
                assigned = self.assigns[level](h, adjacency, mask)  # (G, M, C)
                scores.append(assigned)
                h, adjacency, _, _ = dense_diff_pool(z, adjacency, assigned, mask)  # (G, C, H), (G, C, C)
                mask = None
        return sums, scores
