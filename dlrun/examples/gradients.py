"""Backpropagation through y' = w x, by hand and by autograd."""

import torch

from dlrun.config.schema import Fraction, Number, says
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step, text
from dlrun.plots import diagrams
from dlrun.plots.diagrams import INPUT, OUTPUT, Box

MOST = 12  # points


@says(chapter="3 backpropagation")
def backprop(
    *, weight: Number = 1.0, lr: Fraction = 0.01, x: tuple[Number, ...] = (1.0, 2.0, 3.0),
    y: tuple[Number, ...] = (2.0, 4.0, 6.0),
) -> Lesson:  # fmt: skip
    """The gradient of the loss (w x - y)^2, by the chain rule from the loss back to w, and the first steps down.

    **Arguments:**

    - `weight`: w at the start.
    - `lr`: learning rate, the share of the gradient that w moves by.
    - `x`: inputs of the points, one number each; one point a step.
    - `y`: what w x should be for each of them.
    """
    if len(x) != len(y) or not 1 <= len(x) <= MOST:
        raise UserError(f"x: must hold one to {MOST} numbers, as many as y, found {len(x)} and {len(y)}")
    prediction = weight * x[0]
    error = prediction - y[0]
    loss = error**2
    to_error, to_weight, to_input = 2 * error, 2 * error * x[0], 2 * error * weight

    rows, w = [], weight
    for x_i, y_i in zip(x, y, strict=True):
        r = w * x_i - y_i
        gradient = 2 * r * x_i
        rows.append([w, x_i, y_i, w * x_i, r**2, gradient, w - lr * gradient])
        w -= lr * gradient

    leaf = torch.tensor(weight, requires_grad=True)
    (by_autograd,) = torch.autograd.grad((leaf * x[0] - y[0]) ** 2, leaf)
    steps = [
        Step(
            "Forward: from w and the first point to the loss, and every value on the way is kept.",
            "y' = w x,  r = y' - y,  loss = r^2",
            torch.tensor([[weight, x[0], prediction, y[0], error, loss]]),
            columns=("w", "x", "y'", "y", "r", "loss"),
        ),
        Step(
            "Backward: each operation hands on the gradient that reaches it times its own derivative. x gets one too: "
            "in a deeper network it is the output of the layer before.",
            "dloss/dr = 2 r,  dloss/dy' = dloss/dr * 1,  dloss/dw = dloss/dy' * x,  dloss/dx = dloss/dy' * w",
            torch.tensor([[to_error, to_error, to_weight, to_input]]),
            columns=("dloss/dr", "dloss/dy'", "dloss/dw", "dloss/dx"),
        ),
        Step("PyTorch's autograd walks back through the same operations: dloss/dw.", values=by_autograd),
        Step(
            f"Stochastic gradient descent: after each point w moves against its gradient, at the rate {text(lr)}.",
            "w <- w - lr * dloss/dw",
            torch.tensor(rows),
            columns=("w", "x", "y", "y'", "loss", "dloss/dw", "next w"),
        ),
    ]
    boxes = {
        "w": Box(f"w = {text(weight)}\ndloss/dw = {text(to_weight)}", 0, 0, INPUT),
        "x": Box(f"x = {text(x[0])}\ndloss/dx = {text(to_input)}", 0, 1, INPUT),
        "product": Box(f"y' = w x = {text(prediction)}\ndloss/dy' = {text(to_error)}", 1, 0.5),
        "y": Box(f"y = {text(y[0])}", 1, 1.5, INPUT),
        "error": Box(f"r = y' - y = {text(error)}\ndloss/dr = {text(to_error)}", 2, 0.5),
        "loss": Box(f"loss = r^2 = {text(loss)}", 3, 0.5, OUTPUT),
    }
    arrows = [("w", "product"), ("x", "product"), ("product", "error"), ("y", "error"), ("error", "loss")]
    title = "Values go from left to right, gradients of the loss come back from right to left"
    return Lesson(steps, diagrams.diagram(boxes, arrows, title))
