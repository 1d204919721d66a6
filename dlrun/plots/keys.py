"""Figures of a sweep: one metric against the keys that it changed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlrun.plots.figure import COLORS, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TICKS, LEAST_GAP = 8, 0.04  # of an axis in parallel coordinates; the gap is a share of its height
LOG_FROM_RATIO = 20  # a key whose values span more than this gets a logarithmic axis


@styled
def against_key(
    key: str, values: Sequence[float], mean: Sequence[float], std: Sequence[float] | None, metric: str, mode: str
) -> "Figure":
    """The metric over one numeric key, its best value marked; bars for the deviation over seeds."""
    order = np.argsort(values)
    x, y = np.asarray(values, dtype=float)[order], np.asarray(mean)[order]
    best = int(np.argmax(y) if mode == "max" else np.argmin(y))
    figure, (ax,) = new_figure(width=6.6, height=4.4)
    if std is None:
        ax.plot(x, y, color=COLORS[0], marker="o")
    else:
        ax.errorbar(x, y, yerr=np.asarray(std)[order], color=COLORS[0], marker="o", capsize=3)
    ax.plot(x[best], y[best], "o", color=COLORS[1], markersize=9, label=f"best: {key} = {x[best]:g}, {y[best]:.4g}")
    if x[0] > 0 and x[-1] / x[0] > LOG_FROM_RATIO:
        ax.set_xscale("log")
    ax.set(xlabel=key, ylabel=metric, title=f"{metric} against {key}")
    ax.legend()
    return figure


@styled
def heat_map(
    keys: Sequence[str], columns: Sequence[str], rows: Sequence[str], values: np.ndarray, metric: str
) -> "Figure":
    """The metric (rows, columns) over two keys, `keys` = (column's, row's); nan where nothing was trained."""
    width, height = max(5.0, 1.6 + 0.85 * len(columns)), max(3.4, 1.4 + 0.55 * len(rows))
    figure, (ax,) = new_figure(width=min(width, 16), height=min(height, 12))
    image = ax.imshow(np.ma.masked_invalid(values), cmap="viridis", aspect="auto")
    ax.grid(visible=False)
    ax.set_xticks(range(len(columns)), [shorten(name, 14) for name in columns], rotation=30 if len(columns) > 6 else 0)
    ax.set_yticks(range(len(rows)), [shorten(name, 18) for name in rows])
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    if values.size <= 150:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = "black" if value > middle else "white"
                ax.text(column, row, f"{value:.4g}", ha="center", va="center", color=color, fontsize=8)
    ax.set(xlabel=keys[0], ylabel=keys[1], title=metric)
    figure.colorbar(image, ax=ax, label=metric)
    return figure


@styled
def parallel_coordinates(runs: Sequence[Mapping[str, str]], values: Sequence[float], metric: str) -> "Figure":
    """A line a run over an axis a key and one for the metric, coloured by the metric, the best on top.

    `runs` hold the keys as text; a key whose values are all numbers gets an axis to scale.
    """
    import matplotlib

    keys = list(dict.fromkeys(key for run in runs for key in run))
    figure, (ax,) = new_figure(width=min(16, 2.4 + 1.9 * len(keys)), height=5)
    places = np.column_stack([_positions([run.get(key, "") for run in runs])[0] for key in keys] + [_scaled(values)])
    colors = matplotlib.colormaps["viridis"](_scaled(values))
    for index in np.argsort(values):
        ax.plot(range(len(keys) + 1), places[index], color=colors[index], alpha=0.8)
    for position, key in enumerate(keys):
        _, ticks = _positions([run.get(key, "") for run in runs])
        ax.axvline(position, color="#BBBBBB", linewidth=0.8)
        for place, text in ticks:
            ax.annotate(shorten(text, 16), (position, place), xytext=(3, 3), textcoords="offset points", fontsize=8)
    for place, value in ((0.0, min(values)), (1.0, max(values))):
        ax.annotate(f"{value:.4g}", (len(keys), place), xytext=(4, -3), textcoords="offset points", fontsize=8)
    ax.axvline(len(keys), color="#BBBBBB", linewidth=0.8)
    ax.grid(visible=False)
    ax.set_xticks(range(len(keys) + 1), [*(shorten(key, 22) for key in keys), metric])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_xlim(-0.1, len(keys) + 0.5)
    ax.set_title(f"{len(runs)} settings, a line each, coloured by {metric}")
    return figure


def as_numbers(texts: Sequence[str]) -> list[float] | None:
    """The values of a key as numbers, or None if one of them is none."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _positions(texts: Sequence[str]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights 0..1 of a key's values on its axis, and the (height, text) of its ticks."""
    numbers = as_numbers(texts)
    if numbers is None:
        names = sorted(set(texts))
        heights = {name: index / max(1, len(names) - 1) for index, name in enumerate(names)}
        return np.array([heights[text] for text in texts]), [(heights[name], name or "-") for name in names]
    values = np.asarray(numbers)
    is_wide = values.min() > 0 and values.max() / values.min() > LOG_FROM_RATIO
    scaled = _scaled(np.log(values) if is_wide else values)
    found = {height: f"{value:.4g}" for height, value in zip(scaled.tolist(), numbers, strict=True)}
    return scaled, [(height, found[height]) for height in _apart(sorted(found))]


def _apart(heights: Sequence[float]) -> list[float]:
    """The lowest, the highest, and what lies so far from its neighbours that a text fits; only the ends of many."""
    low, high = heights[0], heights[-1]
    shown = [low]
    for height in heights[1:-1] if len(heights) <= MOST_TICKS else []:
        if min(height - shown[-1], high - height) > LEAST_GAP:
            shown.append(height)
    return list(dict.fromkeys([*shown, high]))


def _scaled(values: Sequence[float] | np.ndarray) -> np.ndarray:
    numbers = np.asarray(values, dtype=float)
    spread = np.ptp(numbers)
    return (numbers - numbers.min()) / spread if spread > 0 else np.full(len(numbers), 0.5)
