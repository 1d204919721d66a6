"""SAGPool: a graph layer scores the nodes, and only the best share of them goes on.

Lee, Lee and Kang, "Self-attention graph pooling", 2019, its hierarchical form. The layers are torch_geometric's.

Departures: sums beside the mean and the maximum of each level, so that counts are not lost.

Letters: N nodes of all graphs, G graphs, H hidden features, K outputs.
"""

import torch
from torch import Tensor, nn
from torch_geometric.nn import GraphConv, global_add_pool, global_max_pool, global_mean_pool
from torch_geometric.nn.pool.connect.filter_edges import filter_adj
from torch_geometric.nn.pool.select.topk import topk

from dlrun.config.schema import Level, PositiveInt, ProperFraction
from dlrun.models.parts.readout import graph_index


class ScorePool(nn.Module):
    """Keeps the share `ratio` of each graph's nodes, those of the highest score, and weighs them by its tanh.

    torch_geometric's `SAGPooling` does the same, and holds one weight more, of which only the sign counts.
    """

    def __init__(self, hidden_size: int, ratio: float):
        super().__init__()
        self.ratio, self.score = ratio, GraphConv(hidden_size, 1)

    def forward(
        self, x: Tensor, edge_index: Tensor, weight: Tensor | None, index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """(x, edge_index, weight, which they were) of the nodes that stay."""
        score = self.score(x, edge_index).squeeze(1).tanh()  # (N,)
        kept = topk(score, self.ratio, index)
        edge_index, weight = filter_adj(edge_index, weight, kept, num_nodes=len(x))
        return x[kept] * score[kept, None], edge_index, weight, kept


class SAGPool(nn.Module):
    """Self-attention graph pooling: after each of `num_layers` graph layers the share `ratio` of the nodes stays."""

    accepts: tuple = ("graph",)

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 64, num_layers: PositiveInt = 3,
        ratio: ProperFraction = 0.8, dropout: ProperFraction = 0.0, level: Level, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `hidden_size`: H, features of a node after each layer.
        - `num_layers`: graph layers, each with a pooling.
        - `ratio`: share of the nodes of each graph that a pooling keeps.
        - `dropout`: share of values set to zero before the last linear layer, in training.
        - `level`: must be `graph`: the model answers for whole graphs.
        - `out_features`: K, logits of an answer.

        **Raises:** `ValueError` if the data ask for an answer a node.
        """
        super().__init__()
        if level != "graph":
            raise ValueError("answers for whole graphs, and the data ask for an answer a node; try data=motifs")
        sizes = [in_features, *[hidden_size] * (num_layers - 1)]
        self.convs = nn.ModuleList(GraphConv(size, hidden_size) for size in sizes)
        self.pools = nn.ModuleList(ScorePool(hidden_size, ratio) for _ in sizes)
        self.fc = nn.Sequential(
            nn.Linear(3 * hidden_size, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, out_features),
        )

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, seeds: Tensor, ptr: Tensor) -> Tensor:
        """Logits (G, K) of the graphs whose nodes `ptr` (G + 1,) delimits."""
        total, _ = self._pooled(x, edge_index, edge_weight, ptr)
        return self.fc(total)

    def kept(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, seeds: Tensor, ptr: Tensor) -> list[Tensor]:
        """The nodes that stay after each pooling, by their numbers before the first."""
        _, kept = self._pooled(x, edge_index, edge_weight, ptr)
        return kept

    def _pooled(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, ptr: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(Sum over the poolings of what their nodes are reduced to (G, 3 H), the nodes of each pooling)."""
        index, count = graph_index(ptr, len(x)), len(ptr) - 1
        weight = edge_weight if edge_weight.ndim == 1 else None
        total, nodes, kept = torch.zeros((), device=x.device), torch.arange(len(x), device=x.device), []
        for conv, pool in zip(self.convs, self.pools, strict=True):
            x = conv(x, edge_index, weight).relu()  # (N, H)
            x, edge_index, weight, stays = pool(x, edge_index, weight, index)  # (ratio * N, H)
            index, nodes = index[stays], nodes[stays]
            kept.append(nodes)
            reduced = [reduce(x, index, count) for reduce in (global_add_pool, global_mean_pool, global_max_pool)]
            total = total + torch.cat(reduced, dim=1)  # (G, 3 H)
        return total, kept
