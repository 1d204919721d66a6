"""MPNN: a small network turns the features of each edge into the matrix by which its message is multiplied.

Gilmer et al., "Neural message passing for quantum chemistry", 2017: the edge network, a gated recurrent unit at each
node, and set2set as readout. The edge network is torch_geometric's NNConv.
Letters: N nodes, E edges, D features of an edge, H hidden features.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.nn import NNConv

from dlrun.models.edges import Edges
from dlrun.models.graph import GraphModel
from dlrun.schema import PositiveInt, ProperFraction


class EdgeNetwork(nn.Sequential):
    """A matrix, flattened, of each edge's features; their last column, which is none of them, multiplies it."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input[:, :-1]) * input[:, -1:]


class MessageLayer(nn.Module):
    """A gated recurrent unit whose input is the sum of the messages `A(e_ji) x_j`, A the edge network."""

    def __init__(self, hidden_size: int, num_edge_features: int, edge_hidden_size: int):
        super().__init__()
        network = EdgeNetwork(
            nn.Linear(num_edge_features, edge_hidden_size), nn.ReLU(), nn.Linear(edge_hidden_size, hidden_size**2)
        )
        self.conv = NNConv(hidden_size, hidden_size, network, aggr="add")
        self.rnn = nn.GRUCell(hidden_size, hidden_size)

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        scale = edges.features.new_ones(len(edges.features)) if edges.scale is None else edges.scale
        given = torch.cat([edges.features, scale[:, None]], dim=1)
        message = self.conv(x, edges.index, given).relu()  # (N, H); a matrix (H, H) for each of the E edges
        return self.rnn(message, x)


class MPNN(GraphModel):
    """`num_steps` steps of one message layer, behind a linear layer and before another."""

    accepts: tuple = ("graph",)

    def __init__(
        self,
        *,
        in_features: PositiveInt,
        num_edge_features: PositiveInt,
        hidden_size: PositiveInt = 16,
        edge_hidden_size: PositiveInt = 16,
        num_steps: PositiveInt = 3,
        dropout: ProperFraction = 0.0,
        readout: Literal["sum", "mean", "max", "set2set"] = "set2set",
        level: Literal["node", "graph"],
        out_features: PositiveInt,
    ):
        shared = MessageLayer(hidden_size, num_edge_features, edge_hidden_size)
        super().__init__(
            lambda *_: shared,
            in_features=in_features,
            hidden_size=hidden_size,
            num_layers=num_steps,
            dropout=dropout,
            readout=readout,
            level=level,
            out_features=out_features,
            activation=nn.Identity(),
            encode=True,
            head=True,
        )
