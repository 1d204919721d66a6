"""The first graph neural network: the states of all nodes are iterated until they no longer change.

Scarselli et al., "The graph neural network model", 2009. The gradient at the fixed point is found by another iteration
(Almeida 1987, Pineda 1987), so that no step needs to be kept.

Departures: the paper's loss has a penalty for steps that do not contract; here the weights are scaled so that all do.

Letters: N nodes, H hidden features.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlrun.config.schema import Level, PositiveFloat, PositiveInt, ProperFraction, Readout
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.graph_model import GraphModel
from dlrun.models.parts.sparse import Linear, Sparse


class FixedPoint(nn.Module):
    """The states h of all nodes that solve `h_i = tanh(mean(h_j) W^T + x_i U^T + b)`, j the neighbours of i.

    Each row of W is scaled to a sum of absolute values of at most `contraction` < 1. Two states are then nearer to each
    other after a step, by that factor in their largest difference, so there is exactly one such state. The iteration
    ends when no value changes by more than `tolerance`, at the latest after `max_steps`. So does the iteration for the
    gradient, where `tolerance` is relative to its largest value. `num_steps`: steps that the last iteration took.
    """

    def __init__(self, in_channels: int, hidden_size: int, contraction: float, tolerance: float, max_steps: int):
        super().__init__()
        self.contraction, self.tolerance, self.max_steps, self.num_steps = contraction, tolerance, max_steps, 0
        self.lin = Linear(in_channels, hidden_size)
        self.weight = nn.Parameter(torch.empty(hidden_size, hidden_size))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        given = self.lin(x)  # (N, H)
        weight = self.weight * (self.contraction / self.weight.abs().sum(dim=1, keepdim=True)).clamp(max=1)

        def step(h: Tensor) -> Tensor:
            return torch.tanh(edges.mean @ (h @ weight.t()) + given)

        with torch.no_grad():
            h = self._iterate(step, torch.zeros_like(given), 1.0)
        if not given.requires_grad:
            return h
        # The backward pass goes through one more step; the hook turns its gradient into that at the fixed point.
        before = h.requires_grad_()
        h = step(before)

        def at_fixed_point(gradient: Tensor) -> Tensor:
            def adjoint(g: Tensor) -> Tensor:
                return gradient + torch.autograd.grad(again, before, g, retain_graph=True)[0]

            return self._iterate(adjoint, gradient, gradient.abs().max().item())

        again = step(before)
        h.register_hook(at_fixed_point)
        return h

    def _iterate(self, step: Callable[[Tensor], Tensor], state: Tensor, scale: float) -> Tensor:
        for number in range(1, self.max_steps + 1):
            self.num_steps, before, state = number, state, step(state)
            if (state - before).abs().max() <= self.tolerance * scale:
                break
        return state


class RecurrentGNN(GraphModel):
    """Recurrent graph network: the states of the nodes at their fixed point, and a linear layer on them."""

    def __init__(
        self, *, in_features: PositiveInt, hidden_size: PositiveInt = 32, contraction: ProperFraction = 0.9,
        tolerance: PositiveFloat = 1e-4, max_steps: PositiveInt = 100, dropout: ProperFraction = 0.5,
        readout: Readout = "sum", level: Level, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of a node.
        - `hidden_size`: H, features of the state of a node.
        - `contraction`: the factor by which a step brings two states nearer to each other, at least.
        - `tolerance`: the iteration ends when no value of a state changes by more than this.
        - `max_steps`: the iteration ends after so many steps at the latest.
        - `dropout`: share of values set to zero of the features and of the states that answer, in training.
        - `readout`: of whole graphs, the `sum`, `mean` or `max` over the nodes, or `set2set` (an LSTM with attention).
        - `level`: `node`: an answer for each node that is asked for; `graph`: one for each graph.
        - `out_features`: K, logits of an answer.
        """
        super().__init__(dropout)
        self.layers = nn.ModuleList([FixedPoint(in_features, hidden_size, contraction, tolerance, max_steps)])
        self.add_head(level, readout, hidden_size, out_features)

    def hidden(self, x: "Tensor | Sparse", edges: Edges) -> Tensor:
        return self.layers[0](self.drop(x), edges)  # (N, F) -> (N, H)
