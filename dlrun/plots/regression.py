"""Figures of a regression: how near the guesses are, and what is left over."""

from typing import TYPE_CHECKING

import numpy as np

from dlrun.plots.figure import COLORS, MUTED, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAME = 1e-5  # of the larger one: what the labels of an axis do not tell apart


@styled
def predicted_against_true(true: np.ndarray, predicted: np.ndarray, name: str) -> "Figure":
    """A point an example (N,): on the diagonal where the guess is right."""
    figure, (ax,) = new_figure(width=5.6, height=5.4)
    ends = _limits(np.concatenate([true, predicted]))
    ax.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1, label="predicted = true")
    ax.scatter(true, predicted, s=18, alpha=0.7, color=COLORS[0], edgecolors="none")
    ax.set(xlim=ends, ylim=ends, xlabel=f"true {name}", ylabel=f"predicted {name}", aspect="equal")
    ax.set_title(f"Predicted against true: {len(true)} examples")
    ax.legend(loc="upper left")
    return figure


@styled
def residuals(true: np.ndarray, predicted: np.ndarray, name: str) -> "Figure":
    """True minus predicted (N,), over the prediction and as a histogram: both without a pattern if all is learned."""
    rest = true - predicted
    figure, (left, right) = new_figure(1, 2, width=9.6, height=4)
    left.axhline(0, color=MUTED, linewidth=1, linestyle="--")
    left.scatter(predicted, rest, s=18, alpha=0.7, color=COLORS[0], edgecolors="none")
    left.set(xlabel=f"predicted {name}", ylabel="true - predicted", title="Residuals over the prediction")
    left.set_xlim(_limits(predicted))
    left.locator_params(axis="x", nbins=6)
    right.hist(rest, bins=min(40, max(5, len(rest) // 8)), color=COLORS[0])
    right.axvline(rest.mean(), color=COLORS[1], linestyle="--", label=f"mean {rest.mean():.3g}")
    right.set(xlabel="true - predicted", ylabel="examples", title="How often which residual")
    right.legend()
    return figure


@styled
def fitted_curve(
    x: np.ndarray, true: np.ndarray, grid: np.ndarray, line: np.ndarray, feature: str, name: str
) -> "Figure":
    """The points (N,) and what the model says over the grid (M,) of its one feature."""
    figure, (ax,) = new_figure(width=6.4, height=4.4)
    ax.plot(grid, line, color=COLORS[1], label="model")
    ax.scatter(x, true, s=26, color=COLORS[0], zorder=3, label="data")
    ax.set(xlabel=feature, ylabel=name, title=f"{name} over {feature}")
    ax.legend()
    return figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    """An axis for `values`; those that are nearly one stand in the middle, since their digits would not fit below."""
    low, high = float(values.min()), float(values.max())
    largest = max(abs(low), abs(high))
    margin = 0.05 * (high - low if high - low > SAME * largest else largest or 1.0)
    return low - margin, high + margin
