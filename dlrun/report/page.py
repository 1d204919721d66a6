"""Tables as Markdown and as HTML, and a page that needs no other file."""

import base64
import hashlib
import html
import os
import pathlib
import re
import urllib.parse
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


class Html(str):
    """Markup as it stands; any other text that comes into a page is escaped."""


def html_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> str:
    """The same as HTML; a cell may be `Html`."""
    sides = [' class="right"' if column in right else "" for column in columns]

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}{side}>{_escaped(cell)}</{tag}>" for cell, side in zip(cells, sides, strict=True))

    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{line(columns, 'th')}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def html_note(text: str) -> Html:
    return Html(f"<p>{_escaped(text)}</p>")


def html_list(lines: Sequence[str]) -> Html:
    return Html(f"<ul>{''.join(f'<li>{_escaped(line)}</li>' for line in lines)}</ul>" if lines else "")


def html_picture(content: bytes, name: str = "", kind: str = "png") -> Html:
    """A picture that stands in the page itself; `name` is read out in its place."""
    encoded = base64.b64encode(content).decode()
    return Html(f'<img alt="{_escaped(name)}" src="data:image/{kind};base64,{encoded}">')


def html_link(path: str, shown: str) -> Html:
    """A link to a file or folder, by its `path` as seen from the page."""
    # A colon in the first part of a path would make a scheme of it.
    return Html(f'<a href="{urllib.parse.quote(os.fsencode(path))}">{_escaped(shown)}</a>')


def html_code(text: str) -> Html:
    """A command, of which a table shows the beginning."""
    return Html(f'<code tabindex="0">{_escaped(text)}</code>' if text else "")


def html_page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """A page that needs no other file, of (heading, HTML) sections, with tables that can be sorted.

    It may fetch nothing and run nothing but its own script, whatever a run has written into it.
    """
    folder = pathlib.Path(__file__).parent
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    ids = [re.sub(r"\W+", "-", heading.lower()) for heading, _ in sections]
    named = list(zip(ids, sections, strict=True))
    links = " ".join(f'<a href="#{name}">{_escaped(heading)}</a>' for name, (heading, _) in named)
    body = "\n".join(
        f'<section id="{name}">\n<h2>{_escaped(heading)}</h2>\n<div class="wide">{content}</div>\n</section>'
        for name, (heading, content) in named
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{_escaped(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{style}</style>\n'
        f"<h1>{_escaped(title)}</h1>\n<nav>{links}</nav>\n{body}\n<script>{script}</script>\n</html>\n"
    )


def _escaped(text: str) -> str:
    return text if isinstance(text, Html) else html.escape(_shown(text))


def _hash(text: str) -> str:
    """What a policy names a script or a style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
