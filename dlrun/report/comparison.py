"""Many runs side by side: what differs between them, which is best, what the seed changes.

Reads text only, so neither torch nor pandas is imported.
"""

import datetime
import json
import math
import os
import pathlib
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dlrun.config import check
from dlrun.errors import UserError
from dlrun.store import runs, sweep_record
from dlrun.store.records import Status

UNREADABLE = "unreadable"
LOWER_IS_BETTER = {"loss", "error", "mse", "rmse", "mae", "mape", "perplexity"}

T = TypeVar("T")


@dataclass
class Row:
    """One run. `keys` are its config's, as the command line writes them; `metrics` its final or latest."""

    path: pathlib.Path
    state: str
    reason: str | None = None
    keys: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    watch: str = ""
    mode: str = "max"
    best_epoch: int | None = None
    epochs: int = 0
    seconds: float | None = None
    parameters: int | None = None
    command: str = ""
    started: str = ""
    has_diverged: bool = False

    @property
    def ended(self) -> str:
        """The state, and of a run that came to its end whether training had diverged."""
        return "diverged" if self.has_diverged and self.state == "done" else self.state


@dataclass
class Group:
    """Runs that differ in nothing but their seed."""

    keys: dict[str, str]
    rows: list[Row]

    def values(self, metric: str) -> list[float]:
        """Of the runs that are done."""
        found = (row.metrics.get(metric, math.nan) for row in self.rows if row.state == "done")
        return [value for value in found if math.isfinite(value)]

    def mean(self, metric: str) -> float | None:
        values = self.values(metric)
        return statistics.fmean(values) if values else None

    def std(self, metric: str) -> float | None:
        """The sample standard deviation (n - 1); None for a single run."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else None

    def by_seed(self, metric: str) -> dict[str, float]:
        """The value of each seed; the mean of those runs that share one."""
        seeds = {row.keys.get("seed", "") for row in self.rows}
        own = {seed: Group(self.keys, [row for row in self.rows if row.keys.get("seed", "") == seed]) for seed in seeds}
        means = {seed: group.mean(metric) for seed, group in own.items()}
        return {seed: mean for seed, mean in means.items() if mean is not None}

    @property
    def has_diverged(self) -> bool:
        """Whether one of the runs has."""
        return any(row.has_diverged for row in self.rows)

    def drawn(self, metric: str) -> list[Row]:
        """The runs behind the curve: those that are done, or all while none is."""
        measured = [row for row in self.rows if _points(row, metric)]
        return [row for row in measured if row.state == "done"] or measured

    def curve(self, metric: str) -> dict[str, list[float] | None] | None:
        """Mean and deviation over the epochs that all runs behind it have measured; None if there are none."""
        points = [_points(row, metric) for row in self.drawn(metric)]
        epochs = sorted(set.intersection(*map(set, points))) if points else []
        if not epochs:
            return None
        columns = [[by_epoch[epoch] for by_epoch in points] for epoch in epochs]
        std = [statistics.stdev(column) for column in columns] if len(points) > 1 else None
        return {"epochs": epochs, "mean": [statistics.fmean(column) for column in columns], "std": std}


def collect(folders: Iterable[str | pathlib.Path]) -> list[Row]:
    """All runs in `folders` and below, and the jobs of sweeps that have not become runs.

    A run that cannot be read becomes a row that says why.
    """
    rows: dict[pathlib.Path, Row] = {}
    for base in map(pathlib.Path, folders):
        for path in runs.run_folders(base):
            rows.setdefault(path.resolve(), _read(path))
        for path in base.rglob(sweep_record.NAME):
            try:
                jobs = sweep_record.read(path.parent).jobs
            except UserError as error:
                rows[path.resolve()] = Row(path, UNREADABLE, str(error))
                continue
            for job in jobs:
                place = path.parent / str(job.number)
                rows[place.resolve()] = _with_job(rows.get(place.resolve()), place, job)
    return sorted(
        rows.values(), key=lambda row: [(len(part), part) if part.isdigit() else (0, part) for part in row.path.parts]
    )


def differing(rows: Sequence[Row]) -> list[str]:
    """The keys that do not have the same value in all rows, in the config's order, the seed last.

    A key of something chosen by name (`model.dropout`) counts only among rows with the same choice.
    """
    seen: dict[tuple[str, str | None], set[str]] = {}
    for row in rows:
        for key, value in row.keys.items():
            group = key.partition(".")[0]
            choice = row.keys.get(group) if group != key else None
            seen.setdefault((key, choice), set()).add(value)
    keys = dict.fromkeys(key for (key, _), values in seen.items() if len(values) > 1)
    return sorted(keys, key=lambda key: key == "seed")


def grouped(rows: Sequence[Row]) -> list[Group]:
    """Groups of equal config, the seed aside; a row without a config is in none."""
    groups: dict[tuple, Group] = {}
    for row in rows:
        keys = {key: value for key, value in row.keys.items() if key != "seed"}
        if keys:
            groups.setdefault(tuple(sorted(keys.items())), Group(keys, [])).rows.append(row)
    return list(groups.values())


def best_first(items: Iterable[T], value: Callable[[T], float | None], mode: str) -> list[T]:
    """Sorted by value, highest first for `mode` max; what has no finite value comes last, in its old order."""

    def place(item: T) -> tuple[bool, float]:
        number = value(item)
        if number is None or not math.isfinite(number):
            return True, 0.0
        return False, -number if mode == "max" else number

    return sorted(items, key=place)


def direction(metric: str, rows: Sequence[Row]) -> str:
    """`max` or `min`: as the runs watched it, else by what its name says."""
    name = metric.partition("/")[2]
    for row in rows:
        if row.watch.partition("/")[2] == name:
            return row.mode
    return "min" if LOWER_IS_BETTER & set(name.split("_")) else "max"


def measured_each_epoch(metric: str, rows: Sequence[Row]) -> str | None:
    """`metric`, or the same one of another part, whichever the rows have by epoch; None if they have none."""
    name = metric.partition("/")[2]
    choices = (metric, f"val/{name}", f"train/{name}")
    return next((choice for choice in choices if any(_points(row, choice) for row in rows)), None)


def add_first_epoch(rows: Sequence[Row], metric: str, value: float, mode: str) -> str:
    """Gives each row that came to `value` the epoch in which it did, as a metric; the name of it.

    **Raises:** `UserError` if no epoch has measured `metric`.
    """
    measured = measured_each_epoch(metric, rows)
    if measured is None:
        raise UserError(f"report: --reach {value:g}: no epoch has measured {metric}")
    name = f"epochs to {measured} {'>=' if mode == 'max' else '<='} {value:g}"
    for row in rows:
        good = [
            e for e, found in _points(row, measured).items() if (found >= value if mode == "max" else found <= value)
        ]
        if good:
            row.metrics[name] = int(min(good))
    return name


def _read(path: pathlib.Path) -> Row:
    try:
        run = runs.open_run(path)
        history = [row for row in run.history() if math.isfinite(row.get("epoch", math.nan))]
    except UserError as error:
        return Row(path, UNREADABLE, str(error))
    state = run.state
    watch, mode = run.watch
    latest = {name: value for row in history for name, value in row.items() if "/" in name}
    is_done = state == "done"
    return Row(
        path,
        state,
        reason=run.status.get("error"),
        keys=keys_of(run.config),
        # A run that goes on after its end leaves an old summary behind.
        metrics=run.metrics if is_done else latest,
        history=history,
        watch=watch,
        mode=mode,
        best_epoch=run.summary.get("best_epoch") if is_done else None,
        epochs=int(history[-1]["epoch"]) if history else 0,
        seconds=run.summary.get("seconds") if is_done else _seconds(run.status),
        parameters=run.summary.get("parameters"),
        command=run.command,
        started=run.status.get("started") or "",
        has_diverged=runs.has_diverged(history) or (run.status.get("error") or "").startswith(runs.NOT_FINITE),
    )


def keys_of(config: dict[str, Any]) -> dict[str, str]:
    """The config as the words of a command line: `model.name` is `model`, lists have no spaces.

    A run keeps where its files are from the root on; what is inside of the working directory is as it is typed there.
    """
    flat: dict[str, str] = {}
    for section, value in config.items():
        if section in check.NOT_OF_THE_RUN:
            continue
        keys = value if isinstance(value, dict) else {"name": value}
        flat |= {section if key == "name" else f"{section}.{key}": as_word(inner) for key, inner in keys.items()}
    here = f"{os.getcwd()}{os.sep}"
    return {key: text.removeprefix(here) for key, text in flat.items()}


def as_word(value: Any) -> str:
    """A value as the command line writes it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)


def _seconds(status: Status) -> float | None:
    told = status.get("started"), status.get("finished")
    try:
        started, finished = (datetime.datetime.fromisoformat(moment or "") for moment in told)
        return (finished - started).total_seconds()
    except (ValueError, TypeError):  # no times, or one of them without its zone
        return None


def _points(row: Row, metric: str) -> dict[float, float]:
    return {entry["epoch"]: entry[metric] for entry in row.history if math.isfinite(entry.get(metric, math.nan))}


def _with_job(row: Row | None, place: pathlib.Path, job: sweep_record.Job) -> Row:
    """What the sweep knows of a job: that it never became a run, or why it failed."""
    if row is None:
        return Row(place, job.state, job.reason, keys={key: str(value) for key, value in job.changed.items()})
    if job.state == "failed" and row.state != "done":
        row.state, row.reason = job.state, job.reason or row.reason
    return row
