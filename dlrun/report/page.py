"""Tables as Markdown and as HTML, and a page that needs no other file."""

import base64
import html
import re
from collections.abc import Collection, Sequence

from dlrun.terminal.escaping import in_one_line as _shown

_MARKUP = re.compile(r"[|`\[\]*!]|(?<!\w)_|_(?!\w)")


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> str:
    """The same as a Markdown table, in whose cells nothing is markup."""
    rule = ["---:" if column in right else ":---" for column in columns]
    escaped = [list(map(in_markdown, row)) for row in (columns, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (escaped[0], rule, *escaped[1:])) + "\n"


def in_markdown(text: str) -> str:
    """`text` as Markdown shows it: nothing in it is markup, or HTML."""
    return _MARKUP.sub(r"\\\g<0>", html.escape(_shown(text), quote=False))


def html_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> str:
    """The same as HTML."""
    sides = ['class="right"' if column in right else "" for column in columns]

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag} {side}>{html.escape(_shown(cell))}</{tag}>" for cell, side in zip(cells, sides, strict=True)
        )

    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table>\n<tr>{line(columns, 'th')}</tr>\n{body}\n</table>"


def html_picture(png: bytes, name: str = "") -> str:
    """A picture that stands in the page itself; `name` is read out in its place."""
    encoded = base64.b64encode(png).decode()
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{encoded}">'


def html_page(title: str, sections: Sequence[tuple[str, str]], pngs: Sequence[bytes]) -> str:
    """A page that needs no other file: (heading, HTML) sections and the pictures inside it."""
    style = (
        "body{font-family:sans-serif;margin:2em;max-width:80em}td,th{padding:.2em .8em;text-align:left}"
        "tr:nth-child(even){background:#f4f4f4}.right{text-align:right}img{max-width:100%}"
    )
    head = f'<meta charset="utf-8">\n<title>{html.escape(_shown(title))}</title>\n<style>{style}</style>'
    parts = [f"<h2>{html.escape(heading)}</h2>\n{body}" for heading, body in sections]
    parts += [f"<p>{html_picture(png)}</p>" for png in pngs]
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en">\n{head}\n<h1>{html.escape(_shown(title))}</h1>\n{body}\n</html>\n'
