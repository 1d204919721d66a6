"""GGNN: a recurrent cell at every node reads what its neighbours send, step after step.

Li et al., "Gated graph sequence neural networks", 2016.

Letters: N nodes, H hidden features.
"""

from torch import Tensor, nn

from dlrun.config.schema import Level, PositiveInt, ProperFraction, Readout
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Linear, Sparse


class GatedLayer(nn.Module):
    """A gated recurrent unit whose input is the sum of the neighbours' messages, `sum_j x_j W^T`."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.lin = Linear(hidden_size, hidden_size, bias=False)
        self.rnn = nn.GRUCell(hidden_size, hidden_size)

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        return self.rnn(edges.adjacency @ self.lin(x), x)  # (N, H) -> (N, H)


class GGNN(GraphModel):
    """Gated graph network: `num_steps` steps of one gated layer, between two linear layers."""

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 32, num_steps: PositiveInt = 3,
        dropout: ProperFraction = 0.5, readout: Readout = "sum", level: Level, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `hidden_size`: H, features of a node at each step.
        - `num_steps`: steps of the one layer. A node sees this many edges far.
        - `dropout`: share of values set to zero before the first linear layer, each step and the last linear layer, in
          training.
        - `readout`: of whole graphs, the `sum`, `mean` or `max` over the nodes, or `set2set` (an LSTM with attention).
        - `level`: `node`: an answer for each node that is asked for; `graph`: one for each graph.
        - `out_features`: K, logits of an answer.
        """
        super().__init__(dropout)
        layer = GatedLayer(hidden_size)
        self.encoder = Linear(in_features, hidden_size)
        self.layers = nn.ModuleList([layer] * num_steps)  # the same weights at each step
        self.add_head(level, readout, hidden_size, out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        h = self.encoder(self.drop(x))  # (N, F) -> (N, H)
        for step in self.layers:
            h = step(self.drop(h), edges)  # (N, H) -> (N, H)
        return h
