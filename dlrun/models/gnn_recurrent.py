"""The first graph neural network: the states of all nodes are iterated until they no longer change.

Scarselli et al., "The graph neural network model", 2009. The gradient at the fixed point is found by another iteration
(Almeida 1987, Pineda 1987), so that no step needs to be kept.

Departures: the paper punishes a step that does not contract; here the weights are scaled so that it does.

Letters: N nodes, H hidden features.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from dlrun.models.edges import Edges
from dlrun.models.graph import GraphModel
from dlrun.models.sparse import Linear, Sparse
from dlrun.schema import PositiveFloat, PositiveInt, ProperFraction


class FixedPoint(nn.Module):
    """The state with `h = tanh(mean(h_j) W^T + x U^T + b)`: that of every node agrees with its neighbours'.

    Each row of W is scaled to a sum of absolute values of at most `contraction` < 1. Two states are then nearer to each
    other after a step, by that factor in their largest difference, so there is exactly one such state. The iteration
    ends when no value changes by more than `tolerance`, at the latest after `max_steps`; so does that of the gradient,
    in which `tolerance` is relative to its largest value. `num_steps` is what the last one took.
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
        # One more step, through which the gradient goes; what it is at the fixed point, the hook finds.
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
    """States at a fixed point, and a linear layer that answers from them."""

    accepts: tuple = ("graph",)

    def __init__(
        self,
        *,
        in_features: PositiveInt,
        hidden_size: PositiveInt = 32,
        contraction: ProperFraction = 0.9,
        tolerance: PositiveFloat = 1e-4,
        max_steps: PositiveInt = 100,
        dropout: ProperFraction = 0.5,
        readout: Literal["sum", "mean", "max", "set2set"] = "sum",
        level: Literal["node", "graph"],
        out_features: PositiveInt,
    ):
        super().__init__(
            lambda size, next_size, _: FixedPoint(size, next_size, contraction, tolerance, max_steps),
            in_features=in_features,
            hidden_size=hidden_size,
            num_layers=1,
            dropout=dropout,
            readout=readout,
            level=level,
            out_features=out_features,
            activation=nn.Identity(),
            head=True,
        )
