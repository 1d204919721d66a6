"""Ways down a loss over two weights."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import COLORS, WRONG, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4
LEVELS = 14
ROOM = 0.1  # around the points, as a share of the distance of the start from the lowest one


@styled
def paths(
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray], ways: Mapping[str, Any], lowest: tuple[float, float],
    names: tuple[str, str], title: str,
) -> "Figure":  # fmt: skip
    """A panel for each of `ways`, (N, 2) by what is written above it, over lines of equal loss; one step, one point.

    What goes further beyond the start and the `lowest` point than they lie apart is cut off.
    """
    columns = min(COLUMNS, len(ways))
    rows = math.ceil(len(ways) / columns)
    figure, axes = new_figure(rows, columns, width=max(3.1 * columns, 6), height=3.1 * rows + 0.5, title=title)
    points = np.concatenate([np.asarray(way) for way in ways.values()])
    ends = np.stack([points[0], np.asarray(lowest)])
    distance = float(np.abs(ends[1] - ends[0]).max()) or 1.0
    seen = np.concatenate([ends, points.clip(ends.min(axis=0) - distance, ends.max(axis=0) + distance)])
    (left, bottom), (right, top) = seen.min(axis=0) - ROOM * distance, seen.max(axis=0) + ROOM * distance
    across, up = np.meshgrid(np.linspace(left, right, 80), np.linspace(bottom, top, 80))
    height = loss(across, up)
    # At even distances of its root, the lines of a bowl lie as far from each other below as above.
    levels = np.linspace(0, math.sqrt(float(height.max())), LEVELS) ** 2
    for ax, (name, way) in zip(axes, ways.items(), strict=False):
        points = np.asarray(way)
        ax.contour(across, up, height, levels=np.unique(levels), colors="#BBBBBB", linewidths=0.7)
        ax.plot(points[:, 0], points[:, 1], color=COLORS[0], marker="o", markersize=2.6, linewidth=1.1)
        ax.plot(*lowest, marker="*", color=WRONG, markersize=11, linestyle="none")
        ax.set(xlim=(left, right), ylim=(bottom, top), xlabel=names[0], ylabel=names[1])
        ax.set_title(name, fontsize=9)
        ax.grid(visible=False)
    for ax in axes[len(ways) :]:
        ax.remove()
    return figure
