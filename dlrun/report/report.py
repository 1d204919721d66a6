"""Runs side by side, best first, with the spread over their seeds: tables, a CSV file, a page and pictures."""

import collections
import contextlib
import csv
import functools
import io
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dlrun import disk
from dlrun.config import schema
from dlrun.config.spec import last_part
from dlrun.errors import UserError
from dlrun.plots import images
from dlrun.report import comparison, differences, figures, page, tables
from dlrun.report.comparison import Group, Row
from dlrun.report.matrix import Matrix, matrix
from dlrun.report.page import Html
from dlrun.report.tables import Table
from dlrun.store import files, runs, sweep_record
from dlrun.terminal.console import number
from dlrun.terminal.escaping import quoted
from dlrun.terminal.tables import print_table

MOST_CURVES = 30
MOST_SIDE_BY_SIDE = 4  # runs
LARGE = (460, 900)  # width and height of a picture beside others, pixels
MOST_BYTES = 50_000  # of a small one


@dataclass(frozen=True)
class Compared:
    """Runs, and groups of those that differ in nothing but their seed, both best first by `metric`.

    `asked` is the metric that was asked for, if one was; `keys` are those in which the runs differ, `shown` the metrics
    that a table has room for. The groups are held against those that are `named`, one a data set, or against the best.
    """

    folders: list[str]
    asked: str | None
    metric: str
    mode: str
    rows: list[Row]
    groups: list[Group]
    named: list[Group]
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
        return (*tables.RIGHT, *self.shown)

    @property
    def settings(self) -> list[str]:
        """The keys in which groups differ."""
        return [key for key in self.keys if key != "seed"]

    @property
    def has_seeds(self) -> bool:
        """Whether a group has several runs."""
        return any(len(group.rows) > 1 for group in self.groups)

    @functools.cached_property
    def single(self) -> Table:
        """A row a run."""
        return tables.single(self.rows, self.keys, self.shown)

    @functools.cached_property
    def over_seeds(self) -> Table:
        """A row a group."""
        return tables.over_seeds(self.groups, self.settings, self.shown)

    @functools.cached_property
    def against(self) -> tuple[str, Table] | None:
        """(What is told of each other group, a row for each); None without several seeds."""
        if not self.has_seeds:
            return None
        by_data: dict[str, list[Group]] = {}
        for group in self.groups:
            # A job that never became a run knows the keys alone that the sweep has changed.
            by_data.setdefault(group.keys.get("data", "") if "data" in self.keys else "", []).append(group)
        found, title = [], ""
        for own in by_data.values():
            metric, mode = self._measured_by(own)
            best = comparison.best_first(own, lambda group, metric=metric: group.mean(metric), mode)[0]
            baseline = next((group for group in own if group in self.named), None if self.named else best)
            if baseline is not None:
                found += differences.differences(own, baseline, metric)
                title = f"{metric} less that of {_label(baseline, self.settings, 1)}"
        if len(by_data) > 1:
            title = f"of each data set by its own metric, less {'that which is named' if self.named else 'its best'}"
        about = f"{title}, mean over the seeds that both have"
        return (about, tables.differences(found, self.settings)) if found else None

    @functools.cached_property
    def matrix(self) -> Matrix | None:
        """What was chosen by name against each other, each data set by its own metric."""
        return matrix(self.groups, self.keys, self._measured_by)

    def _measured_by(self, groups: Sequence[Group]) -> tuple[str, str]:
        """(The metric of groups with one data set, its direction)."""
        rows = [row for group in groups for row in group.rows]
        metric = self.metric
        if not any(metric in row.metrics for row in rows) or (self.asked is None and "data" in self.keys):
            metric = _metric(None, rows)
        return metric, comparison.direction(metric, rows)

    def sections(self, home: pathlib.Path | None = None, pictures: Sequence[Html] = ()) -> list[tuple[str, str]]:
        """(Heading, table in HTML) of all there are.

        For a page in the folder `home` a run is a link to its folder, beside its own of the `pictures` and its command.
        """
        columns, rows = self.single
        if home is not None:
            columns = [*columns, "command"]
            rows = [
                [page.html_link(f"{_seen_from(home, row.path)}/", name), *cells, page.html_code(row.command)]
                for row, (name, *cells) in zip(self.rows, rows, strict=True)
            ]
        if any(pictures):
            columns = ["", *columns]
            rows = [[picture, *cells] for picture, cells in zip(pictures, rows, strict=True)]
        reasons = page.html_list(_reasons(self.rows).splitlines())
        found = [("Runs", page.html_table(columns, rows, self.right) + reasons)]
        if self.matrix is not None:
            heads, cells = tables.matrix(self.matrix)
            heading, about = _about(self.matrix)
            found.append((heading, page.html_note(about) + page.html_table(heads, cells, self.right)))
        if self.has_seeds:
            found.append(("Over seeds", page.html_table(*self.over_seeds, self.right)))
        if self.against is not None:
            about, table = self.against
            found.append(("Differences", page.html_note(about) + page.html_table(*table, self.right)))
        return found

    def records(self) -> tuple[list[str], list[list[Any]]]:
        """(Columns, rows): all runs with all their metrics, numbers as exact as they were recorded."""
        metrics = sorted({name for row in self.rows for name in row.metrics})
        facts = ["parameters", "best_epoch", "epochs", "seconds", "state", "reason"]
        return ["path", *self.keys, *metrics, *facts], [
            [str(row.path), *map(row.keys.get, self.keys), *map(row.metrics.get, metrics), row.parameters,
             row.best_epoch, row.epochs, row.seconds, row.state, row.reason]
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
        costs = figures.of_costs(self.matrix) if self.matrix is not None else None
        others = {"trials": search, "costs": costs, "samples": figures.of_samples(rows)}
        drawn = {f"report_{name}.png": None if figure is None else _png(figure) for name, figure in others.items()}
        return {"report.png": png, "report_keys.png": by_key} | drawn, notes


def compare(
    folders: list[str], metric: str | None = None, reach: float | None = None, against: str | None = None
) -> Compared:
    """All runs in `folders`; without a `metric` by what they watched.

    `reach` adds the first epoch in which the metric was that good. `against` are the settings, `model=mlp seed=0`, that
    the others are held against, without it the best.

    **Raises:** `UserError` if there are no runs, none has the metric, or not one setting is as `against` says.
    """
    for folder in folders:
        if not pathlib.Path(folder).is_dir():
            raise UserError(f"report: no folder {folder}")
    rows = comparison.collect(folders)
    if not rows:
        raise UserError(f"report: no runs in {', '.join(folders)}; see dlrun list runs")
    asked, metric = metric, _metric(metric, rows)
    mode = comparison.direction(metric, rows)
    rows = comparison.best_first(rows, lambda row: row.metrics.get(metric), mode)
    groups = comparison.best_first(comparison.grouped(rows), lambda group: group.mean(metric), mode)
    keys, shown = comparison.differing(rows), _related(metric, rows)
    if reach is not None:
        shown.append(comparison.add_first_epoch(rows, metric, reach, mode))
    named = [] if against is None else differences.named(groups, against, keys)
    return Compared(folders, asked, metric, mode, rows, groups, named, keys, shown)


def report(
    folders: list[str], metric: str | None = None, output: str | None = None, reach: float | None = None,
    against: str | None = None,
) -> None:  # fmt: skip
    """Compares all runs in `folders`: tables on stdout; CSV, Markdown, HTML and pictures in `output`.

    **Raises:** `UserError` as `compare`, and if the files cannot be written.
    """
    found = compare(folders, metric, reach, against)
    home = pathlib.Path(output) if output is not None else _home(folders, found.rows)
    # Pictures are read while the libraries that draw are imported.
    with ThreadPoolExecutor(2) as pool:
        thumbnails = [pool.submit(_thumbnail, row.path, home) for row in found.rows]
        large = [pool.submit(_large, row.path, home) for row in _few(found.rows)]
        _print(found)
        drawn, notes = found.pictures()
        pictures = {name: content for name, content in drawn.items() if content}
        sections = found.sections(home, [thumbnail.result() for thumbnail in thumbnails])
        if large:
            sections.insert(0, _side_by_side(found, [each.result() for each in large]))
    drawn_here = [f"<p>{page.html_picture(content, name)}</p>" for name, content in pictures.items()]
    sections += [("Pictures", "\n".join(drawn_here))] if drawn_here else []
    texts = {
        "report.csv": _csv(*found.records()).encode(),
        "report.md": _markdown(found, list(pictures)).encode(),
        "report.html": page.html_page(found.title, sections).encode(),
    }
    _write(home, texts | drawn)
    for note in notes:
        print(note)
    _say_best(found.rows, found.metric)
    print(f"files   {home}: {', '.join([*texts, *pictures])}")


def _print(found: Compared) -> None:
    """The tables that a terminal has room for."""
    print_table(found.title, *found.single, found.right)
    print(_reasons(found.rows), end="")
    if found.matrix is not None and (found.matrix.keys[1] or "data" in found.matrix.keys):
        print()
        print_table(": ".join(_about(found.matrix)), *tables.matrix(found.matrix), found.right)
    if found.has_seeds:
        print()
        title = f"over seeds: mean ± standard deviation of n runs, {found.order}"
        print_table(title, *found.over_seeds, found.right)
    if found.against is not None:
        print()
        about, table = found.against
        print_table(f"differences: {about}", *table, found.right)


def _markdown(found: Compared, pictures: Sequence[str]) -> str:
    parts = [f"# {page.in_markdown(found.title)}"]
    if few := _few(found.rows):
        parts += ["## Side by side", page.markdown(*tables.side_by_side(few, found.keys))]
    parts += ["## Runs", page.markdown(*found.single, found.right)]
    if reasons := _reasons(found.rows).splitlines():
        parts.append("\n".join(f"- {page.in_markdown(line)}" for line in reasons) + "\n")
    if found.matrix is not None:
        heading, about = map(page.in_markdown, _about(found.matrix))
        parts += [f"## {heading}", f"{about}.", page.markdown(*tables.matrix(found.matrix), found.right)]
    if found.has_seeds:
        parts += ["## Over seeds", "Mean ± sample standard deviation of n runs that are done."]
        parts.append(page.markdown(*found.over_seeds, found.right))
    if found.against is not None:
        about, table = found.against
        parts += ["## Differences", f"{page.in_markdown(about)}; the interval by Student's t."]
        parts.append(page.markdown(*table, found.right))
    parts += [f"![{page.in_markdown(found.metric)}]({name})" for name in pictures]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _few(rows: list[Row]) -> list[Row]:
    """The runs that a page has room for beside each other."""
    return rows if 1 < len(rows) <= MOST_SIDE_BY_SIDE else []


def _side_by_side(found: Compared, pictures: Sequence[dict[str, Html]]) -> tuple[str, str]:
    """(Heading, table in HTML) of a few runs, their pictures of one name beside each other."""
    columns, rows = tables.side_by_side(found.rows, found.keys)
    shown = collections.Counter(name for own in pictures for name in own)
    for name, _ in shown.most_common():
        rows.append([name, *(own.get(name, "") for own in pictures)])
    return "Side by side", page.html_table(columns, rows)


def _thumbnail(path: pathlib.Path, home: pathlib.Path) -> Html:
    """The most telling picture of the run in `path`, small, for a page in `home`; of damaged ones the next."""
    return next((picture for _, picture in _shrunk(path, home, _small)), Html())


def _large(path: pathlib.Path, home: pathlib.Path) -> dict[str, Html]:
    """Its pictures by name."""
    return dict(_shrunk(path, home, lambda file: images.shrunk(file, *LARGE)))


def _shrunk(
    path: pathlib.Path, home: pathlib.Path, shrink: Callable[[pathlib.Path], bytes]
) -> Iterator[tuple[str, Html]]:
    for name, file in runs.plots(path).items():
        with contextlib.suppress(OSError):
            yield name, page.html_link(_seen_from(home, file), page.html_picture(shrink(file), name, "webp"))


def _small(file: pathlib.Path) -> bytes:
    """The small copy that a run has made, or one made now."""
    copy = runs.small(file)
    with contextlib.suppress(OSError):
        if not copy.is_symlink() and (found := disk.content(copy, MOST_BYTES)).startswith(b"RIFF"):
            return found
    return images.shrunk(file)


def _seen_from(home: pathlib.Path, path: pathlib.Path) -> str:
    return os.path.relpath(path.absolute(), home.absolute())


def _about(found: Matrix) -> tuple[str, str]:
    """(`model x data`, what stands in its cells)."""
    first, second = found.keys
    metric = "each data set by its own metric" if "data" in found.keys else next(iter(found.metrics.values()))[0]
    about = [metric, *(["parameters", "seconds", "* the best of its column"] if second else [])]
    about += ["of several settings the best"] if any(cell.num_settings > 1 for cell in found.cells.values()) else []
    return f"{first} x {second}" if second else f"by {first}", ", ".join(about)


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
    """The metric, the same one of the other parts, the loss of its part, what others watch; the CSV has all."""
    part, _, name = metric.partition("/")
    others = [row.watch for row in rows]
    wanted = dict.fromkeys([metric, f"val/{name}", f"test/{name}", f"train/{name}", f"{part}/loss", *others])
    return [m for m in wanted if m == metric or any(m in row.metrics for row in rows)]


def _home(folders: list[str], rows: list[Row]) -> pathlib.Path:
    """The one folder that holds the runs, or what they have in common."""
    only = pathlib.Path(folders[0])
    if len(folders) == 1 and all(row.path != only for row in rows):
        return only
    common = tables.common(rows)
    return common.relative_to(pathlib.Path.cwd()) if common.is_relative_to(pathlib.Path.cwd()) else common


def _reasons(rows: list[Row]) -> str:
    """Why runs have failed or cannot be read, a line for each reason."""
    names = tables.names(rows)
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.reason is not None:
            found.setdefault(f"{row.state}: {' '.join(row.reason.split())}", []).append(names[row.path])
    return "".join(f"run {', '.join(names)} {reason}\n" for reason, names in found.items())


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
    names = tables.names(rows)
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
