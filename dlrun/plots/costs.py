"""How good something is against what it costs."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlrun.plots.figure import COLORS, MUTED, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 6.4, 4.8  # of a panel, inches
INNER = (400.0, 270.0)  # of its axes, points, about: labels are placed before the figure is laid out
MARGIN = 0.08  # of an axis, at both ends
NAME_LENGTH = 22
MOST_LABELLED = 300  # the ratio between the ends of an axis up to which more than powers of ten are named
LETTER, LINE = 4.5, 8.5  # width and height of a label's letters, points
# Where a label may stand, (right, up) in its sizes from the point and how far away: beside, above and below, farther.
PLACES = [
    *((0.5, 0.0, 6), (-0.5, 0.0, 6), (0.0, 0.5, 4), (0.0, -0.5, 4)),
    *((right, up, far) for far in (3, 7, 18, 30) for up in (0.5, -0.5) for right in (0.5, -0.5)),
    *((0.0, 0.5, 20), (0.0, -0.5, 20), (0.5, 0.0, 26), (-0.5, 0.0, 26)),
]
FAR = 40  # from a point, points: such a label is joined to it by a line

Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True)
class Panel:
    """Named things of one kind: their `values` by `metric`, `mode` max or min, and what they cost, by what is counted.

    All lists are as long as `names`.
    """

    title: str
    metric: str
    mode: str
    names: Sequence[str]
    values: Sequence[float]
    costs: Mapping[str, Sequence[float]]


@styled
def against_costs(panels: Sequence[Panel]) -> "Figure":
    """A row for each panel, a column for each cost: a point a name. What nothing beats is in colour, along a line."""
    costs = list(dict.fromkeys(cost for panel in panels for cost in panel.costs))
    figure, axes = new_figure(len(panels), len(costs), width=WIDTH * len(costs), height=HEIGHT * len(panels))
    for place, ax in enumerate(axes):
        panel, cost = panels[place // len(costs)], costs[place % len(costs)]
        if cost in panel.costs:
            _draw(ax, panel, cost)
        else:
            ax.remove()
    return figure


def front(costs: Sequence[float], values: Sequence[float], mode: str) -> list[int]:
    """The points that nothing beats, cheapest first: no other is as good for as little, and better or cheaper."""
    sign = -1 if mode == "max" else 1
    best, kept = math.inf, []
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], sign * values[i])):
        if sign * values[index] < best:
            best = sign * values[index]
            kept.append(index)
    return kept


def _draw(ax: "Axes", panel: Panel, cost: str) -> None:
    x, y = panel.costs[cost], panel.values
    best = front(x, y, panel.mode)
    others = [index for index in range(len(x)) if index not in best]
    ax.plot([x[i] for i in others], [y[i] for i in others], "o", color=MUTED, alpha=0.7)
    # Up to the next point of it nothing better is to be had.
    ax.step([x[i] for i in best], [y[i] for i in best], where="post", color=COLORS[0], linewidth=1)
    ax.plot([x[i] for i in best], [y[i] for i in best], "o", color=COLORS[0], markersize=6)
    is_log = min(x) > 0
    if is_log:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(_tick)
        ax.xaxis.set_minor_formatter(_tick if max(x) < MOST_LABELLED * min(x) else "")
    across = [math.log10(value) if is_log else value for value in x]
    (left, right), (low, high) = _ends(across), _ends(y)
    ax.set_xlim(*(10**end if is_log else end for end in (left, right)))
    ax.set_ylim(low, high)
    sizes = zip(across, y, strict=True)
    points = [((u - left) / (right - left) * INNER[0], (v - low) / (high - low) * INNER[1]) for u, v in sizes]
    steps = [points[index] for index in best]
    lines = [(u, v - 1, w, v + 1) for (u, v), (w, _) in itertools.pairwise(steps)]
    lines += [(w - 1, v, w + 1, z) for (_, v), (w, z) in itertools.pairwise(steps)]
    for index, (dx, dy) in _places(points, panel.names, [*best, *others], lines).items():
        line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
        ax.annotate(
            shorten(panel.names[index], NAME_LENGTH), (x[index], y[index]), xytext=(dx, dy), fontsize=8,
            color=COLORS[0] if index in best else MUTED, textcoords="offset points", ha="center", va="center",
            arrowprops=line if max(abs(dx), abs(dy)) > FAR else None,
        )  # fmt: skip
    about = f"{panel.metric} against {cost}"
    ax.set(xlabel=cost, ylabel=panel.metric, title=f"{panel.title}: {about}" if panel.title else about)


def _tick(value: float, place: float = 0) -> str:
    """`0.5`, `20`, `10k`, `2M` for 1, 2 and 5 of each power of ten, nothing between."""
    if f"{value:.0e}"[0] not in "125":
        return ""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis with room for points at its edge."""
    low, high = min(values), max(values)
    margin = MARGIN * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def _places(
    points: Sequence[tuple[float, float]], names: Sequence[str], order: Sequence[int], lines: Sequence[Box]
) -> dict[int, tuple[float, float]]:
    """How far the middle of each label stands from its point, in points: where it hides least, in their `order`."""
    taken: list[Box] = [*((x - 3, y - 3, x + 3, y + 3) for x, y in points), *lines]
    found = {}
    for index in order:
        width, (x, y) = LETTER * len(shorten(names[index], NAME_LENGTH)), points[index]
        choices = []
        for right, up, far in PLACES:
            dx, dy = _away(right, width, far), _away(up, LINE, far)
            box = (x + dx - width / 2, y + dy - LINE / 2, x + dx + width / 2, y + dy + LINE / 2)
            hidden = sum(_overlap(box, other) for place, other in enumerate(taken) if place != index)
            inside = _overlap(box, (0, 0, *INNER))
            choices.append((hidden + 2 * (width * LINE - inside) + 0.2 * far, (dx, dy), box))
        _, found[index], box = min(choices, key=lambda choice: choice[0])
        taken.append(box)
    return found


def _away(share: float, size: float, far: float) -> float:
    """`far` and a share of a size, in its direction; 0 stays 0."""
    return share * size + math.copysign(far, share) if share else 0.0


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
