"""GIN: sums of neighbours through a small MLP, which tell apart all that message passing can tell apart.

Xu et al., "How powerful are graph neural networks?", 2019.

Letters: N nodes, F features, K outputs.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dlrun.config.schema import Level, PositiveInt, ProperFraction, Readout
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Linear, Sparse


class GINConv(nn.Module):
    """`MLP((1 + eps) x_i + sum_j x_j)`, an MLP of two layers; `eps` is learned and starts at 0."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.lin = Linear(in_channels, out_channels)
        self.eps = nn.Parameter(torch.zeros(()))
        self.fc = nn.Linear(out_channels, out_channels)

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        # The product before the sum gives the same, with K features to add up in place of F. The bias comes last.
        product = self.lin(x) - self.lin.bias  # (N, F) -> (N, K)
        return self.fc((edges.adjacency @ product + (1 + self.eps) * product + self.lin.bias).relu())  # (N, K)


class GIN(GraphModel):
    """Graph isomorphism network: sums over the neighbours through an MLP, with batch normalisation."""

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 32, num_layers: PositiveInt = 3,
        dropout: ProperFraction = 0.0, readout: Readout = "sum", level: Level, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `hidden_size`: H, features of a node after each layer that does not answer.
        - `num_layers`: layers, with the one that answers at level `node`. A node sees this many edges far.
        - `dropout`: share of values set to zero before each layer, also that which answers, in training.
        - `readout`: of whole graphs, the `sum`, `mean` or `max` over the nodes, or `set2set` (an LSTM with attention).
        - `level`: `node`: an answer for each node that is asked for; `graph`: one for each graph.
        - `out_features`: K, logits of an answer.
        """
        super().__init__(dropout)
        num_hidden = num_layers if level == "graph" else num_layers - 1
        sizes = [in_features, *[hidden_size] * num_hidden, *[out_features] * (num_layers - num_hidden)]
        self.layers = nn.ModuleList(GINConv(size, next_size) for size, next_size in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden_size) for _ in range(num_hidden))
        if level == "graph":
            self.add_head(level, readout, hidden_size, out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> "Tensor | Sparse":
        for layer, norm in zip(self.hidden_layers, self.norms, strict=True):
            x = norm(layer(self.drop(x), edges)).relu()  # (N, F) -> (N, H), then (N, H) -> (N, H)
        return x
