"""Tables of text: for a person at a terminal, for the next program in a pipe."""

import re
import sys
from collections.abc import Collection, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from dlrun.terminal.console import rich_print
from dlrun.terminal.escaping import in_one_line


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> None:
    """Prints `rows`; the columns named in `right` are flush right.

    A terminal gets a frame and wrapped cells, anything else one line a row with nothing cut off.
    """
    if not sys.stdout.isatty():
        print(plain(title, columns, rows, right))
        return
    columns, rows = _seen(columns), list(map(_seen, rows))
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        # A long name in the head would make a column of short values wide: `val/accuracy` takes two lines.
        head = re.sub(r"(?<=/)|(?=\.)", "\n", column.replace(" ", "\n") if column in right else column)
        table.add_column(Text(head), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        # Text, because rich takes brackets in a string for its own markup.
        table.add_row(*map(Text, row))
    rich_print(table)


def plain(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> str:
    """Aligned columns, two spaces between them."""
    columns, rows = _seen(columns), list(map(_seen, rows))
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    lines = [title] if title else []
    for row in (columns, *rows):
        cells = []
        for column, cell, width in zip(columns, row, widths, strict=True):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if column in right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _seen(cells: Sequence[str]) -> list[str]:
    return [in_one_line(cell) for cell in cells]
