"""Message passing as the notes introduce it: every edge carries the sum of its two ends (notes, GNN 3).

Gilmer et al., "Neural message passing for quantum chemistry", 2017, gave it the name.

Departures: the notes' layer stands alone and learns nothing; here the last of `num_layers` is followed by a linear
layer that answers.

Letters: N nodes, F features.
"""

from torch import Tensor, nn

from dlrun.config.schema import Level, PositiveInt, ProperFraction, Readout
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Sparse


class MessagePassing(nn.Module):
    """Node i gets the sum over its incoming edges (j, i) of `x_j + x_i`; nothing is learned."""

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        x = x.to_dense() if isinstance(x, Sparse) else x
        received = x.new_zeros(edges.num_nodes, 1).index_add(0, edges.index[1], edges.weight[:, None])
        return edges.adjacency @ x + received * x  # (N, F)


class MessagePassingNetwork(GraphModel):
    """Message passing: sums of `x_i + x_j` over the edges that arrive, and a linear layer that answers."""

    def __init__(
        self, *, in_features: PositiveInt, num_layers: PositiveInt = 1, dropout: ProperFraction = 0.0,
        readout: Readout = "sum", level: Level, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `num_layers`: times that messages are passed, before the linear layer that answers.
        - `dropout`: share of values set to zero before each layer and the linear one, in training.
        - `readout`: of whole graphs, the `sum`, `mean` or `max` over the nodes, or `set2set` (an LSTM with attention).
        - `level`: `node`: an answer for each node that is asked for; `graph`: one for each graph.
        - `out_features`: K, logits of an answer.
        """
        super().__init__(dropout)
        self.layers = nn.ModuleList(MessagePassing() for _ in range(num_layers))
        self.add_head(level, readout, in_features, out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> "Tensor | Sparse":
        for layer in self.layers:
            x = layer(self.drop(x), edges)  # (N, F) -> (N, F)
        return x
