"""GCN: each node becomes the weighted sum of itself and its neighbours, after a linear layer.

Kipf and Welling, "Semi-supervised classification with graph convolutional networks", 2017 (notes, GNN 4). The defaults
are the paper's for Cora.

Departures from the notes' layer: its linear layer has a bias and its other bias is not initialised; here, as in the
paper's code, there is one bias, which starts at 0, and the weights are Glorot-uniform.

Letters: N nodes, F features, K outputs.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from dlrun.models.edges import Edges
from dlrun.models.graph import GraphModel
from dlrun.models.sparse import Linear, Sparse
from dlrun.schema import PositiveInt, ProperFraction


class GCNConv(nn.Module):
    """`D^-1/2 (A + I) D^-1/2 x W^T + b`: of each edge the share 1 / sqrt(degree x degree)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.lin = Linear(in_channels, out_channels, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.xavier_uniform_(self.lin.weight)

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        return edges.normalized @ self.lin(x) + self.bias  # (N, F) -> (N, K)


class GCN(GraphModel):
    """Graph convolutions, as they are defined by the degrees of the graph."""

    accepts: tuple = ("graph",)

    def __init__(
        self,
        *,
        in_features: PositiveInt,
        hidden_size: PositiveInt = 16,
        num_layers: PositiveInt = 2,
        dropout: ProperFraction = 0.5,
        readout: Literal["sum", "mean", "max", "set2set"] = "sum",
        level: Literal["node", "graph"],
        out_features: PositiveInt,
    ):
        super().__init__(
            lambda size, next_size, _: GCNConv(size, next_size),
            in_features=in_features,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            readout=readout,
            level=level,
            out_features=out_features,
        )
