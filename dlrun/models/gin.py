"""GIN: sums of neighbours through a small MLP, which tell apart all that message passing can tell apart.

Xu et al., "How powerful are graph neural networks?", 2019.

Letters: N nodes, F features, K outputs.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from dlrun.models.edges import Edges
from dlrun.models.graph import GraphModel
from dlrun.models.sparse import Linear, Sparse
from dlrun.schema import PositiveInt, ProperFraction


class GINConv(nn.Module):
    """`MLP((1 + eps) x_i + sum_j x_j)`, an MLP of two layers; `eps` is learned and starts at 0."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.lin = Linear(in_channels, out_channels)
        self.eps = nn.Parameter(torch.zeros(()))
        self.fc = nn.Linear(out_channels, out_channels)

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        product = self.lin(x) - self.lin.bias  # the sum of products is the product of the sum; the bias comes after
        return self.fc((edges.adjacency @ product + (1 + self.eps) * product + self.lin.bias).relu())  # (N, K)


class GIN(GraphModel):
    """Layers whose sums keep how many neighbours of each kind a node has, with batch normalisation."""

    accepts: tuple = ("graph",)

    def __init__(
        self,
        *,
        in_features: PositiveInt,
        hidden_size: PositiveInt = 32,
        num_layers: PositiveInt = 3,
        dropout: ProperFraction = 0.0,
        readout: Literal["sum", "mean", "max", "set2set"] = "sum",
        level: Literal["node", "graph"],
        out_features: PositiveInt,
    ):
        super().__init__(
            lambda size, next_size, _: GINConv(size, next_size),
            in_features=in_features,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            readout=readout,
            level=level,
            out_features=out_features,
            norm=True,
        )
