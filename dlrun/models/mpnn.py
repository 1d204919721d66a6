"""MPNN: a small network turns the features of each edge into the matrix by which its message is multiplied.

Gilmer et al., "Neural message passing for quantum chemistry", 2017: the edge network, a gated recurrent unit at each
node, and set2set as readout. The edge network is torch_geometric's NNConv.

Letters: N nodes, E edges, D features of an edge, H hidden features.
"""

import torch
from torch import Tensor, nn
from torch_geometric.nn import NNConv

from dlrun.config.schema import Level, PositiveInt, ProperFraction, Readout
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Linear, Sparse


class EdgeNetwork(nn.Sequential):
    """Features and scale (E, D + 1) of each edge -> a matrix of its features times its scale (E, H * H)."""

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
    """Message passing with an edge network: `num_steps` steps of one message layer, between two linear layers."""

    def __init__(
        self, *, in_features: PositiveInt, num_edge_features: PositiveInt, hidden_size: PositiveInt = 16,
        edge_hidden_size: PositiveInt = 16, num_steps: PositiveInt = 3, dropout: ProperFraction = 0.0,
        readout: Readout = "set2set", level: Level, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `num_edge_features`: D, features of an edge; a weight is one.
        - `hidden_size`: H, features of a node at each step.
        - `edge_hidden_size`: hidden features of the edge network, D -> `edge_hidden_size` -> H * H.
        - `num_steps`: steps of the one layer. A node sees this many edges far.
        - `dropout`: share of values set to zero before the first linear layer, each step and the last linear layer, in
          training.
        - `readout`: of whole graphs, the `sum`, `mean` or `max` over the nodes, or `set2set` (an LSTM with attention).
        - `level`: `node`: an answer for each node that is asked for; `graph`: one for each graph.
        - `out_features`: K, logits of an answer.
        """
        super().__init__(dropout)
        layer = MessageLayer(hidden_size, num_edge_features, edge_hidden_size)
        self.encoder = Linear(in_features, hidden_size)
        self.layers = nn.ModuleList([layer] * num_steps)  # the same weights at each step
        self.add_head(level, readout, hidden_size, out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        h = self.encoder(self.drop(x))  # (N, F) -> (N, H)
        for step in self.layers:
            h = step(self.drop(h), edges)  # (N, H) -> (N, H)
        return h
