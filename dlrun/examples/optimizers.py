"""The ways of optimizers down one loss, by the step that trains every model."""

import contextlib
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from dlrun.config.schema import Number, Range, says
from dlrun.data.tables.small import Line
from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.finite import NonFiniteLoss
from dlrun.engine.loading import PartLoader
from dlrun.engine.state import State
from dlrun.engine.step import Step as TrainingStep
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step, seeded, text
from dlrun.models.linear import Linear
from dlrun.optim import OPTIMIZERS
from dlrun.plots import paths
from dlrun.tasks.regression import Regression

LOWEST = (2.0, 0.0)  # w and b of the line that the points lie on
MOST = 8


@says(chapter="4 linear regression")
def optimizers_path(
    *, optimizers: tuple[str, ...] = ("sgd", "asgd", "adagrad", "rmsprop", "adam", "adamax", "rprop", "lbfgs"),
    lr: Annotated[float, Range(0, 100, True)] = 0.1, steps: Annotated[int, Range(1, 300)] = 50,
    start: tuple[Number, Number] = (-1.0, 2.0),
) -> Lesson:  # fmt: skip
    """The way of each optimizer from one start to the line y = 2 x, at one learning rate for all.

    **Arguments:**

    - `optimizers`: names as `optimizer=` takes them, up to eight.
    - `lr`: learning rate of all of them; the other keys of each have their defaults.
    - `steps`: updates, each by the gradient of all three points.
    - `start`: w and b at the start.
    """
    if not 1 <= len(optimizers) <= MOST:
        raise UserError(f"optimizers: must be one to {MOST} names, found {len(optimizers)}")
    ways = {name: _way(name, lr, steps, start) for name in optimizers}
    shown = sorted({1, min(10, steps), steps})
    rows = [[*way[-1].tolist(), *(_loss_after(way, number) for number in shown)] for way in ways.values()]
    points = Line().load()["train"].take(torch.arange(3))
    lesson_steps = [
        Step(
            "Three points of the line y = 2 x, and a model w x + b.",
            "loss(w, b) = mean over the points of (w x + b - y)^2, lowest at w = 2, b = 0",
            torch.cat([points.inputs[0], points.target], dim=1),  # type: ignore[list-item]
            columns=("x", "y"),
        ),
        Step(
            f"All start at w = {text(start[0])}, b = {text(start[1])}, with this loss.",
            values=_losses(torch.tensor(start)),
        ),
        Step(
            f"After {steps} steps at lr = {text(lr)}. One rate is not one thing: SGD moves by lr times the gradient, "
            "Adam and its relatives by about lr whatever the gradient is, and L-BFGS iterates up to 20 times a step.",
            values=torch.tensor(rows),
            rows=list(ways),
            columns=("w", "b", *(f"loss after {number}" for number in shown)),
        ),
    ]
    titles = {f"{name}: loss {text(_loss_after(way, steps))}": way for name, way in ways.items()}
    figure = paths.paths(
        lambda w, b: _losses(torch.from_numpy(np.stack([w, b], axis=-1))).numpy(), titles, LOWEST, ("w", "b"),
        f"{steps} steps at lr = {text(lr)}; the star is the lowest loss",
    )  # fmt: skip
    return Lesson(lesson_steps, figure)


def _way(name: str, lr: float, steps: int, start: tuple[float, float]) -> Tensor:
    """w and b (N, 2) at the start and after each step; fewer than `steps` if the loss is no number any more."""
    data = Line()
    with seeded(0), torch.no_grad():
        model = Linear(in_features=1, out_features=1)
        nn.init.constant_(model.linear.weight, start[0])
        nn.init.constant_(model.linear.bias, start[1])
    facts = OPTIMIZERS.describe(name).attributes
    optimizer = OPTIMIZERS.get(name)(model.parameters(), lr=lr)
    state = State(
        model, optimizer, torch.amp.GradScaler(enabled=False), needs_closure=facts.get("needs_closure", False)
    )
    options = LoaderOptions(lambda inputs: inputs, torch.device("cpu"), batch_size=3)
    loader = PartLoader(data.load()["train"], options)
    step = TrainingStep(
        state, Regression(data.spec), loader, accumulate=1, clip_grad_norm=None, autocast=contextlib.nullcontext()
    )
    points = [_weights(model)]
    with contextlib.suppress(NonFiniteLoss):
        for epoch in range(steps):
            state.batch = 0
            for batch in loader.batches(epoch):
                step(model, batch)
            points.append(_weights(model))
    way = torch.stack(points)
    return way[way.isfinite().all(dim=1)]


def _weights(model: Linear) -> Tensor:
    return torch.cat([model.linear.weight.detach().flatten(), model.linear.bias.detach()])


def _losses(weights: Tensor) -> Tensor:
    """The loss of w and b (..., 2) on the three points."""
    points = Line().load()["train"].take(torch.arange(3))
    x, y = points.inputs[0].flatten(), points.target.flatten()  # type: ignore[union-attr]
    return (weights[..., :1] * x + weights[..., 1:] - y).square().mean(dim=-1)


def _loss_after(way: Tensor, steps: int) -> float:
    return float(_losses(way[min(steps, len(way) - 1)]))
