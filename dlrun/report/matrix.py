"""Two things that a sweep has chosen by name against each other: models and data sets, models and optimizers."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dlrun.config import registry
from dlrun.report.comparison import Group, best_first


@dataclass(frozen=True)
class Cell:
    """One pair: the best of its settings, of `num_settings`, by a metric."""

    group: Group
    metric: str
    mode: str
    num_settings: int

    @property
    def mean(self) -> float | None:
        return self.group.mean(self.metric)

    @property
    def parameters(self) -> int | None:
        return next((row.parameters for row in self.group.rows if row.parameters is not None), None)

    @property
    def seconds(self) -> float | None:
        """The mean over the runs that are done."""
        seconds = [row.seconds for row in self.group.rows if row.state == "done" and row.seconds is not None]
        return statistics.fmean(seconds) if seconds else None


@dataclass(frozen=True)
class Matrix:
    """Cells by the values of two keys, `rows` best first; `columns` is empty where only one key differs.

    `metrics` are (metric, direction) of each value of `columns`, or where that is empty of `rows`: data sets are not
    all measured by the same.
    """

    keys: tuple[str, str]
    rows: list[str]
    columns: list[str]
    cells: dict[tuple[str, str], Cell]
    metrics: dict[str, tuple[str, str]]

    def column(self, name: str) -> dict[str, Cell]:
        """The cells of a column that have a value, by the names of their rows."""
        found = {row: self.cells.get((row, name)) for row in self.rows}
        return {row: cell for row, cell in found.items() if cell is not None and cell.mean is not None}

    def best(self, name: str) -> str | None:
        """The row that is best in a column of several."""
        cells = self.column(name)
        if len(cells) < 2:
            return None
        mode = next(iter(cells.values())).mode
        return best_first(cells, lambda row: cells[row].mean, mode)[0]


def matrix(
    groups: Sequence[Group], keys: Sequence[str], measured_by: Callable[[Sequence[Group]], tuple[str, str]]
) -> Matrix | None:
    """The first two things chosen by name among `keys`, those that differ; None if there is none.

    `measured_by` tells the metric of groups with one data set, and its direction.
    """
    chosen = _axes(keys)
    if not chosen:
        return None
    first, second = chosen if len(chosen) == 2 else (chosen[0], "")
    pairs: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if first in group.keys:
            pairs.setdefault((group.keys[first], group.keys.get(second, "")), []).append(group)
    rows, columns = (list(dict.fromkeys(pair[place] for pair in pairs)) for place in (0, 1))
    axis = 0 if first == "data" else 1
    metrics = {
        name: measured_by([group for pair, own in pairs.items() if pair[axis] == name for group in own])
        for name in (rows if axis == 0 else columns)
    }
    cells = {}
    for pair, own in pairs.items():
        metric, mode = metrics[pair[axis]]
        best = best_first(own, lambda group, metric=metric: group.mean(metric), mode)
        cells[pair] = Cell(best[0], metric, mode, len(own))
    found = Matrix((first, second), rows, columns, cells, metrics)
    ranks = {row: _mean_rank(found, row) for row in rows} if axis else dict.fromkeys(rows, 0.0)
    return Matrix((first, second), sorted(rows, key=ranks.__getitem__), columns, cells, metrics)


def _axes(keys: Sequence[str]) -> list[str]:
    """At most two of `keys`: the model before all others, the data behind them."""
    order = {"model": -1, "data": 1}
    # The task follows from the data.
    chosen = sorted((key for key in keys if key in registry.TABLES), key=lambda key: order.get(key, 0))
    others = [key for key in chosen if key != "task"] or chosen
    return others if len(others) < 3 else [others[0], "data" if "data" in others else others[1]]


def _mean_rank(found: Matrix, row: str) -> float:
    """The mean place of a row in its columns, 0 to 1; what has no value anywhere comes last."""
    places = []
    for column in found.columns:
        cells = found.column(column)
        if row in cells:
            ranked = best_first(cells, lambda name, cells=cells: cells[name].mean, cells[row].mode)
            places.append(ranked.index(row) / max(1, len(ranked) - 1))
    return statistics.fmean(places) if places else 2.0
