"""ChebNet: filters that are polynomials of the graph's Laplacian.

Defferrard et al., "Convolutional neural networks on graphs with fast localized spectral filtering", 2016.

Departures: the largest eigenvalue of the Laplacian is taken to be 2, its bound, as in Kipf and Welling (2017).

Letters: N nodes, F features, K outputs, S terms of the polynomial (`filter_size`).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from dlrun.models.edges import Edges
from dlrun.models.graph import GraphModel
from dlrun.models.sparse import Linear, Sparse
from dlrun.schema import PositiveInt, ProperFraction


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
    """Graph convolutions that reach `filter_size` - 1 steps far."""

    accepts: tuple = ("graph",)

    def __init__(
        self,
        *,
        in_features: PositiveInt,
        hidden_size: PositiveInt = 16,
        num_layers: PositiveInt = 2,
        filter_size: PositiveInt = 3,
        dropout: ProperFraction = 0.5,
        readout: Literal["sum", "mean", "max", "set2set"] = "sum",
        level: Literal["node", "graph"],
        out_features: PositiveInt,
    ):
        super().__init__(
            lambda size, next_size, _: ChebConv(size, next_size, filter_size),
            in_features=in_features,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            readout=readout,
            level=level,
            out_features=out_features,
        )
