"""Curves over epochs: of one run, and of many runs on top of each other."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from dlrun.plots.figure import COLORS, MUTED, WRONG, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
POINTS_UP_TO = 40  # longer curves are drawn without a point an epoch
LEGEND_INSIDE_UP_TO = 6  # curves
LEGEND_INSIDE_LENGTH = 45  # characters of the longest label
LABEL_LENGTH = 90
LOG_FROM_RATIO = 1000  # of the highest value to the lowest
PARTS = ("train", "val", "test")


@styled
def learning_curves(
    history: Sequence[Mapping[str, Any]], *, best_epoch: int | None = None, diverged: bool = False
) -> "Figure":
    """Loss and every other metric over the epochs, a panel each, training and validation together.

    A row of `history` is an epoch: `epoch` and values such as `train/loss`, `val/accuracy`; a value
    may be missing, `None` or not finite, and is then left out. `best_epoch` is the epoch whose
    weights were kept. Where one value leaves no room for the rest, the axis is logarithmic.
    """
    names = dict.fromkeys(key.partition("/")[2] for row in history for key in row if key.partition("/")[0] in PARTS)
    metrics = sorted(names, key=lambda name: name != "loss") or ["loss"]
    columns = min(3, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure, axes = new_figure(rows, columns, width=5 * columns, height=3.8 * rows)
    for ax, metric in zip(axes, metrics, strict=False):
        values: list[float] = []
        for part, color in zip(PARTS, COLORS, strict=False):
            points = _points(history, f"{part}/{metric}")
            if points:
                values += [value for _, value in points]
                _curve(ax, *zip(*points, strict=True), label=_with_value(part, points, best_epoch), color=color)
        _finish(ax, metric, best_epoch)
        _make_room(ax, values)
    if diverged:
        figure.suptitle("training diverged", color=WRONG)
    for ax in axes[len(metrics) :]:
        ax.remove()
    return figure


@styled
def overlaid_curves(curves: Mapping[str, Mapping[str, Any]], metric: str, title: str) -> "Figure":
    """One metric of several runs; the legend is in the order of the last values, highest first.

    A curve is `{"epochs": [...], "mean": [...], "std": [...] or None}`, each list as long as
    `epochs`; `std` is drawn as a band around the mean. Where `diverged` is true, it leaves the picture that the others
    fill.
    """
    labels = sorted(curves, key=lambda label: _last(curves[label]["mean"]), reverse=True)
    texts = [
        f"{_last(curves[label]['mean']):#.4g}  {shorten(label, LABEL_LENGTH)}"
        + ("  (diverged)" if curves[label].get("diverged") else "")
        for label in labels
    ]
    outside = len(labels) > LEGEND_INSIDE_UP_TO or max(map(len, texts), default=0) > LEGEND_INSIDE_LENGTH
    legend_width = 1 + 0.078 * max(map(len, texts), default=0) if outside else 0
    figure, (ax,) = new_figure(width=7 + legend_width, height=max(4.5, 0.21 * len(labels) + 0.8))
    looks = cycle([(color, style) for style in LINE_STYLES for color in COLORS])
    for label, text, (color, style) in zip(labels, texts, looks, strict=False):
        curve = curves[label]
        epochs, mean, std = curve["epochs"], curve["mean"], curve["std"]
        _curve(ax, epochs, mean, label=text, color=color, linestyle=style)
        if std is not None:
            low, high = zip(*[(m - s, m + s) for m, s in zip(mean, std, strict=True)], strict=True)
            ax.fill_between(epochs, low, high, color=color, alpha=0.12, linewidth=0)
    _finish(ax, metric, None)
    kept = [curve for curve in curves.values() if not curve.get("diverged")] or list(curves.values())
    values = [value for curve in kept for value in curve["mean"]]
    if min(values, default=0) > 0 and max(values) > LOG_FROM_RATIO * min(values):
        # Curves that end within a thousandth of the highest would all lie on the axis.
        ax.set_yscale("log")
    if len(kept) < len(curves):
        ax.set_ylim(*_frame(values, ax.get_yscale() == "log"))
    ax.set_title(title)
    place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)} if outside else {}
    ax.legend(title="last value", alignment="left", handlelength=3.5, **place)
    return figure


def _points(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    values = [(row["epoch"], row.get(key)) for row in history]
    return [(epoch, value) for epoch, value in values if value is not None and math.isfinite(value)]


def _with_value(part: str, points: list[tuple[int, float]], best_epoch: int | None) -> str:
    best = dict(points).get(best_epoch) if best_epoch is not None else None
    return part if best is None else f"{part} ({best:.4g} at best epoch)"


def _curve(ax: "Axes", epochs: Sequence[float], values: Sequence[float], **look: Any) -> None:
    ax.plot(epochs, values, marker="o" if len(epochs) <= POINTS_UP_TO else None, **look)


def _frame(values: Sequence[float], is_log: bool) -> tuple[float, float]:
    """The ends of an axis that values fill but for a tenth."""
    low, high = min(values), max(values)
    if is_log:
        return low / 1.5, high * 1.5
    margin = 0.1 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def _make_room(ax: "Axes", values: Sequence[float]) -> None:
    """A logarithmic axis where most values would lie on it."""
    sizes = sorted(map(abs, values))
    if not sizes or sizes[-1] <= LOG_FROM_RATIO * max(1.0, sizes[(len(sizes) - 1) // 2]):
        return
    if min(values) > 0:
        ax.set_yscale("log")
    else:
        ax.set_yscale("symlog", linthresh=1.0)


def _finish(ax: "Axes", metric: str, best_epoch: int | None) -> None:
    from matplotlib.ticker import MaxNLocator

    if best_epoch is not None:
        ax.axvline(best_epoch, color=MUTED, linestyle="--", linewidth=1, label=f"best epoch: {best_epoch}", zorder=1)
    ax.set_title(metric)
    ax.set_xlabel("epoch")
    ax.set_ylabel(metric)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    low, high = ax.dataLim.intervalx
    if 0 <= high - low < 1:
        ax.set_xlim(round(low) - 1, round(low) + 1)
    if ax.get_legend_handles_labels()[0]:
        ax.legend()


def _last(values: Sequence[float]) -> float:
    return values[-1] if len(values) else -math.inf
