"""GAT: each node weighs its neighbours by attention, several heads side by side.

Velickovic et al., "Graph attention networks", 2018. The defaults are the paper's for Cora: 8 heads of 8 features, then
one head a class. The attention is torch_geometric's; of a sample of the edges it takes each for one edge.

Letters: N nodes, E edges, F features, M heads, D features of a head.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv

from dlrun.models.edges import Edges
from dlrun.models.graph import GraphModel
from dlrun.models.sparse import Linear, Sparse
from dlrun.schema import PositiveInt, ProperFraction


class GATLayer(nn.Module):
    """`num_heads` heads, side by side, or of the layer that answers their mean."""

    def __init__(self, in_channels: int, out_channels: int, num_heads: int, dropout: float, answers: bool):
        super().__init__()
        size = out_channels if answers else out_channels // num_heads
        # The linear layer is ours, because it takes sparse features; theirs stands aside.
        self.lin = Linear(in_channels, num_heads * size, bias=False)
        nn.init.xavier_uniform_(self.lin.weight)
        self.conv = GATConv(
            num_heads * size, size, num_heads, concat=not answers, dropout=dropout, add_self_loops=False
        )
        self.conv.register_module("lin", nn.Identity())

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        return self.conv(self.lin(x), edges.looped)  # (N, F) -> (N, M * D), or (N, K)

    def attention(self, x: "Tensor | Sparse", edges: Edges) -> tuple[Tensor, Tensor]:
        """(The edges (2, E) with self-loops, what part (E,) each has in its node, the mean over the heads)."""
        _, (index, weights) = self.conv(self.lin(x), edges.looped, return_attention_weights=True)
        return index, weights.mean(dim=1)


class GAT(GraphModel):
    """Attention over the neighbours; `hidden_size` is that of all heads together."""

    accepts: tuple = ("graph",)

    def __init__(
        self,
        *,
        in_features: PositiveInt,
        hidden_size: PositiveInt = 64,
        num_layers: PositiveInt = 2,
        num_heads: PositiveInt = 8,
        num_out_heads: PositiveInt = 1,
        dropout: ProperFraction = 0.6,
        readout: Literal["sum", "mean", "max", "set2set"] = "sum",
        level: Literal["node", "graph"],
        out_features: PositiveInt,
    ):
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size {hidden_size} is not a multiple of num_heads {num_heads}")
        super().__init__(
            lambda size, next_size, answers: GATLayer(
                size, next_size, num_out_heads if answers else num_heads, dropout, answers
            ),
            in_features=in_features,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            readout=readout,
            level=level,
            out_features=out_features,
            activation=F.elu,
        )

    def attention(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> tuple[Tensor, Tensor]:
        """What part each edge has in the answer for the node it leads to: edges (2, E) with loops, weights (E,)."""
        h = self._hidden(x, edge_index, edge_weight)
        last = self.layers[-1]
        assert isinstance(last, GATLayer)
        return last.attention(h, self._edges)
