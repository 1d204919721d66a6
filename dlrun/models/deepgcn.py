"""DeepGCN: residual connections let graph convolutions go deep.

Li et al., "DeepGCNs: can GCNs go as deep as CNNs?", 2019: the residual variant, ResGCN.

Departures: plain graph convolutions, where the paper has edge convolutions with dilated neighbourhoods for clouds of
points.
"""

from torch import Tensor, nn

from dlrun.config.schema import Level, PositiveInt, ProperFraction, Readout
from dlrun.models.gcn import GCNConv
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Linear, Sparse


class DeepGCN(GraphModel):
    """Residual GCN: a linear layer, `num_layers` graph convolutions each added to its own input, and a linear layer."""

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 64, num_layers: PositiveInt = 16,
        norm: bool = True, dropout: ProperFraction = 0.5, readout: Readout = "sum", level: Level,
        out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `hidden_size`: H, features of a node after each layer.
        - `num_layers`: graph convolutions.
        - `norm`: whether a batch normalisation follows each convolution.
        - `dropout`: share of values set to zero before each layer, also the two linear ones, in training.
        - `readout`: of whole graphs, the `sum`, `mean` or `max` over the nodes, or `set2set` (an LSTM with attention).
        - `level`: `node`: an answer for each node that is asked for; `graph`: one for each graph.
        - `out_features`: K, logits of an answer.
        """
        super().__init__(dropout)
        self.encoder = Linear(in_features, hidden_size)
        self.layers = nn.ModuleList(GCNConv(hidden_size, hidden_size) for _ in range(num_layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden_size) if norm else nn.Identity() for _ in range(num_layers))
        self.add_head(level, readout, hidden_size, out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        h = self.encoder(self.drop(x)).relu()  # (N, F) -> (N, H)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = norm(layer(self.drop(h), edges)).relu() + h  # (N, H)
        return h
