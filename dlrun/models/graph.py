"""The frame of all graph networks: layers, what stands between them, and an answer a node or a graph.

Letters: N nodes, F features, E edges, H hidden features, K outputs (`out_features`), B nodes or graphs that are asked
for. A layer is `layer(x, edges)`: features (N, ...) and the graph's `Edges` to new features (N, ...).
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.models import readout as readouts
from dlrun.models.edges import Edges
from dlrun.models.sparse import Linear, Sparse, dropout

Layer = Callable[[int, int, bool], nn.Module]  # in, out, whether it gives the answer


class GraphModel(nn.Module):
    """`num_layers` layers with dropout before each and `activation` between them.

    Of nodes (`level` node) the last layer gives the answer itself, unless `head`: then, and always of whole graphs, all
    layers have `hidden_size` features and a linear layer answers, of graphs after the `readout`.

    - `encode`: a linear layer and the activation stand before the layers, which then all have `hidden_size` inputs.
    - `norm`: a batch normalisation before each activation.
    - `residual`: a layer's input is added to its output where they are of one size (He et al. 2016).
    - `jump`: the answer sees all layers, side by side (`cat`) or their largest values (`max`) (Xu et al. 2018).

    A bag of words may come as a CSR tensor (N, F): the first layer then gets it as `Sparse`.
    """

    accepts: tuple = ("graph",)

    def __init__(
        self,
        layer: Layer,
        *,
        in_features: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        readout: str,
        level: str,
        out_features: int,
        activation: Callable[[Tensor], Tensor] = F.relu,
        encode: bool = False,
        norm: bool = False,
        residual: bool = False,
        jump: str | None = None,
        head: bool = False,
    ):
        super().__init__()
        self.level, self.dropout, self.activation, self.residual, self.jump = level, dropout, activation, residual, jump
        has_head = head or level == "graph" or jump is not None
        self.encoder = Linear(in_features, hidden_size) if encode else None
        sizes = [hidden_size if encode else in_features, *[hidden_size] * (num_layers if has_head else num_layers - 1)]
        hidden = [layer(*pair, False) for pair in itertools.pairwise(sizes)]
        self.layers = nn.ModuleList(hidden if has_head else [*hidden, layer(sizes[-1], out_features, True)])
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden_size) if norm else nn.Identity() for _ in hidden)
        width = hidden_size * (num_layers if jump == "cat" else 1)
        self.readout = readouts.make(readout, width) if level == "graph" else None
        width = width if self.readout is None else int(self.readout.out_features)  # type: ignore[arg-type]
        self.fc = Linear(width, out_features) if has_head else None
        self._given: tuple[Tensor | None, ...] = ()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor,
        place: Tensor,
        scale: Tensor | None = None,
        degrees: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, K) of the nodes `place` (B,), or of the graphs that `place` (B + 1,) holds the offsets of.

        A sample of a graph brings `scale` (E,) and `degrees` (N, 3) of its edges and nodes; see `Edges`.
        """
        h = self._hidden(x, edge_index, edge_weight, scale, degrees)
        if self.fc is None:
            return self.layers[-1](dropout(h, self.dropout, self.training), self._edges)[place]  # (N, H) -> (B, K)
        assert isinstance(h, Tensor)
        h = h[place] if self.readout is None else self.readout(h, place)  # (N, H) -> (B, H)
        return self.fc(dropout(h, self.dropout, self.training))

    def embed(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """The vectors (N, H) from which the answer is made; of a single layer that answers, the features."""
        h = self._hidden(x, edge_index, edge_weight)
        return h.to_dense() if isinstance(h, Sparse) else h

    def _hidden(self, x: Tensor, *given: Tensor | None) -> "Tensor | Sparse":
        self._take(x, *given)
        h, seen = self._x, []
        if self.encoder is not None:
            h = self.activation(self.encoder(dropout(h, self.dropout, self.training)))
        for layer, norm in zip(self.layers, self.norms, strict=False):
            before = h
            h = layer(dropout(h, self.dropout, self.training), self._edges)
            h = self.activation(norm(h))
            if self.residual and isinstance(before, Tensor) and before.shape == h.shape:
                h = h + before
            seen.append(h)
        if self.jump is None:
            return h
        return torch.cat(seen, dim=1) if self.jump == "cat" else torch.stack(seen).amax(dim=0)

    def _take(self, x: Tensor, *given: Any) -> None:
        # The same tensors again, as in every step on one graph: what was computed from them is still right.
        if all(a is b for a, b in itertools.zip_longest(self._given, (x, *given))):
            return
        self._given = (x, *given)
        edge_index, edge_weight, *sample = given
        self._edges = Edges(edge_index, edge_weight, x.shape[0], *sample)
        with torch.inference_mode(False):  # an evaluation may come first, and training use it then
            self._x: Tensor | Sparse = Sparse.from_csr(x) if x.layout == torch.sparse_csr else x
