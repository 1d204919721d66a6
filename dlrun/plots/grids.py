"""Matrices as cells with their numbers, side by side: what goes in, and what comes out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import COLORS, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 0.56  # inches a side
LETTER, LARGE_LETTER = 0.075, 0.105  # inches, of the head of a panel and of the whole figure
TITLE, ABOVE, BELOW = 0.35, 0.3, 0.3  # inches, over the figure, over a panel and under it
GAP = 0.4  # inches
MOST_IN_ROW = 4
NUMBERS_UP_TO = 400  # cells of a panel
PALE = 1.7  # the strongest colour is that much weaker than it could be: black numbers can be read on it


@dataclass(frozen=True)
class Grid:
    """One panel.

    - `values` (R, C).
    - `windows`: (row, column, height, width) of cells that get a frame, each in a colour of its own.
    - `is_faint` (R, C): cells without a colour and with a grey number, such as zeros that were put around an image.
    - `rows`, `columns`: names along the sides.
    """

    title: str
    values: Any
    windows: Sequence[tuple[int, int, int, int]] = ()
    is_faint: Any = None
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()


@styled
def grids(panels: Sequence[Grid], title: str) -> "Figure":
    """The panels, all in the same size of cells: white is 0, red above, blue below, up to its own largest value."""
    rows = math.ceil(len(panels) / MOST_IN_ROW)
    columns = math.ceil(len(panels) / rows)
    shapes = [np.asarray(panel.values).shape for panel in panels]
    needed = [_width(panel, shape[1]) for panel, shape in zip(panels, shapes, strict=True)]
    widths = [max(needed[column::columns]) for column in range(columns)]
    heights = [CELL * max(shape[0] for shape in shapes[row * columns : (row + 1) * columns]) for row in range(rows)]
    width = max(sum(widths) + GAP * (columns + 1), LARGE_LETTER * len(title), 4.5)
    height = TITLE + sum(heights) + (ABOVE + BELOW) * rows
    figure, axes = new_figure(rows, columns, width=width, height=height, title=title)
    spare = (width - sum(widths) - GAP * (columns + 1)) / 2
    for place, (ax, panel, shape) in enumerate(zip(axes, panels, shapes, strict=False)):
        row, column = divmod(place, columns)
        names = _name_width(panel)
        # In the middle of its place; by inches, since a layout would give each panel cells of its own size.
        left = spare + sum(widths[:column]) + GAP * (column + 1) + names
        left += (widths[column] - names - shape[1] * CELL) / 2
        above = TITLE + sum(heights[:row]) + (ABOVE + BELOW) * row + ABOVE + (heights[row] - shape[0] * CELL) / 2
        bottom = height - above - shape[0] * CELL
        ax.set_position((left / width, bottom / height, shape[1] * CELL / width, shape[0] * CELL / height))
        _show(ax, panel)
    for ax in axes[len(panels) :]:
        ax.remove()
    return figure


def _width(panel: Grid, columns: int) -> float:
    return max(columns * CELL, LETTER * len(panel.title)) + _name_width(panel)


def _name_width(panel: Grid) -> float:
    return LETTER * max(map(len, panel.rows), default=0)


def _show(ax: "Axes", panel: Grid) -> None:
    from matplotlib.patches import Rectangle

    values = np.asarray(panel.values, dtype=float)
    top = PALE * (float(np.abs(values).max(initial=0)) or 1.0)
    is_faint = np.zeros(values.shape, dtype=bool) if panel.is_faint is None else np.asarray(panel.is_faint)
    ax.imshow(np.where(is_faint, 0, values), cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest")
    ax.set_title(panel.title, fontsize=9)
    height, width = values.shape
    ax.set_xticks(range(len(panel.columns)), panel.columns, fontsize=8)
    ax.set_yticks(range(len(panel.rows)), panel.rows, fontsize=8)
    ax.set_xticks(np.arange(width + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(height + 1) - 0.5, minor=True)
    ax.tick_params(which="both", length=0)
    ax.grid(which="major", visible=False)
    ax.grid(which="minor", color="white", linewidth=1.2)
    ax.spines[:].set_visible(False)
    texts = _texts(values)
    size = 9 if max(map(len, texts.flat), default=0) <= 5 else 7
    if values.size <= NUMBERS_UP_TO:
        for (row, column), text in np.ndenumerate(texts):
            color = "#AAAAAA" if is_faint[row, column] else "black"
            ax.text(column, row, text, ha="center", va="center", color=color, fontsize=size)
    for number, (row, column, rows, columns) in enumerate(panel.windows):
        color = COLORS[number % len(COLORS)]
        inset = 0.06 * (number % 3)  # frames that share an edge stay apart
        corner, sides = (column - 0.5 + inset, row - 0.5 + inset), (columns - 2 * inset, rows - 2 * inset)
        ax.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=color, linewidth=2.2, zorder=3, clip_on=False))


def _texts(values: np.ndarray) -> np.ndarray:
    """What stands in the cells: whole numbers as they are, others with two decimals."""
    is_whole = bool(np.all(values == np.round(values)))
    texts = [_short(value, is_whole) for value in values.flat]
    return np.array(texts, dtype=object).reshape(values.shape)


def _short(value: float, is_whole: bool) -> str:
    if abs(value) >= 10000:
        return f"{value:.2g}"
    return f"{value:.0f}" if is_whole else f"{value:.2f}".replace("-0.00", "0.00")
