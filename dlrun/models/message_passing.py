"""Message passing as the notes introduce it: every edge carries the sum of its two ends (notes, GNN 3).

Gilmer et al., "Neural message passing for quantum chemistry", 2017, name the frame.

Departures: the notes' layer stands alone and learns nothing; here the last of `num_layers` is followed by a linear
layer that answers.

Letters: N nodes, F features.
"""

from typing import Literal

from torch import Tensor, nn

from dlrun.models.edges import Edges
from dlrun.models.graph import GraphModel
from dlrun.models.sparse import Sparse
from dlrun.schema import PositiveInt, ProperFraction


class MessagePassing(nn.Module):
    """Node i gets the sum over its incoming edges (j, i) of `x_j + x_i`; nothing is learned."""

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        x = x.to_dense() if isinstance(x, Sparse) else x
        received = x.new_zeros(edges.num_nodes, 1).index_add(0, edges.index[1], edges.weight[:, None])
        return edges.adjacency @ x + received * x  # (N, F)


class MessagePassingNetwork(GraphModel):
    """Sums of what the edges carry, `x_i + x_j`, and a linear layer that answers."""

    accepts: tuple = ("graph",)

    def __init__(
        self,
        *,
        in_features: PositiveInt,
        num_layers: PositiveInt = 1,
        dropout: ProperFraction = 0.0,
        readout: Literal["sum", "mean", "max", "set2set"] = "sum",
        level: Literal["node", "graph"],
        out_features: PositiveInt,
    ):
        super().__init__(
            lambda *_: MessagePassing(),
            in_features=in_features,
            hidden_size=in_features,
            num_layers=num_layers,
            dropout=dropout,
            readout=readout,
            level=level,
            out_features=out_features,
            activation=lambda h: h,
            head=True,
        )
