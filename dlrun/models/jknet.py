"""JK-Net: the answer is made from the outputs of all layers, not from the last alone.

Xu et al., "Representation learning on graphs with jumping knowledge networks", 2018.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from dlrun.config.schema import Level, PositiveInt, ProperFraction, Readout
from dlrun.models.gcn import GCNConv
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Sparse


class JKNet(GraphModel):
    """Jumping knowledge: the outputs of all graph convolutions reach the answer, side by side or by their maximum."""

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 32, num_layers: PositiveInt = 4,
        jump: Literal["cat", "max"] = "cat", dropout: ProperFraction = 0.5, readout: Readout = "sum", level: Level,
        out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `hidden_size`: H, features of a node after each layer.
        - `num_layers`: graph convolutions, before the linear layer that answers.
        - `jump`: what the answer is made from: the outputs of all layers side by side (`cat`, num_layers * H features)
          or the largest value of each feature over the layers (`max`, H features).
        - `dropout`: share of values set to zero before each layer, also that which answers, in training.
        - `readout`: of whole graphs, the `sum`, `mean` or `max` over the nodes, or `set2set` (an LSTM with attention).
        - `level`: `node`: an answer for each node that is asked for; `graph`: one for each graph.
        - `out_features`: K, logits of an answer.
        """
        super().__init__(dropout)
        self.jump = jump
        sizes = [in_features, *[hidden_size] * num_layers]
        self.layers = nn.ModuleList(GCNConv(size, next_size) for size, next_size in pairwise(sizes))
        self.add_head(level, readout, hidden_size * (num_layers if jump == "cat" else 1), out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        outputs = []
        for layer in self.layers:
            x = layer(self.drop(x), edges).relu()  # (N, F) -> (N, H), then (N, H) -> (N, H)
            outputs.append(x)
        if self.jump == "cat":
            return torch.cat(outputs, dim=1)  # (N, num_layers * H)
        return torch.stack(outputs).amax(dim=0)  # (N, H)
