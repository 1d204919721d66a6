"""Activation functions and their slopes."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.config.schema import Number, says
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step
from dlrun.plots import functions

FORMULAS = {
    "sigmoid": "1 / (1 + exp(-x))",
    "tanh": "(exp(x) - exp(-x)) / (exp(x) + exp(-x))",
    "relu": "max(0, x)",
    "leaky_relu": "x above 0, 0.01 x below",
    "elu": "x above 0, exp(x) - 1 below",
    "gelu": "x times the share of a standard normal distribution below x",
    "silu": "x sigmoid(x)",
    "softplus": "log(1 + exp(x))",
}
MOST = 12  # values of x


@says(chapter="6 hidden layers")
def activations(
    *, names: tuple[
        Literal["sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"], ...
    ] = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"),
    x: tuple[Number, ...] = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0),
) -> Lesson:  # fmt: skip
    """What activation functions make of a number, and the slope that its gradient is multiplied by on the way back.

    **Arguments:**

    - `names`: functions, as `model.activation=` of an MLP takes them.
    - `x`: numbers that they are applied to, up to twelve.
    """
    chosen: list[str] = list(dict.fromkeys(names))
    if not chosen:
        raise UserError(f"names: must hold one of {', '.join(FORMULAS)}")
    if not 1 <= len(x) <= MOST:
        raise UserError(f"x: must be one to {MOST} numbers, found {len(x)}")
    values, slopes = _applied(chosen, torch.tensor(x))
    columns = [f"x = {value:g}" for value in x]
    steps = [
        Step("The functions.", values=[[name, FORMULAS[name]] for name in chosen], columns=("f", "f(x)")),
        Step("Their values.", "f(x)", values, rows=chosen, columns=columns),
        Step(
            "Their slopes. Through many layers they multiply: sigmoid's is never above 0.25, so the gradient fades; "
            "relu's is 1 or 0.",
            "f'(x)",
            slopes,
            rows=chosen,
            columns=columns,
        ),
    ]
    line = torch.linspace(-5, 5, 401)
    curves, rises = (dict(zip(chosen, drawn, strict=True)) for drawn in _applied(chosen, line))
    return Lesson(steps, functions.with_slopes(line, curves, rises, "Activation functions and their slopes"))


def _applied(names: list[str], x: Tensor) -> tuple[Tensor, Tensor]:
    """Values and slopes (functions, N) of each function at x (N,)."""
    leaf = x.clone().requires_grad_()
    values = [getattr(F, name)(leaf) for name in names]
    slopes = [torch.autograd.grad(value.sum(), leaf)[0] for value in values]
    return torch.stack(values).detach(), torch.stack(slopes)
