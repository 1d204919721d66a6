"""GCN: each node becomes the weighted sum of itself and its neighbours, after a linear layer.

Kipf and Welling, "Semi-supervised classification with graph convolutional networks", 2017 (notes, GNN 4). The defaults
are the paper's for Cora.

Departures from the notes' layer: its linear layer has a bias and its other bias is not initialised; here, as in the
paper's code, there is one bias, which starts at 0, and the weights are Glorot-uniform.

Letters: N nodes, F features, K outputs.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dlrun.config.schema import Level, PositiveInt, ProperFraction, Readout
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Linear, Sparse


class GCNConv(nn.Module):
    """`D^-1/2 (A + I) D^-1/2 x W^T + b`: an edge (j, i) counts 1 / sqrt(d_j d_i), d the degrees."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.lin = Linear(in_channels, out_channels, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.xavier_uniform_(self.lin.weight)

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        return edges.normalized @ self.lin(x) + self.bias  # (N, F) -> (N, K)


class GCN(GraphModel):
    """Graph convolutional network: a node becomes the sum of itself and its neighbours, weighted by the degrees."""

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 16, num_layers: PositiveInt = 2,
        dropout: ProperFraction = 0.5, readout: Readout = "sum", level: Level, out_features: PositiveInt,
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
        last_size = out_features if level == "node" else hidden_size
        sizes = [in_features, *[hidden_size] * (num_layers - 1), last_size]
        self.layers = nn.ModuleList(GCNConv(size, next_size) for size, next_size in pairwise(sizes))
        if level == "graph":
            self.add_head(level, readout, hidden_size, out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> "Tensor | Sparse":
        for layer in self.hidden_layers:
            x = layer(self.drop(x), edges).relu()  # (N, F) -> (N, H), then (N, H) -> (N, H)
        return x
