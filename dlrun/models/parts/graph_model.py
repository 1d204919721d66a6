"""What all graph networks share: the edges of the graph at hand, the readout of a graph, the linear layer at the end.

Letters: N nodes, F features of a node, E edges, D features of an edge, H hidden features, K outputs (`out_features`), B
nodes or graphs that are asked for, G graphs of a batch.
"""

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.models.parts import readout as readouts
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.sparse import Linear, Sparse, dropout


class GraphModel(nn.Module):
    """A subclass makes its layers in `__init__` and says in `hidden` how they follow each other.

    Either it then calls `add_head`: a linear layer gives the answer, of whole graphs after a readout. Or it does not,
    and the last of its `layers` gives the answer of a node.

    **Arguments:**

    - `dropout`: the share of values that `drop` sets to zero in training.
    """

    accepts: tuple = ("graph",)
    layers: nn.ModuleList  # each is called as layer(x, edges): (N, ...) -> (N, ...)

    def __init__(self, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.readout: nn.Module | None = None
        self.fc: Linear | None = None
        self._given: tuple[Tensor | None, ...] = ()

    def add_head(self, level: str, readout: str, width: int, out_features: int) -> None:
        """The layers that answer: a linear layer, of graphs (`level` graph) after the readout; to be called last.

        `width`: the number of features of a node that `hidden` gives.
        """
        if level == "graph":
            self.readout, width = readouts.make(readout, width)
        self.fc = Linear(width, out_features)

    @property
    def hidden_layers(self) -> list[nn.Module]:
        """All layers, or all but the last where that gives the answer."""
        return list(self.layers) if self.fc is not None else list(self.layers)[:-1]

    def drop(self, x: "Tensor | Sparse") -> Any:
        """`x` with the share `dropout` of its values set to zero, in training."""
        return dropout(x, self.dropout, self.training)

    def hidden(self, x: Any, edges: Edges) -> Any:
        """The vectors (N, H) from which the answer is made, from features (N, F), which may be `Sparse`."""
        raise NotImplementedError

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor,
        seeds: Tensor,
        ptr: Tensor,
        scale: Tensor | None = None,
        degrees: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, K) of nodes, or (G, K) of graphs.

        **Arguments:**

        - `x`: features (N, F) of the nodes, dense or in compressed rows (CSR).
        - `edge_index` (2, E): of each edge the node it leaves and the node it arrives at.
        - `edge_weight`: weights (E,) or features (E, D) of the edges.
        - `seeds` (B,): the nodes that are asked for; a model of whole graphs ignores them.
        - `ptr` (G + 1,): graph g owns the nodes ptr[g] to ptr[g + 1] - 1; a model of nodes ignores it.
        - `scale` (E,), `degrees` (N, 3): what a sample of a graph says of its edges and nodes; see `Edges`.
        """
        x, edges = self._prepared(x, edge_index, edge_weight, scale, degrees)
        h = self.hidden(x, edges)  # (N, H)
        if self.fc is None:
            return self.layers[-1](self.drop(h), edges)[seeds]  # (N, H) -> (N, K) -> (B, K)
        h = h[seeds] if self.readout is None else self.readout(h, ptr)  # (B, H), or (G, H)
        return self.fc(self.drop(h))

    def embed(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """The vectors (N, H) from which the answer is made; of a single layer that answers, the features (N, F)."""
        h = self.hidden(*self._prepared(x, edge_index, edge_weight))
        return h.to_dense() if isinstance(h, Sparse) else h

    def attention(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> tuple[Tensor, Tensor] | None:
        """Edges (2, E') and the weight (E',) of each in the answer for the node it leads to; None: has no attention."""
        return None

    def _prepared(self, x: Tensor, *given: Tensor | None) -> tuple[Any, Edges]:
        """`x`, as `Sparse` if it is CSR, and the edges; kept for the next call with the same tensors."""
        if not all(a is b for a, b in itertools.zip_longest(self._given, (x, *given))):
            edge_index, edge_weight, *sample = given
            assert edge_index is not None and edge_weight is not None
            self._given = (x, *given)
            self._edges = Edges(edge_index, edge_weight, x.shape[0], *sample)
            with torch.inference_mode(False):  # an evaluation may come first, and training use it then
                self._x: Tensor | Sparse = Sparse.from_csr(x) if x.layout == torch.sparse_csr else x
        return self._x, self._edges
