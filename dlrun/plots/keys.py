"""Figures of a sweep: one metric against the keys that it changed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import COLORS, WRONG, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TICKS, LEAST_GAP = 8, 0.04  # of an axis in parallel coordinates; the gap is a share of its height
LOG_FROM_RATIO = 20  # a key whose values span more than this gets a logarithmic axis


@styled
def against_key(
    key: str, values: Sequence[float], mean: Sequence[float], std: Sequence[float] | None, metric: str, mode: str,
    *, diverged: Sequence[bool] = (), lost: Sequence[float] = (),
) -> "Figure":  # fmt: skip
    """The metric over one numeric key, its best value marked; bars for the deviation over seeds.

    What `diverged` would leave no room for the rest: it stands as a cross at the edge, with its value, as do the values
    `lost` of the key that came to no number at all.
    """
    x, y = np.asarray(values, dtype=float), np.asarray(mean)
    is_kept = _kept(diverged, len(x))
    order = np.argsort(x)[is_kept[np.argsort(x)]]
    best = order[int(np.argmax(y[order]) if mode == "max" else np.argmin(y[order]))]
    figure, (ax,) = new_figure(width=6.6, height=4.4)
    if std is None:
        ax.plot(x[order], y[order], color=COLORS[0], marker="o")
    else:
        ax.errorbar(x[order], y[order], yerr=np.asarray(std)[order], color=COLORS[0], marker="o", capsize=3)
    ax.plot(x[best], y[best], "o", color=COLORS[1], markersize=9, label=f"best: {key} = {x[best]:g}, {y[best]:.4g}")
    crosses = [*zip(x[~is_kept], [f"{value:.2g}" for value in y[~is_kept]], strict=True), *((z, "nan") for z in lost)]
    if crosses:
        edge = 1.0 if mode == "min" else 0.0
        places = [place for place, _ in crosses]
        edges, marks = ax.get_xaxis_transform(), {"color": WRONG, "clip_on": False, "zorder": 4}
        ax.plot(places, [edge] * len(places), "X", markersize=9, transform=edges, label="diverged", **marks)
        for place, text in crosses:
            ax.annotate(
                text, (place, edge), xycoords=edges, xytext=(0, 8), textcoords="offset points", ha="center", color=WRONG
            )
    if is_wide([*x, *lost]):
        ax.set_xscale("log")
    if is_wide(y[order], 1000):
        ax.set_yscale("log")
    ax.set(xlabel=key, ylabel=metric)
    ax.set_title(f"{metric} against {key}", pad=18 if crosses and mode == "min" else None)
    ax.legend()
    return figure


@styled
def heat_map(
    keys: Sequence[str], columns: Sequence[str], rows: Sequence[str], values: np.ndarray, metric: str,
    mode: str = "max", *, diverged: np.ndarray | None = None,
) -> "Figure":  # fmt: skip
    """The metric (rows, columns) over two keys, `keys` = (column's, row's); nan where nothing was trained.

    The colours span what has not `diverged` (rows, columns).
    """
    is_kept = _kept([] if diverged is None else diverged.flat, values.size).reshape(values.shape)
    low, high = np.nanmin(values[is_kept]), np.nanmax(values[is_kept])
    width, height = max(5.0, 1.6 + 0.85 * len(columns)), max(3.4, 1.4 + 0.55 * len(rows))
    figure, (ax,) = new_figure(width=min(width, 16), height=min(height, 12))
    image = ax.imshow(np.ma.masked_invalid(values), cmap="viridis", aspect="auto", vmin=low, vmax=high)
    ax.grid(visible=False)
    ax.set_xticks(range(len(columns)), [shorten(name, 14) for name in columns], rotation=30 if len(columns) > 6 else 0)
    ax.set_yticks(range(len(rows)), [shorten(name, 18) for name in rows])
    middle = (low + high) / 2
    if values.size <= 150:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = "black" if value > middle else "white"
                text = f"{value:.4g}" if is_kept[row, column] else f"diverged\n{value:.2g}"
                ax.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    ax.set(xlabel=keys[0], ylabel=keys[1], title=metric)
    figure.colorbar(image, ax=ax, label=metric)
    return figure


@styled
def bars(labels: Sequence[str], values: Sequence[float], std: Sequence[float | None], metric: str) -> "Figure":
    """The metric of settings that are words, a bar each in the order given, with its deviation where there is one."""
    figure, (ax,) = new_figure(width=7.5, height=1.4 + 0.36 * len(labels))
    places, deviations = np.arange(len(labels)), np.array([value or 0.0 for value in std])
    ax.barh(places, values, xerr=deviations if deviations.any() else None, color=COLORS[0], capsize=3)
    named = zip(labels, values, strict=True)
    ax.set_yticks(places, [f"{shorten(label, 40)}  {value:.4g}" for label, value in named])
    ax.invert_yaxis()
    # Bars start at 0, and of what lies close together far from it only the ends would differ.
    low, high = min(values), max(values)
    if is_wide(values, 1000):
        ax.set_xscale("log")
        ax.set_xlabel(metric)
    elif low > 0 and high - low < low:
        ax.set_xlim(max(0.0, low - 0.6 * (high - low) - deviations.max()), None)
        ax.set_xlabel(f"{metric} (the axis does not start at 0)")
    else:
        ax.set_xlabel(metric)
    ax.grid(visible=False, axis="y")
    ax.set_title(f"{metric} of {len(labels)} settings")
    return figure


@styled
def parallel_coordinates(
    runs: Sequence[Mapping[str, str]], values: Sequence[float], metric: str, mode: str = "max",
    *, diverged: Sequence[bool] = (),
) -> "Figure":  # fmt: skip
    """A line a run over an axis a key and one for the metric, coloured by the metric, the best on top.

    `runs` hold the keys as text; a key whose values are all numbers gets an axis to scale. What has `diverged` is a
    broken line to the worst end of the axis.
    """
    import matplotlib

    keys = list(dict.fromkeys(key for run in runs for key in run))
    figure, (ax,) = new_figure(width=min(16, 2.4 + 1.9 * len(keys)), height=5)
    is_kept = _kept(diverged, len(values))
    kept = np.asarray(values)[is_kept]
    shown = np.where(is_kept, values, kept.min() if mode == "max" else kept.max())
    places = np.column_stack([_positions([run.get(key, "") for run in runs])[0] for key in keys] + [_scaled(shown)])
    colors = matplotlib.colormaps["viridis"](_scaled(shown))
    for index in np.argsort(shown):
        look: dict[str, Any] = {"color": colors[index]} if is_kept[index] else {"color": WRONG, "linestyle": "--"}
        ax.plot(range(len(keys) + 1), places[index], alpha=0.8, **look)
    for position, key in enumerate(keys):
        _, ticks = _positions([run.get(key, "") for run in runs])
        ax.axvline(position, color="#BBBBBB", linewidth=0.8)
        for place, text in ticks:
            ax.annotate(shorten(text, 16), (position, place), xytext=(3, 3), textcoords="offset points", fontsize=8)
    for place, value in ((0.0, kept.min()), (1.0, kept.max())):
        ax.annotate(f"{value:.4g}", (len(keys), place), xytext=(4, -3), textcoords="offset points", fontsize=8)
    ax.axvline(len(keys), color="#BBBBBB", linewidth=0.8)
    ax.grid(visible=False)
    ax.set_xticks(range(len(keys) + 1), [*(shorten(key, 22) for key in keys), metric])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_xlim(-0.1, len(keys) + 0.5)
    lost = "" if is_kept.all() else f"; {(~is_kept).sum()} diverged (broken lines)"
    ax.set_title(f"{len(runs)} settings, a line each, coloured by {metric}{lost}")
    return figure


def as_numbers(texts: Sequence[str]) -> list[float] | None:
    """The values of a key as numbers, or None if one of them is none."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def is_wide(values: Sequence[float] | np.ndarray, ratio: float = LOG_FROM_RATIO) -> bool:
    """Whether values are all positive and span more than `ratio`."""
    return min(values) > 0 and max(values) > ratio * min(values)


def _kept(diverged: Sequence[bool] | Any, count: int) -> np.ndarray:
    """Which of `count` are to be drawn to scale: those that have not diverged, or all if there are no others."""
    is_kept = ~np.fromiter(diverged, dtype=bool) if len(diverged) else np.ones(count, dtype=bool)
    return is_kept if is_kept.any() else np.ones(count, dtype=bool)


def _positions(texts: Sequence[str]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights 0..1 of a key's values on its axis, and the (height, text) of its ticks."""
    numbers = as_numbers(texts)
    if numbers is None:
        names = sorted(set(texts))
        heights = {name: index / max(1, len(names) - 1) for index, name in enumerate(names)}
        return np.array([heights[text] for text in texts]), [(heights[name], name or "-") for name in names]
    values = np.asarray(numbers)
    scaled = _scaled(np.log(values) if is_wide(values) else values)
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
