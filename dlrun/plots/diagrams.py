"""Boxes and arrows: how a value comes out of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlrun.plots.figure import COLORS, MUTED, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INPUT, INNER, OUTPUT = COLORS[2], COLORS[0], COLORS[1]
LETTER = 0.085  # inches
LINE = 0.19  # inches
MARGIN = 0.25  # inches, around a text and between boxes


@dataclass(frozen=True)
class Box:
    """A text at a place of a grid: `column` from the left, `row` from the top; either may lie between two."""

    text: str
    column: float
    row: float
    color: str = INNER


@styled
def diagram(
    boxes: Mapping[str, Box], arrows: Sequence[tuple[str, str]], title: str, *, elbows: bool = False
) -> "Figure":
    """`boxes` by name, and arrows from one to another; all boxes are as large as the largest text.

    With `elbows` an arrow between two rows and columns turns once: it touches the side of the box nearer to the middle.
    """
    from matplotlib.patches import FancyBboxPatch

    lines = [box.text.splitlines() for box in boxes.values()]
    width = max(len(line) for text in lines for line in text) * LETTER + MARGIN
    height = max(map(len, lines)) * LINE + MARGIN
    step_x, step_y = width + 2 * MARGIN, height + 2 * MARGIN
    last_column = max(box.column for box in boxes.values())
    last_row = max(box.row for box in boxes.values())
    full = (last_column * step_x + width + 2 * MARGIN, last_row * step_y + height + 2 * MARGIN)
    figure, (ax,) = new_figure(
        width=max(full[0] + 0.3, 0.1 * len(title), 4.5), height=max(full[1] + 0.6, 2.2), title=title
    )
    middles = {name: (box.column * step_x, box.row * step_y) for name, box in boxes.items()}
    for name, box in boxes.items():
        x, y = middles[name]
        corner, style = (x - width / 2, y - height / 2), f"round,pad=0,rounding_size={MARGIN / 3}"
        ax.add_patch(
            FancyBboxPatch(corner, width, height, boxstyle=style, facecolor="white", edgecolor=box.color, linewidth=1.6)
        )
        ax.text(x, y, box.text, ha="center", va="center", fontsize=9)
    middle = last_column * step_x / 2
    for start, end in arrows:
        (x1, y1), (x2, y2) = middles[start], middles[end]
        right, down = (1 if x2 > x1 else -1), (1 if y2 > y1 else -1)
        tail, head, turn = (x1, y1 + down * height / 2), (x2, y2 - down * height / 2), "arc3"
        if abs(x2 - x1) > width:
            sides = (x1 + right * width / 2, y1), (x2 - right * width / 2, y2)
            if not elbows:
                tail, head = sides
            elif abs(x1 - middle) < abs(x2 - middle):
                tail, turn = sides[0], "angle,angleA=0,angleB=90"
            else:
                head, turn = sides[1], "angle,angleA=90,angleB=0"
        style = {"arrowstyle": "-|>", "color": MUTED, "shrinkA": 0, "shrinkB": 0, "connectionstyle": turn}
        ax.annotate("", head, tail, arrowprops=style)
    ax.set(
        xlim=(-width / 2 - MARGIN, last_column * step_x + width / 2 + MARGIN),
        ylim=(last_row * step_y + height / 2 + MARGIN, -height / 2 - MARGIN), aspect="equal",
    )  # fmt: skip
    ax.set_axis_off()
    return figure
