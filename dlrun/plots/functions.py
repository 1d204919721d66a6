"""Functions of one number, and a few numbers as bars."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import COLORS, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LETTER = 0.085  # inches
LINE_STYLES = ("-", "--", ":")  # of as many curves as there are colours


@styled
def with_slopes(x: Any, values: Mapping[str, Any], slopes: Mapping[str, Any], title: str) -> "Figure":
    """Functions of `x` (N,) by name, and beside them their derivatives, (N,) each."""
    figure, axes = new_figure(1, 2, width=11.5, height=4.4, title=title)
    for ax, curves, name in zip(axes, (values, slopes), ("f(x)", "f'(x)"), strict=True):
        for number, (label, y) in enumerate(curves.items()):
            style = LINE_STYLES[number // len(COLORS) % len(LINE_STYLES)]
            ax.plot(np.asarray(x), np.asarray(y), label=label, color=COLORS[number % len(COLORS)], linestyle=style)
        ax.set(xlabel="x", ylabel=name)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(values))
    return figure


@styled
def bars(panels: Mapping[str, Mapping[str, Sequence[float]]], names: Sequence[str], title: str) -> "Figure":
    """A panel for each of `panels`, in it a bar for each of `names` (N,) and each of its series (N,)."""
    widest = max(len(series) for series in panels.values())
    each = max(len(names) * max(0.6 * widest, LETTER * max(map(len, names))), 1.4 * LETTER * max(map(len, panels)))
    width = max(len(panels) * each + 1, 0.1 * len(title), 5)
    figure, axes = new_figure(1, len(panels), width=width, height=3.8, title=title)
    for ax, (label, series) in zip(axes, panels.items(), strict=True):
        share = 0.8 / len(series)
        for number, (name, values) in enumerate(series.items()):
            places = np.arange(len(names)) + (number - (len(series) - 1) / 2) * share
            drawn = ax.bar(places, values, share, label=name, color=COLORS[number % len(COLORS)])
            ax.bar_label(drawn, fmt="%.4f", fontsize=8, padding=2)
        ax.set_xticks(range(len(names)), names, fontsize=8)
        ax.set_title(label)
        ax.margins(y=0.15)
        ax.axhline(0, color="black", linewidth=0.8)
    if widest > 1:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=widest)
    return figure
