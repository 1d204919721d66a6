"""DeepGCN: residual connections let graph convolutions go deep.

Li et al., "DeepGCNs: can GCNs go as deep as CNNs?", 2019: the residual variant, ResGCN.

Departures: plain graph convolutions, where the paper has edge convolutions with dilated neighbourhoods for clouds of
points.
"""

from typing import Literal

from dlrun.models.gcn import GCNConv
from dlrun.models.graph import GraphModel
from dlrun.schema import PositiveInt, ProperFraction


class DeepGCN(GraphModel):
    """A linear layer, `num_layers` graph convolutions each added to its own input, and a linear layer."""

    accepts: tuple = ("graph",)

    def __init__(
        self,
        *,
        in_features: PositiveInt,
        hidden_size: PositiveInt = 64,
        num_layers: PositiveInt = 16,
        norm: bool = True,
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
            encode=True,
            norm=norm,
            residual=True,
            head=True,
        )
