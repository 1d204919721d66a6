"""JK-Net: the answer sees what every layer has made of a node, not the last one alone.

Xu et al., "Representation learning on graphs with jumping knowledge networks", 2018.
"""

from typing import Literal

from dlrun.models.gcn import GCNConv
from dlrun.models.graph import GraphModel
from dlrun.schema import PositiveInt, ProperFraction


class JKNet(GraphModel):
    """Graph convolutions whose outputs all reach the answer: side by side, or the largest value of each feature."""

    accepts: tuple = ("graph",)

    def __init__(
        self,
        *,
        in_features: PositiveInt,
        hidden_size: PositiveInt = 32,
        num_layers: PositiveInt = 4,
        jump: Literal["cat", "max"] = "cat",
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
            jump=jump,
        )
