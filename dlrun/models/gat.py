"""GAT: each node weighs its neighbours by attention, several heads side by side.

Velickovic et al., "Graph attention networks", 2018. The defaults are the paper's for Cora: 8 heads of 8 features, then
one head a class. The attention is torch_geometric's; every edge counts once, whatever its weight, and in a sample of a
graph whatever its scale.

Letters: N nodes, E edges, F features, M heads, C features of a head, H = M * C, K outputs.
"""

from itertools import pairwise
from typing import Any, Optional

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv
from torch_geometric.typing import OptTensor
from torch_geometric.utils import softmax

from dlrun.config.schema import Level, PositiveInt, ProperFraction, Readout
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Linear, Sparse


class MaskedGATConv(GATConv):
    """torch_geometric's, but an edge whose `edge_attr` (E,) is true gets no attention."""

    def edge_update(
        self,
        alpha_j: Tensor,
        alpha_i: OptTensor,
        edge_attr: OptTensor,
        index: Tensor,
        ptr: OptTensor,
        dim_size: Optional[int],  # noqa: UP045, torch_geometric reads the annotations and knows no `int | None`
    ) -> Tensor:
        assert alpha_i is not None and edge_attr is not None
        score = F.leaky_relu(alpha_j + alpha_i, self.negative_slope).masked_fill(edge_attr[:, None], -float("inf"))
        return F.dropout(softmax(score, index, ptr, dim_size), p=self.dropout, training=self.training)  # (E, M)


class GATLayer(nn.Module):
    """`num_heads` heads side by side; those of the layer that `answers` are averaged."""

    def __init__(self, in_channels: int, out_channels: int, num_heads: int, dropout: float, answers: bool):
        super().__init__()
        size = out_channels if answers else out_channels // num_heads
        # A linear layer that takes sparse features, in place of torch_geometric's.
        self.lin = Linear(in_channels, num_heads * size, bias=False)
        nn.init.xavier_uniform_(self.lin.weight)
        self.conv = MaskedGATConv(
            num_heads * size, size, num_heads, concat=not answers, dropout=dropout, add_self_loops=False
        )
        self.conv.register_module("lin", nn.Identity())

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        index, old_loops = edges.looped
        return self.conv(self.lin(x), index, old_loops)  # (N, F) -> (N, M * C), or (N, K)

    def attention(self, x: "Tensor | Sparse", edges: Edges) -> tuple[Tensor, Tensor]:
        """The edges (2, E) with one self-loop a node, and the weight (E,) of each, the mean over the heads."""
        index, old_loops = edges.looped
        _, (_, weights) = self.conv(self.lin(x), index, old_loops, return_attention_weights=True)
        return index[:, ~old_loops], weights.mean(dim=1)[~old_loops]


class GAT(GraphModel):
    """Graph attention network: attention over a node's neighbours and itself, several heads side by side."""

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 64, num_layers: PositiveInt = 2,
        num_heads: PositiveInt = 8, num_out_heads: PositiveInt = 1, dropout: ProperFraction = 0.6,
        readout: Readout = "sum", level: Level, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `hidden_size`: H, features of a node after each layer that does not answer, those of all heads together.
        - `num_layers`: layers, with the one that answers at level `node`. A node sees this many edges far.
        - `num_heads`: M, heads of each layer, with H / M features each.
        - `num_out_heads`: heads, of K features each, whose mean the last layer of level `node` answers.
        - `dropout`: share of values set to zero before each layer, also that which answers, and of attention weights,
          in training.
        - `readout`: of whole graphs, the `sum`, `mean` or `max` over the nodes, or `set2set` (an LSTM with attention).
        - `level`: `node`: an answer for each node that is asked for; `graph`: one for each graph.
        - `out_features`: K, logits of an answer.

        **Raises:** `ValueError` if `hidden_size` is no multiple of `num_heads`.
        """
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size {hidden_size} is not a multiple of num_heads {num_heads}")
        super().__init__(dropout)
        sizes = [in_features, *[hidden_size] * (num_layers if level == "graph" else num_layers - 1)]
        self.layers = nn.ModuleList(GATLayer(*pair, num_heads, dropout, answers=False) for pair in pairwise(sizes))
        if level == "node":
            self.layers.append(GATLayer(sizes[-1], out_features, num_out_heads, dropout, answers=True))
        else:
            self.add_head(level, readout, hidden_size, out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> "Tensor | Sparse":
        return self._through(self.hidden_layers, x, edges)

    def attention(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> tuple[Tensor, Tensor]:
        """The attention of the last layer: edges (2, E) with one self-loop a node, and the weight (E,) of each."""
        h, edges = self._prepared(x, edge_index, edge_weight)
        *before, last = self.layers
        assert isinstance(last, GATLayer)
        return last.attention(self._through(before, h, edges), edges)

    def _through(self, layers: list[nn.Module], x: Any, edges: Edges) -> Any:
        for layer in layers:
            x = F.elu(layer(self.drop(x), edges))  # (N, F) -> (N, H), then (N, H) -> (N, H)
        return x
