"""GraphSAGE: a node's own features beside the mean of its neighbours'.

Hamilton, Ying and Leskovec, "Inductive representation learning on large graphs", 2017, with the mean aggregator. All
neighbours are taken, unless `sampler=neighbor` gives batches of samples of them, as in the paper.

Letters: N nodes, F features, K outputs.
"""

from typing import Literal

from torch import Tensor, nn

from dlrun.models.edges import Edges
from dlrun.models.graph import GraphModel
from dlrun.models.sparse import Linear, Sparse
from dlrun.schema import PositiveInt, ProperFraction


class SAGEConv(nn.Module):
    """`mean(x_j) W_neighbours^T + x_i W_self^T + b`; a node without neighbours has a mean of 0."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.lin_neighbours = Linear(in_channels, out_channels)
        self.lin_self = Linear(in_channels, out_channels, bias=False)

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        # The mean of the products, as the product of the mean, has fewer features; the bias belongs after it.
        product = self.lin_neighbours(x) - self.lin_neighbours.bias
        return edges.mean @ product + self.lin_neighbours.bias + self.lin_self(x)  # (N, F) -> (N, K)


class GraphSAGE(GraphModel):
    """Layers that keep what a node is apart from what its neighbours are."""

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
            lambda size, next_size, _: SAGEConv(size, next_size),
            in_features=in_features,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            readout=readout,
            level=level,
            out_features=out_features,
        )
