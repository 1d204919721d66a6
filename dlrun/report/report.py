"""Runs side by side, best first, with the spread over their seeds: tables, a CSV file, a page and pictures."""

import csv
import io
import os
import pathlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlrun import disk
from dlrun.config import schema
from dlrun.config.spec import last_part
from dlrun.errors import UserError
from dlrun.report import comparison, figures, page
from dlrun.report.comparison import Group, Row
from dlrun.store import files, sweep_record
from dlrun.terminal import tables
from dlrun.terminal.console import number
from dlrun.terminal.escaping import quoted

MOST_CURVES = 30
RIGHT = ("best epoch", "epochs", "seconds", "n")


@dataclass(frozen=True)
class Compared:
    """Runs, and groups of those that differ in nothing but their seed, both best first by `metric`.

    `keys` are those in which they differ, `shown` the metrics that a table has room for.
    """

    folders: list[str]
    metric: str
    mode: str
    rows: list[Row]
    groups: list[Group]
    keys: list[str]
    shown: list[str]

    @property
    def order(self) -> str:
        return f"{'highest' if self.mode == 'max' else 'lowest'} {self.metric} first"

    @property
    def title(self) -> str:
        return f"{_count(self.rows)}, {self.order}"

    @property
    def right(self) -> tuple[str, ...]:
        """The columns of numbers."""
        return (*RIGHT, *self.shown)

    @property
    def single(self) -> tuple[list[str], list[list[str]]]:
        """(Columns, rows): a row a run."""
        return _single_table(self.rows, self.keys, self.shown)

    @property
    def over_seeds(self) -> tuple[list[str], list[list[str]]]:
        """(Columns, rows): a row a group."""
        return _group_table(self.groups, [key for key in self.keys if key != "seed"], self.shown)

    def sections(self) -> list[tuple[str, str]]:
        """(Heading, table in HTML) of both."""
        return [
            ("Runs", page.html_table(*self.single, self.right)),
            ("Over seeds", page.html_table(*self.over_seeds, self.right)),
        ]

    def records(self) -> tuple[list[str], list[list[Any]]]:
        """(Columns, rows): all runs with all their metrics, numbers as exact as they were recorded."""
        metrics = sorted({name for row in self.rows for name in row.metrics})
        columns = ["path", *self.keys, *metrics, "best_epoch", "epochs", "seconds", "state", "reason"]
        return columns, [
            [str(row.path), *map(row.keys.get, self.keys), *map(row.metrics.get, metrics), row.best_epoch, row.epochs,
             row.seconds, row.state, row.reason]
            for row in self.rows
        ]  # fmt: skip

    def pictures(self) -> tuple[dict[str, bytes | None], list[str]]:
        """(PNG by the name of its file, None: there is nothing to see; what should be said about them)."""
        rows, groups, metric, mode = self.rows, self.groups, self.metric, self.mode
        figure = figures.draw(groups, metric, mode)
        by_key = _png(figure) if figure is not None else None
        # Points above one epoch say less than the same over what the runs differ in.
        png, notes = (None, []) if by_key and _has_one_epoch(rows, metric) else _picture(groups, metric, rows)
        search = figures.of_search(rows, metric, mode) if _is_search(self.folders) else None
        samples = figures.of_samples(rows)
        return {
            "report.png": png, "report_keys.png": by_key, "report_trials.png": _png(search) if search else None,
            "report_samples.png": _png(samples) if samples else None,
        }, notes  # fmt: skip


def compare(folders: list[str], metric: str | None = None, reach: float | None = None) -> Compared:
    """All runs in `folders`; without a `metric` by what they watched.

    `reach` adds the first epoch in which the metric was that good.

    **Raises:** `UserError` if there are no runs, or none has the metric.
    """
    for folder in folders:
        if not pathlib.Path(folder).is_dir():
            raise UserError(f"report: no folder {folder}")
    rows = comparison.collect(folders)
    if not rows:
        raise UserError(f"report: no runs in {', '.join(folders)}; see dlrun list runs")
    metric = _metric(metric, rows)
    mode = comparison.direction(metric, rows)
    rows = comparison.best_first(rows, lambda row: row.metrics.get(metric), mode)
    groups = comparison.best_first(comparison.grouped(rows), lambda group: group.mean(metric), mode)
    shown = _related(metric, rows)
    if reach is not None:
        shown.append(comparison.add_first_epoch(rows, metric, reach, mode))
    return Compared(folders, metric, mode, rows, groups, comparison.differing(rows), shown)


def report(
    folders: list[str], metric: str | None = None, output: str | None = None, reach: float | None = None
) -> None:
    """Compares all runs in `folders`: tables on stdout; CSV, Markdown, HTML and pictures in `output`.

    **Raises:** `UserError` as `compare`, and if the files cannot be written.
    """
    found = compare(folders, metric, reach)
    rows, metric, right = found.rows, found.metric, found.right
    home = pathlib.Path(output) if output is not None else _home(folders, rows)
    tables.print_table(found.title, *found.single, right)
    reasons = _reasons(rows)
    print(reasons, end="")
    if len(found.groups) < sum(len(group.rows) for group in found.groups):
        print()
        title = f"over seeds: mean ± standard deviation of n runs, {found.order}"
        tables.print_table(title, *found.over_seeds, right)

    drawn, notes = found.pictures()
    pictures = {name: content for name, content in drawn.items() if content}
    text = f"# {page.in_markdown(found.title)}\n\n{page.markdown(*found.single, right)}\n"
    text += "".join(f"- {page.in_markdown(line)}\n" for line in reasons.splitlines())
    text += "\n## Over seeds\n\nMean ± sample standard deviation of n runs that are done.\n\n"
    text += page.markdown(*found.over_seeds, right)
    text += "".join(f"\n![{page.in_markdown(metric)}]({name})\n" for name in pictures)
    whole = page.html_page(found.title, found.sections(), list(pictures.values()))
    texts = {"report.csv": _csv(*found.records()).encode(), "report.md": text.encode(), "report.html": whole.encode()}
    _write(home, texts | drawn)
    for note in notes:
        print(note)
    _say_best(rows, metric)
    print(f"files   {home}: {', '.join([*texts, *pictures])}")


def _metric(wanted: str | None, rows: list[Row]) -> str:
    """The metric to compare by: the wanted one, or what the runs watched."""
    known = list(dict.fromkeys(name for row in rows for name in row.metrics))
    if wanted is not None:
        if wanted not in known:
            raise UserError(
                f"report: no run has the metric {wanted!r}{schema.suggest(wanted, known)} (metrics: {', '.join(known)})"
            )
        return wanted
    watched = next((row.watch for row in rows if row.watch), "val/loss")
    name = watched.partition("/")[2]
    if watched in known or not known:
        return watched
    # Runs of an older dlrun say that they watch val, also without a val part.
    return f"{last_part([metric.partition('/')[0] for metric in known])}/{name}"


def _is_search(folders: Sequence[str]) -> bool:
    """Whether the runs are the trials of one search, whose settings followed from each other."""
    home = pathlib.Path(folders[0])
    try:
        return len(folders) == 1 and sweep_record.is_sweep(home) and sweep_record.read(home).search is not None
    except UserError:  # which the table says
        return False


def _related(metric: str, rows: list[Row]) -> list[str]:
    """The metric, the same one of the other parts, and the loss of its part; the CSV has all."""
    part, _, name = metric.partition("/")
    wanted = dict.fromkeys([metric, f"val/{name}", f"test/{name}", f"train/{name}", f"{part}/loss"])
    return [m for m in wanted if m == metric or any(m in row.metrics for row in rows)]


def _home(folders: list[str], rows: list[Row]) -> pathlib.Path:
    """The one folder that holds the runs, or what they have in common."""
    only = pathlib.Path(folders[0])
    if len(folders) == 1 and all(row.path != only for row in rows):
        return only
    common = _common(rows)
    return common.relative_to(pathlib.Path.cwd()) if common.is_relative_to(pathlib.Path.cwd()) else common


def _common(rows: Sequence[Row]) -> pathlib.Path:
    return pathlib.Path(os.path.commonpath([row.path.absolute().parent for row in rows]))


def _names(rows: Sequence[Row]) -> dict[pathlib.Path, str]:
    """The runs as they are called below the folder they have in common: a job of one sweep by its number."""
    common = _common(rows)
    return {row.path: str(row.path.absolute().relative_to(common)) for row in rows}


def _single_table(rows: list[Row], keys: list[str], metrics: list[str]) -> tuple[list[str], list[list[str]]]:
    names = _names(rows)
    body = []
    for row in rows:
        numbers = ["" if value is None else number(value) for value in map(row.metrics.get, metrics)]
        best = "" if row.best_epoch is None else str(row.best_epoch)
        seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
        values = [*(row.keys.get(key, "") for key in keys), *numbers]
        body.append([names[row.path], *values, best, str(row.epochs), seconds, row.ended])
    return ["run", *keys, *metrics, "best epoch", "epochs", "seconds", "state"], body


def _reasons(rows: list[Row]) -> str:
    """Why runs have failed or cannot be read, a line for each reason."""
    names = _names(rows)
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.reason is not None:
            found.setdefault(f"{row.state}: {' '.join(row.reason.split())}", []).append(names[row.path])
    return "".join(f"run {', '.join(names)} {reason}\n" for reason, names in found.items())


def _group_table(groups: list[Group], keys: list[str], metrics: list[str]) -> tuple[list[str], list[list[str]]]:
    body = []
    for group in groups:
        num_done = sum(row.state == "done" for row in group.rows)
        of_all = "" if num_done == len(group.rows) else f" of {len(group.rows)}"
        numbers = [_with_deviation(group, metric) for metric in metrics]
        body.append([*(group.keys.get(key, "") for key in keys), *numbers, f"{num_done}{of_all}"])
    return [*keys, *metrics, "n"], body


def _with_deviation(group: Group, metric: str) -> str:
    """Mean ± deviation; of how many runs, if others that are done do not have the metric."""
    mean, std = group.mean(metric), group.std(metric)
    if mean is None:
        return ""
    num_done, num_measured = sum(row.state == "done" for row in group.rows), len(group.values(metric))
    of_all = f" ({num_measured} of {num_done})" if num_measured < num_done else ""
    return (number(mean) if std is None else f"{number(mean)} ± {number(std)}") + of_all


def _csv(columns: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(files.csv_cell, row) for row in (columns, *rows))
    return text.getvalue()


def _picture(groups: list[Group], metric: str, rows: list[Row]) -> tuple[bytes | None, list[str]]:
    """The curves as PNG, and what should be said about them."""
    drawn = comparison.measured_each_epoch(metric, rows)
    if drawn is None:
        return None, [f"no picture: no epoch has measured {metric}"]

    from dlrun.plots import curves

    measured = [group for group in groups if group.curve(drawn)]
    best = measured[:MOST_CURVES]
    # Keys in which only runs without a curve differ would make the legend long for nothing.
    keys = [key for key in comparison.differing([group.rows[0] for group in best]) if key != "seed"]
    names = _names(rows)
    found: dict[str, Any] = {}
    for group in best:
        label = _label(group, keys, len(group.drawn(drawn)))
        if not label or label in found:
            # A single group, or a run of another version that lacks the key that sets it apart.
            label = f"{label} run {names[group.rows[0].path]}".strip()
        found[label] = (group.curve(drawn) or {}) | {"diverged": group.has_diverged}

    title, notes = drawn, []
    if drawn != metric:
        notes.append(f"picture {drawn}, since {metric} was measured at the end only")
    if len(best) < len(measured):
        title += f": the best {len(best)} of {len(measured)}"
        notes.append(f"picture the best {len(best)} of {len(measured)} curves")
    if any(curve["std"] for curve in found.values()):
        title += ", mean ± standard deviation over seeds"
    return _png(curves.overlaid_curves(found, drawn, title)), notes


def _has_one_epoch(rows: list[Row], metric: str) -> bool:
    """Whether no run has measured it twice."""
    drawn = comparison.measured_each_epoch(metric, rows)
    return all(sum(drawn in entry for entry in row.history) < 2 for row in rows)


def _png(figure: Any) -> bytes:
    from dlrun.plots.figure import png_bytes

    return png_bytes(figure)


def _label(group: Group, keys: list[str], num_runs: int) -> str:
    """What sets a group apart from the others, and how many runs its curve is the mean of."""
    words = [f"{key}={group.keys[key]}" for key in keys if key in group.keys]
    return " ".join([*words, f"(mean of {num_runs})"] if num_runs > 1 else words)


def _write(home: pathlib.Path, contents: dict[str, bytes | None]) -> None:
    """Writes `contents`; one without content is removed, so that it does not tell of an older report."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            if content is None:
                (home / name).unlink(missing_ok=True)
            else:
                disk.write(home / name, content)
    except OSError as error:
        raise UserError(
            f"report: cannot write to {home} ({error.strerror}); choose another folder with --output FOLDER"
        ) from error


def _count(rows: list[Row]) -> str:
    """`6 runs (5 done, 1 failed)`."""
    states = [row.state for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{len(rows)} run{'s' if len(rows) > 1 else ''} ({counts})"


def _say_best(rows: list[Row], metric: str) -> None:
    # What did not come to its end is not the best, whatever it measured on the way.
    best = next((row for row in rows if row.state == "done"), rows[0])
    if metric in best.metrics:
        print(f"best    {best.path}  {metric} {number(best.metrics[metric])}  (dlrun eval {quoted(best.path)})")
    else:
        print(f"dlrun: warning: no run has a value of {metric} yet", file=sys.stderr)
