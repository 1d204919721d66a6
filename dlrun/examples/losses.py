"""From logits to a loss: softmax, and the cross-entropy of it."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.config.schema import NonNegativeInt, Number, Range, says
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step, matrix, text
from dlrun.plots import functions

MOST = 12  # classes, examples


@says(chapter="8 classes")
def softmax(
    *, logits: tuple[Number, ...] = (0.2, 0.1, -0.1), target: NonNegativeInt = 0,
    temperature: Annotated[float, Range(0.001, 1000)] = 1.0,
) -> Lesson:  # fmt: skip
    """From logits to shares that are above 0 and add up to 1, and the loss if one class is true.

    **Arguments:**

    - `logits`: what the last layer gives, a number a class.
    - `target`: the true class, counted from 0.
    - `temperature`: what the logits are divided by; below 1 the largest takes more, above 1 the shares draw level.
    """
    if not 2 <= len(logits) <= MOST:
        raise UserError(f"logits: must be two to {MOST} numbers, found {len(logits)}")
    if target >= len(logits):
        raise UserError(f"target: must be a class from 0 to {len(logits) - 1}, found {target}")
    names = [f"class {k}" for k in range(len(logits))]
    z = torch.tensor(logits)
    scaled = z / temperature
    # The largest is taken off first, as torch does it: exp(1000) is no number that a computer has.
    powers = (scaled - scaled.max()).exp()
    shares = powers / powers.sum()
    steps = [
        Step("The logits: any numbers.", "z", z, columns=names),
        Step(
            f"Divided by the temperature {text(temperature)}, the largest taken off: the shares stay the same, and no "
            "power is too large for a computer.",
            "z / T - max(z / T)",
            scaled - scaled.max(),
            columns=names,
        ),
        Step("Their powers of e: all above 0.", "exp(z / T - max)", powers, columns=names),
        Step("The sum of these.", values=powers.sum()),
        Step("Shares: above 0, and their sum is 1. F.softmax gives the same.", "exp(...) / sum", shares, columns=names),
        Step(
            f"The loss if class {target} is true: 0 for a share of 1, without end towards 0.",
            "-log share",
            -shares[target].log(),
        ),
    ]
    panels = {"logits z": {"z": z.tolist()}, f"softmax at temperature {text(temperature)}": {"share": shares.tolist()}}
    return Lesson(steps, functions.bars(panels, names, "Softmax"))


@says(chapter="8 classes")
def cross_entropy(
    *, target: tuple[NonNegativeInt, ...] = (2, 0, 1, 0),
    first: tuple[tuple[Number, ...], ...] = ((0.1, 0.2, 0.9), (1.1, 0.1, 0.2), (0.2, 2.1, 0.1), (1.2, 0.1, 0.3)),
    second: tuple[tuple[Number, ...], ...] = ((0.8, 0.2, 0.3), (0.2, 0.3, 0.5), (0.2, 0.2, 0.5), (0.1, 0.7, 0.4)),
) -> Lesson:  # fmt: skip
    """The cross-entropy of two predictions, one mostly right and one mostly wrong, example by example.

    **Arguments:**

    - `target`: the true class of each example, counted from 0.
    - `first`: logits of one prediction, a row an example.
    - `second`: logits of another one.
    """
    logits = {"first": matrix("first", first), "second": matrix("second", second)}
    for key, value in logits.items():
        if value.shape != (len(target), len(first[0])):
            raise UserError(
                f"{key}: must be {len(target)} rows, one for each target, of {len(first[0])} numbers, "
                f"found {value.shape[0]} of {value.shape[1]}"
            )
    if max(target) >= len(first[0]) or max(len(target), len(first[0])) > MOST:
        raise UserError(f"target: must be up to {MOST} classes from 0 to {len(first[0]) - 1}, found {list(target)}")
    true = torch.tensor(target)
    classes, examples = [f"class {k}" for k in range(len(first[0]))], [f"example {k}" for k in range(len(target))]
    steps = [Step("The true classes.", "y", true, columns=examples)]
    losses: dict[str, Tensor] = {}
    for key, z in logits.items():
        shares = z.softmax(dim=1)
        own = shares[torch.arange(len(target)), true]
        losses[key] = F.cross_entropy(z, true, reduction="none")
        steps += [
            Step(f"The {key} prediction: logits.", "z", z, rows=examples, columns=classes),
            Step("Softmax of each row.", "p = exp(z) / sum exp(z)", shares, rows=examples, columns=classes),
            Step("Only the share of the true class counts.", "p[y]", own, columns=examples),
            Step(
                f"The loss of each example; their mean, {losses[key].mean():.4f}, is what training minimises.",
                "-log p[y] = -z[y] + log sum exp(z), which nn.CrossEntropyLoss takes from the logits themselves",
                losses[key],
                columns=examples,
            ),
        ]
    series = {f"{key}, mean {value.mean():.4f}": value.tolist() for key, value in losses.items()}
    return Lesson(steps, functions.bars({"cross-entropy": series}, examples, "The loss of two predictions"))
