"""GraphSAGE: a node's own features beside the mean of its neighbours'.

Hamilton, Ying and Leskovec, "Inductive representation learning on large graphs", 2017, with the mean aggregator. All
neighbours are taken, unless `sampler=neighbor` gives batches of samples of them, as in the paper.

Letters: N nodes, F features, K outputs.
"""

from itertools import pairwise

from torch import Tensor, nn

from dlrun.config.schema import Level, PositiveInt, ProperFraction, Readout
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Linear, Sparse


class SAGEConv(nn.Module):
    """`mean(x_j) W_neighbours^T + x_i W_self^T + b`; a node without neighbours has a mean of 0."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.lin_neighbours = Linear(in_channels, out_channels)
        self.lin_self = Linear(in_channels, out_channels, bias=False)

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        # The product before the mean gives the same, with K features to average in place of F. The bias comes last.
        product = self.lin_neighbours(x) - self.lin_neighbours.bias
        return edges.mean @ product + self.lin_neighbours.bias + self.lin_self(x)  # (N, F) -> (N, K)


class GraphSAGE(GraphModel):
    """GraphSAGE with the mean aggregator: a linear map of the node itself and one of the mean of its neighbours."""

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 16, num_layers: PositiveInt = 2,
        dropout: ProperFraction = 0.5, readout: Readout = "sum", level: Level, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `hidden_size`: H, features of a node after each layer that does not answer.
        - `num_layers`: layers, with the one that answers at level `node`. A node sees this many edges far.
        - `dropout`: share of values set to zero before each layer, also that which answers, in training.
        - `readout`: of whole graphs, the `sum`, `mean` or `max` over the nodes, or `set2set` (an LSTM with attention).
        - `level`: `node`: an answer for each node that is asked for; `graph`: one for each graph.
        - `out_features`: K, logits of an answer.
        """
        super().__init__(dropout)
        last_size = out_features if level == "node" else hidden_size
        sizes = [in_features, *[hidden_size] * (num_layers - 1), last_size]
        self.layers = nn.ModuleList(SAGEConv(size, next_size) for size, next_size in pairwise(sizes))
        if level == "graph":
            self.add_head(level, readout, hidden_size, out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> "Tensor | Sparse":
        for layer in self.hidden_layers:
            x = layer(self.drop(x), edges).relu()  # (N, F) -> (N, H), then (N, H) -> (N, H)
        return x
