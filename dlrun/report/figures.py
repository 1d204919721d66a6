"""Which figure shows what a sweep has found: by the number of keys that it changed."""

import contextlib
import math
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlrun.report.comparison import Group, Row, differing, measured_each_epoch
from dlrun.store.runs import samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dlrun.report.matrix import Matrix

MOST_SAMPLES = 24
MOST_PANELS = 8  # data sets
LEAST_POINTS = 3  # two points are a table, not a picture
MOST_BARS = 24
EQUAL_UP_TO = 1e-6


def draw(groups: Sequence[Group], metric: str, mode: str) -> "Figure | None":
    """The metric against one numeric key, a heat map of two that fill a grid, bars for words, else parallel lines.

    None where there is nothing to see: too few settings, or no difference between them.
    """
    from dlrun.plots import keys as figures

    measured = [group for group in groups if group.mean(metric) is not None]
    if len(measured) < LEAST_POINTS or _are_equal(measured, metric):
        return None
    keys = [key for key in differing([group.rows[0] for group in measured]) if key != "seed"]
    means = [float(group.mean(metric) or 0.0) for group in measured]
    if len(keys) == 1:
        numbers = figures.as_numbers([group.keys.get(keys[0], "") for group in measured])
        deviations = [group.std(metric) for group in measured]
        std = [value for value in deviations if value is not None]
        whole = std if len(std) == len(measured) else None
        if numbers is not None:
            has_diverged = [group.has_diverged for group in measured]
            rest = [group for group in groups if group not in measured and group.has_diverged]
            lost = [group.keys.get(keys[0], "") for group in rest]
            return figures.against_key(
                keys[0], numbers, means, whole, metric, mode, diverged=has_diverged, lost=figures.as_numbers(lost) or ()
            )
    if len(keys) == 2 and _fills_a_grid(measured, keys):
        return _heat_map(measured, keys, metric, mode)
    settings = [{key: group.keys.get(key, "") for key in keys} for group in measured]
    if not keys:
        return None
    has_numbers = any(figures.as_numbers([setting[key] for setting in settings]) for key in keys)
    if not has_numbers and len(settings) <= MOST_BARS:
        labels = [" ".join(value for value in setting.values() if value) for setting in settings]
        return figures.bars(labels, means, [group.std(metric) for group in measured], metric)
    return figures.parallel_coordinates(
        settings, means, metric, mode, diverged=[group.has_diverged for group in measured]
    )


def _are_equal(groups: Sequence[Group], metric: str) -> bool:
    """Whether the settings differ by no more than a millionth of what the metric went through in training."""
    if any(group.has_diverged for group in groups):
        return False
    means = [group.mean(metric) or 0.0 for group in groups]
    drawn = measured_each_epoch(metric, [row for group in groups for row in group.rows])
    seen = [entry[drawn] for group in groups for row in group.rows for entry in row.history if drawn in entry]
    span = max(map(abs, [*means, *filter(math.isfinite, seen)]))
    return max(means) - min(means) <= EQUAL_UP_TO * span


def of_search(rows: Sequence[Row], metric: str, mode: str) -> "Figure | None":
    """The metric over the trials of a search, in their order; None while no trial has measured it."""
    from dlrun.plots import trials as figures

    measured = [row for row in rows if math.isfinite(row.metrics.get(metric, math.nan))]
    trials = sorted((int(row.path.name), row.metrics[metric], row.state) for row in measured)
    return figures.over_trials(trials, metric, mode) if trials else None


def of_samples(rows: Sequence[Row]) -> "Figure | None":
    """The last picture that each run has shown, by what sets the runs apart; None if fewer than two have shown one."""
    from dlrun.plots import images as figures

    last: list[tuple[Row, np.ndarray]] = []
    for row in sorted(rows, key=lambda row: _numbered(row.path)):
        for path in reversed(samples(row.path).values() if len(last) < MOST_SAMPLES else ()):
            with contextlib.suppress(OSError):  # of a damaged one an earlier stands in its place
                last.append((row, figures.read(path)))
                break
    if len(last) < 2:
        return None
    keys, pictures = differing([row for row, _ in last]), {}
    for row, picture in last:
        caption = " ".join(f"{key.rpartition('.')[2]}={row.keys.get(key, '')}" for key in keys)
        if not caption or caption in pictures:
            caption = f"{caption} {row.path.name}".strip()
        pictures[caption] = picture
    return figures.side_by_side(pictures)


def of_costs(found: "Matrix") -> "Figure | None":
    """How good each model is against what it has and takes, a row of panels a data set; None for fewer than three."""
    from dlrun.plots import costs as figures

    panels = []
    for column in found.columns if found.keys[0] == "model" else ():
        points = {
            name: (cell.mean, cell.parameters, cell.seconds)
            for name, cell in found.column(column).items()
            if cell.mean is not None and cell.parameters is not None and cell.seconds is not None
        }
        if len(points) >= LEAST_POINTS:
            values, parameters, seconds = zip(*points.values(), strict=True)
            costs = {"parameters": parameters, "seconds": seconds}
            panels.append(figures.Panel(column, *found.metrics[column], list(points), values, costs))
    return figures.against_costs(panels[:MOST_PANELS]) if panels else None


def _numbered(path: pathlib.Path) -> tuple[str, int, str]:
    """Job 10 of a sweep comes after job 9."""
    return str(path.parent), int(path.name) if path.name.isdigit() else -1, path.name


def _fills_a_grid(groups: Sequence[Group], keys: Sequence[str]) -> bool:
    """Whether at least half of the combinations of the values were tried; a search leaves most of them out."""
    num_columns, num_rows = (len({group.keys.get(key, "") for group in groups}) for key in keys)
    return 2 * len(groups) >= num_columns * num_rows


def _heat_map(groups: Sequence[Group], keys: list[str], metric: str, mode: str) -> "Figure":
    from dlrun.plots import keys as figures

    columns, rows = (_ordered([group.keys.get(key, "") for group in groups]) for key in keys)
    values, diverged = np.full((len(rows), len(columns)), np.nan), np.zeros((len(rows), len(columns)), dtype=bool)
    for group in groups:
        place = rows.index(group.keys.get(keys[1], "")), columns.index(group.keys.get(keys[0], ""))
        values[place], diverged[place] = group.mean(metric), group.has_diverged
    return figures.heat_map(keys, columns, rows, values, metric, mode, diverged=diverged)


def _ordered(texts: Sequence[str]) -> list[str]:
    """Each value once: numbers by size, words as they came."""
    from dlrun.plots.keys import as_numbers

    found = list(dict.fromkeys(texts))
    numbers = as_numbers(found)
    return found if numbers is None else [text for _, text in sorted(zip(numbers, found, strict=True))]
