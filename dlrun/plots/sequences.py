"""What becomes of a sequence, step by step."""

from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import COLORS, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS_UP_TO = 60  # longer sequences are a line without a point a step


@styled
def step_accuracy(share: Any) -> "Figure":
    """The share (T,) of right answers at each step; nan where none is counted."""
    from matplotlib.ticker import MaxNLocator

    values = np.asarray(share)
    counted = np.flatnonzero(np.isfinite(values))
    figure, (ax,) = new_figure(width=6.5, height=4)
    marker = "o" if len(counted) <= POINTS_UP_TO else None
    ax.plot(counted + 1, values[counted], color=COLORS[0], marker=marker)
    ax.set_ylim(-0.03, 1.03)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("step")
    ax.set_ylabel("share of right answers")
    ax.set_title(f"Accuracy at each step ({len(counted)} of {len(values)} are counted)")
    return figure
