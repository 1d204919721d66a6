"""GGNN: a recurrent cell at every node reads what its neighbours send, step after step.

Li et al., "Gated graph sequence neural networks", 2016.

Letters: N nodes, H hidden features.
"""

from typing import Literal

from torch import Tensor, nn

from dlrun.models.edges import Edges
from dlrun.models.graph import GraphModel
from dlrun.models.sparse import Linear
from dlrun.schema import PositiveInt, ProperFraction


class GatedLayer(nn.Module):
    """A gated recurrent unit whose input is the sum of the neighbours' messages, `sum_j x_j W^T`."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.lin = Linear(hidden_size, hidden_size, bias=False)
        self.rnn = nn.GRUCell(hidden_size, hidden_size)

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        return self.rnn(edges.adjacency @ self.lin(x), x)  # (N, H) -> (N, H)


class GGNN(GraphModel):
    """`num_steps` steps of one gated layer, behind a linear layer and before another."""

    accepts: tuple = ("graph",)

    def __init__(
        self,
        *,
        in_features: PositiveInt,
        hidden_size: PositiveInt = 32,
        num_steps: PositiveInt = 3,
        dropout: ProperFraction = 0.5,
        readout: Literal["sum", "mean", "max", "set2set"] = "sum",
        level: Literal["node", "graph"],
        out_features: PositiveInt,
    ):
        shared = GatedLayer(hidden_size)
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
