"""Tables of text: for a person at a terminal, for the next program in a pipe, as Markdown and as HTML."""

import base64
import html
import re
import sys
from collections.abc import Collection, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from dlrun.console import rich_print


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> None:
    """Prints `rows`; the columns named in `right` are flush right.

    A terminal gets a frame and wrapped cells, anything else one line a row with nothing cut off.
    """
    if not sys.stdout.isatty():
        print(plain(title, columns, rows, right))
        return
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
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    lines = [title] if title else []
    for row in (columns, *rows):
        cells = []
        for column, cell, width in zip(columns, row, widths, strict=True):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if column in right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> str:
    """The same as a Markdown table."""
    rule = ["---:" if column in right else ":---" for column in columns]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (columns, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (escaped[0], rule, *escaped[1:])) + "\n"


def html_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> str:
    """The same as HTML."""
    sides = ['class="right"' if column in right else "" for column in columns]

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag} {side}>{html.escape(cell)}</{tag}>" for cell, side in zip(cells, sides, strict=True))

    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table>\n<tr>{line(columns, 'th')}</tr>\n{body}\n</table>"


def html_page(title: str, sections: Sequence[tuple[str, str]], pngs: Sequence[bytes]) -> str:
    """A page that needs no other file: (heading, HTML) sections and the pictures inside it."""
    style = (
        "body{font-family:sans-serif;margin:2em;max-width:80em}td,th{padding:.2em .8em;text-align:left}"
        "tr:nth-child(even){background:#f4f4f4}.right{text-align:right}img{max-width:100%}"
    )
    head = f'<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n<style>{style}</style>'
    parts = [f"<h2>{html.escape(heading)}</h2>\n{body}" for heading, body in sections]
    parts += [f'<p><img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>' for png in pngs]
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en">\n{head}\n<h1>{html.escape(title)}</h1>\n{body}\n</html>\n'
