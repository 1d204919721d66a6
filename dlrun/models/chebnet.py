"""ChebNet: filters that are polynomials of the graph's Laplacian.

Defferrard et al., "Convolutional neural networks on graphs with fast localized spectral filtering", 2016.

Departures: the largest eigenvalue of the Laplacian is taken to be 2, its bound, as in Kipf and Welling (2017).

Letters: N nodes, F features, K outputs, S terms of the polynomial (`filter_size`).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dlrun.config.schema import Level, PositiveInt, ProperFraction, Readout
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Linear, Sparse


class ChebConv(nn.Module):
    """`sum_s T_s(L) x W_s^T + b`, T_s the Chebyshev polynomial of degree s = 0 .. S - 1.

    Added up from the last term to the first (Clenshaw), so that the Laplacian multiplies the K outputs and not the F
    inputs, of which there may be thousands.
    """

    def __init__(self, in_channels: int, out_channels: int, filter_size: int):
        super().__init__()
        self.lins = nn.ModuleList(Linear(in_channels, out_channels, bias=False) for _ in range(filter_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        for lin in self.lins:
            nn.init.xavier_uniform_(lin.weight)  # type: ignore[arg-type]

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        first, *rest = [lin(x) for lin in self.lins]  # S times (N, F) -> (N, K)
        sum_1 = sum_2 = torch.zeros_like(first)
        for term in reversed(rest):
            sum_1, sum_2 = term + 2 * (edges.laplacian @ sum_1) - sum_2, sum_1
        return first + edges.laplacian @ sum_1 - sum_2 + self.bias


class ChebNet(GraphModel):
    """ChebNet: graph convolutions by Chebyshev polynomials, which reach `filter_size` - 1 edges far."""

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 16, num_layers: PositiveInt = 2,
        filter_size: PositiveInt = 3, dropout: ProperFraction = 0.5, readout: Readout = "sum", level: Level,
        out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `hidden_size`: H, features of a node after each layer that does not answer.
        - `num_layers`: layers, with the one that answers at level `node`.
        - `filter_size`: S, terms of the polynomial of each layer, which reaches S - 1 edges far.
        - `dropout`: share of values set to zero before each layer, also that which answers, in training.
        - `readout`: of whole graphs, the `sum`, `mean` or `max` over the nodes, or `set2set` (an LSTM with attention).
        - `level`: `node`: an answer for each node that is asked for; `graph`: one for each graph.
        - `out_features`: K, logits of an answer.
        """
        super().__init__(dropout)
        last_size = out_features if level == "node" else hidden_size
        sizes = [in_features, *[hidden_size] * (num_layers - 1), last_size]
        self.layers = nn.ModuleList(ChebConv(size, next_size, filter_size) for size, next_size in pairwise(sizes))
        if level == "graph":
            self.add_head(level, readout, hidden_size, out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> "Tensor | Sparse":
        for layer in self.hidden_layers:
            x = layer(self.drop(x), edges).relu()  # (N, F) -> (N, H), then (N, H) -> (N, H)
        return x
