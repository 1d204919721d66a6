"""What a person sees of a run: a header, one bar, a line an epoch, a final table."""

import math
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console as RichConsole
from rich.live import Live
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from dlrun.terminal.escaping import in_one_line


class Console:
    """Prints to the terminal, or the notebook; without one (a pipe, CI) there is no bar, only lines."""

    def __init__(self, epochs: int, batches_per_epoch: int):
        self.epochs, self.batches_per_epoch = epochs, batches_per_epoch
        total = epochs * batches_per_epoch
        from dlrun.terminal import notebook

        if notebook.is_here():
            self.bar: Any = notebook.Bar(total)
        else:
            is_seen = sys.stderr.isatty()
            self.bar = tqdm(total=total, unit="batch", leave=False, dynamic_ncols=True, disable=not is_seen)

    def progress(self, epoch: int, batch: int, loss: float | None = None) -> None:
        """Moves the bar to `batch` of the epoch after `epoch` finished ones."""
        done_batches = epoch * self.batches_per_epoch + batch
        if loss is not None:
            self.bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
        self.bar.update(done_batches - self.bar.n)

    def epoch(self, row: dict[str, float], examples_per_second: float, is_best: bool) -> None:
        """One line: epoch, metrics of both parts, learning rate, training speed, `*` for the best so far."""
        names = [name for name in row if "/" in name]
        metrics = "  ".join(f"{name} {number(row[name])}" for name in names)
        mark = " *" if is_best else ""
        epoch = f"epoch {int(row['epoch']):>{len(str(self.epochs))}}/{self.epochs}"
        self.say(f"{epoch}  {metrics}  lr {row['lr']:.3g}  {examples_per_second:,.0f} examples/s{mark}")

    def say(self, text: str) -> None:
        """One line that does not tear the bar."""
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        self.bar.close()


class SweepTable:
    """The jobs of a sweep: a live table on a terminal, elsewhere a line for each job that ends."""

    def __init__(self, jobs: list[Any]):
        self.jobs = jobs
        self.told = {job.number for job in jobs if job.state in ("done", "pruned")}
        self.live = Live(console=RichConsole(), auto_refresh=False) if sys.stdout.isatty() else None

    def __enter__(self) -> "SweepTable":
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.stop()

    def update(self) -> None:
        """Shows how the jobs stand now."""
        if self.live is not None:
            self.live.update(self._table(), refresh=True)
            return
        for job in self.jobs:
            if job.state in ("done", "pruned", "failed", "interrupted") and job.number not in self.told:
                self.told.add(job.number)
                print(
                    f"job {job.number:>3} of {len(self.jobs)}  {self._outcome(job)}  {self._changed(job)}", flush=True
                )

    def _table(self) -> Table:
        table = Table(
            title=f"{sum(job.state == 'done' for job in self.jobs)} of {len(self.jobs)} jobs done", title_justify="left"
        )
        for column in ("job", "changed", "state", "value", "seconds"):
            table.add_column(column, justify="left" if column in ("changed", "state") else "right")
        # A terminal shows so many rows; the jobs in work and the newest ends are what one looks for.
        waiting = [job for job in self.jobs if job.state == "waiting"]
        shown = [job for job in self.jobs if job.state != "waiting"][-20:] + waiting[:5]
        for job in shown:
            state = f"failed: {job.reason}" if job.state == "failed" else job.state
            value = "" if job.value is None else number(job.value)
            seconds = "" if job.seconds is None else f"{job.seconds:.0f}"
            # Text, because rich takes brackets in a string for its own markup.
            cells = str(job.number), self._changed(job), state, value, seconds
            table.add_row(*(Text(in_one_line(cell)) for cell in cells))
        if len(waiting) > 5:
            table.caption = f"and {len(waiting) - 5} more waiting"
        return table

    @staticmethod
    def _outcome(job: Any) -> str:
        if job.state == "done" and job.value is not None:
            end = f" ({job.reason})" if job.reason else ""
            return f"done {number(job.value)} in {job.seconds:.1f} s{end}"
        return f"{job.state}: {job.reason}" if job.reason else job.state

    @staticmethod
    def _changed(job: Any) -> str:
        return " ".join(f"{key}={value}" for key, value in job.changed.items())


def print_metrics(title: str, metrics: dict[str, float], during: Mapping[str, str] | None = None) -> None:
    """A table: one row a metric, one column a part; `during`: when the values of a part were taken that are means."""
    columns, rows = metrics_table(metrics, during)
    table = Table(title=Text(in_one_line(title)), title_justify="left")
    for column in columns:
        table.add_column(Text(in_one_line(column)), justify="left" if column == columns[0] else "right")
    for name, *cells in rows:
        table.add_row(Text(in_one_line(name)), *cells)
    rich_print(table)


def metrics_table(
    metrics: Mapping[str, float], during: Mapping[str, str] | None = None
) -> tuple[list[str], list[list[str]]]:
    """(Columns, rows): a row a metric, a column a part; `during` as in `print_metrics`."""
    parts, names = (list(dict.fromkeys(name.split("/")[place] for name in metrics)) for place in (0, 1))
    heads = [f"{part}, during {during[part]}" if during and part in during else part for part in parts]
    cells = {name: [metrics.get(f"{part}/{name}") for part in parts] for name in names}
    return ["metric", *heads], [
        [name, *("" if value is None else number(value) for value in own)] for name, own in cells.items()
    ]


def number(value: float) -> str:
    """Four digits that say something: 0.9749, 0.001234, 2861, 1.2e-08; a count as it is: 12; nan: `undefined`."""
    if math.isnan(value):
        return "undefined"
    if isinstance(value, int):
        return str(value)
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.4f}"
    return f"{value:.4g}"


def rich_print(thing: Any) -> None:
    """A rich table on stdout; plain where stdout is no terminal."""
    RichConsole(highlight=False, soft_wrap=not sys.stdout.isatty()).print(thing)
