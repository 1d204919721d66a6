"""What runs are compared by, as tables of text: (columns, rows), for a terminal, a file or a page."""

import os
import pathlib
from collections.abc import Sequence

from dlrun.report.comparison import Group, Row
from dlrun.report.differences import Difference
from dlrun.report.matrix import Cell, Matrix
from dlrun.terminal.console import number

Table = tuple[list[str], list[list[str]]]

RIGHT = (
    *("parameters", "best epoch", "epochs", "seconds", "n", "value"),
    *("difference", "95 % interval", "shared seeds"),
)  # the columns of numbers, beside metrics


def common(rows: Sequence[Row]) -> pathlib.Path:
    """The innermost folder that holds all runs."""
    return pathlib.Path(os.path.commonpath([row.path.absolute().parent for row in rows]))


def names(rows: Sequence[Row]) -> dict[pathlib.Path, str]:
    """The runs as they are called below the folder they have in common: a job of one sweep by its number."""
    base = common(rows)
    return {row.path: str(row.path.absolute().relative_to(base)) for row in rows}


def single(rows: Sequence[Row], keys: Sequence[str], metrics: Sequence[str]) -> Table:
    """A row a run; parameters only where runs differ in them."""
    called = names(rows)
    facts = [_facts(row) for row in rows]
    is_same = len({row.parameters for row in rows} - {None}) < 2
    shown = [name for name in facts[0] if name != "parameters" or not is_same] if facts else []
    body = [
        [called[row.path], *(row.keys.get(key, "") for key in keys), *(_metric(row, name) for name in metrics),
         *map(own.__getitem__, shown)]
        for row, own in zip(rows, facts, strict=True)
    ]  # fmt: skip
    return ["run", *keys, *metrics, *shown], body


def over_seeds(groups: Sequence[Group], keys: Sequence[str], metrics: Sequence[str]) -> Table:
    """A row a group: mean ± deviation, and of how many runs."""
    body = []
    for group in groups:
        num_done = sum(row.state == "done" for row in group.rows)
        of_all = "" if num_done == len(group.rows) else f" of {len(group.rows)}"
        numbers = [_with_deviation(group, metric) for metric in metrics]
        body.append([*(group.keys.get(key, "") for key in keys), *numbers, f"{num_done}{of_all}"])
    return [*keys, *metrics, "n"], body


def differences(found: Sequence[Difference], keys: Sequence[str]) -> Table:
    """A row a group: how much better or worse it is than the baseline."""
    body = []
    for difference in found:
        count, mean, interval = len(difference.values), difference.mean, difference.interval
        seeds = f"{count or 'no'} shared seed"
        shown = f"undefined: {seeds}" if interval is None else f"{number(interval[0])} to {number(interval[1])}"
        mean = "undefined" if mean is None else number(mean)
        body.append([*(difference.group.keys.get(key, "") for key in keys), mean, shown, str(count)])
    return [*keys, "difference", "95 % interval", "shared seeds"], body


def matrix(found: Matrix) -> Table:
    """A row for each value of the first key; of two keys a cell holds metric, parameters and seconds.

    The best of a column is marked by a star.
    """
    if found.keys[1]:
        best = {column: found.best(column) for column in found.columns}
        is_data = found.keys[1] == "data"
        heads = [f"{column}: {found.metrics[column][0]}" if is_data else column for column in found.columns]
        body = [
            [row, *(_cell(found.cells.get((row, column)), row == best[column]) for column in found.columns)]
            for row in found.rows
        ]
        return [found.keys[0], *heads], body
    cells = {row: found.cells[row, ""] for row in found.rows}
    facts = {row: [_value(cell), _text(cell.parameters), _seconds(cell.seconds)] for row, cell in cells.items()}
    if found.keys[0] == "data":
        return ["data", "metric", "value", "parameters", "seconds"], [
            [row, cells[row].metric, *own] for row, own in facts.items()
        ]
    return [found.keys[0], found.metrics[""][0], "parameters", "seconds"], [[row, *own] for row, own in facts.items()]


def side_by_side(rows: Sequence[Row], keys: Sequence[str]) -> Table:
    """A column a run: the keys in which they differ, all metrics, what they took."""
    called, facts = names(rows), [_facts(row) for row in rows]
    body = [[key, *(row.keys.get(key, "") for row in rows)] for key in keys]
    body += [
        [name, *(_metric(row, name) for row in rows)] for name in dict.fromkeys(m for row in rows for m in row.metrics)
    ]
    body += [[name, *(own[name] for own in facts)] for name in facts[0]]
    return ["", *(called[row.path] for row in rows)], body


def _facts(row: Row) -> dict[str, str]:
    """What is told of each run beside its settings and metrics."""
    return {
        "parameters": _text(row.parameters),
        "best epoch": _text(row.best_epoch),
        "epochs": str(row.epochs),
        "seconds": _seconds(row.seconds),
        "state": row.ended,
    }


def _metric(row: Row, name: str) -> str:
    value = row.metrics.get(name)
    return "" if value is None else number(value)


def _with_deviation(group: Group, metric: str) -> str:
    """Mean ± deviation; of how many runs, if others that are done do not have the metric."""
    mean, std = group.mean(metric), group.std(metric)
    if mean is None:
        return ""
    num_done, num_measured = sum(row.state == "done" for row in group.rows), len(group.values(metric))
    of_all = f" ({num_measured} of {num_done})" if num_measured < num_done else ""
    return (number(mean) if std is None else f"{number(mean)} ± {number(std)}") + of_all


def _cell(cell: Cell | None, is_best: bool) -> str:
    if cell is None:
        return ""
    parameters = "" if cell.parameters is None else _short(cell.parameters)
    seconds = "" if cell.seconds is None else f"{cell.seconds:.1f} s"
    return " · ".join(filter(None, [_value(cell), parameters, seconds])) + (" *" if is_best else "")


def _value(cell: Cell) -> str:
    """The metric of a cell, or why there is none."""
    return _with_deviation(cell.group, cell.metric) or cell.group.rows[0].ended


def _short(count: int) -> str:
    """`987`, `12.3k`, `4.56M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return str(count)


def _text(count: int | None) -> str:
    return "" if count is None else str(count)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"
