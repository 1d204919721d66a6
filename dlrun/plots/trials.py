"""The figure of a search: how good its trials were, one after the other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlrun.plots.figure import COLORS, MUTED, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def over_trials(trials: Sequence[tuple[int, float, str]], metric: str, mode: str) -> "Figure":
    """The metric of (number, value, state) trials, the best so far as a line; only trials that are done count for it.

    A trial that did not come to its end stands with the last that it measured.
    """
    figure, (ax,) = new_figure(width=7.2, height=4.4)
    for name, label, marker, color in (("done", "done", "o", COLORS[0]), ("pruned", "pruned", "x", MUTED)):
        points = [(number, value) for number, value, state in trials if state == name]
        if points:
            ax.plot(*zip(*points, strict=True), marker, color=color, label=f"{len(points)} {label}")
    others = [(number, value) for number, value, state in trials if state not in ("done", "pruned")]
    if others:
        ax.plot(*zip(*others, strict=True), "^", color=COLORS[3], label=f"{len(others)} failed or not at their end")
    done = [(number, value) for number, value, state in trials if state == "done"]
    if done:
        numbers, values = np.array([number for number, _ in done]), np.array([value for _, value in done])
        best = np.maximum.accumulate(values) if mode == "max" else np.minimum.accumulate(values)
        index = int(np.argmax(values) if mode == "max" else np.argmin(values))
        last = max(number for number, *_ in trials)
        ax.step([*numbers, last], [*best, best[-1]], where="post", color=COLORS[1], label="best so far")
        found = f"best: trial {numbers[index]}, {values[index]:.4g}"
        ax.plot(numbers[index], values[index], "*", color=COLORS[1], markersize=12, label=found)
    ax.locator_params(axis="x", integer=True)
    ax.set(xlabel="trial", ylabel=metric, title=f"{metric} of {len(trials)} trials")
    ax.legend()
    return figure
