"""Random CSV files, good and broken in one known way, with what must come of them."""

import csv
import gzip
import io
import math
import random
from dataclasses import dataclass, field
from typing import Any

NA = ("?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A", "")
WORDS = (
    "red",
    "dark blue",
    "grün",
    "a,b",
    "x;y",
    'say "hi"',
    "two\nlines",
    "tab\there",
    "Ωmega",
    "no",
    "-",
    "1st",
    "p|q",
)
NUMBER_FORMATS = ("{:.0f}", "{:.3f}", "{:.6e}", "{:+.2f}", "{:g}", "{!r}")


@dataclass
class Table:
    """Columns of texts as they are written, the first one an id that no other row has."""

    names: list[str]
    rows: list[list[str]]
    numeric: list[str]
    categorical: list[str]
    target_kind: str

    def column(self, name: str) -> int:
        return self.names.index(name)


@dataclass
class Style:
    separator: str = ","
    header: bool = True
    quoting: Any = csv.QUOTE_MINIMAL
    newline: str = "\n"
    mark: bytes = b""
    packed: bool = False
    blanks: bool = False
    last_newline: bool = True


@dataclass
class Case:
    """A file, the options to read it with, and the words that its error line must hold (None: it is read)."""

    fault: str
    content: bytes | None
    options: dict[str, Any]
    error: list[str] | None
    table: Table
    style: Style
    printed: list[str] = field(default_factory=list)


def table(draw: random.Random, rows: int | None = None) -> Table:
    """A good table: the target is the last column, its texts, whole or other numbers say what it is."""
    count = rows or draw.randint(12, 40)
    numeric = [f"n{i}" for i in range(draw.randint(1, 4))]
    categorical = [f"c {i}" for i in range(draw.randint(0, 3))]
    target_kind = draw.choice(("value", "class", "binary"))
    columns: dict[str, list[str]] = {"id": [str(i + 0.5) for i in range(count)]}
    for name in numeric:
        scale, form = 10 ** draw.uniform(-3, 6), draw.choice(NUMBER_FORMATS)
        columns[name] = [form.format(draw.gauss(0, 1) * scale) for _ in range(count)]
    for name in categorical:
        words = draw.sample(WORDS, draw.randint(2, 5))
        columns[name] = [draw.choice(words) for _ in range(count)]
    middle = list(columns)[1:]
    draw.shuffle(middle)
    if target_kind == "value":
        columns["y"] = [repr(draw.uniform(-100, 100)) for _ in range(count)]
    else:
        names = draw.choice((["0", "1"], ["no", "yes"])) if target_kind == "binary" else ["ant", "bee", "cat"]
        columns["y"] = [names[i % len(names)] for i in range(count)]
        draw.shuffle(columns["y"])
    names = ["id", *middle, "y"]
    return Table(
        names,
        [list(row) for row in zip(*(columns[name] for name in names), strict=True)],
        numeric,
        categorical,
        target_kind,
    )


def style(draw: random.Random) -> Style:
    return Style(
        separator=draw.choice(",,;\t|"),
        header=draw.random() < 0.7,
        quoting=draw.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
        newline=draw.choice(("\n", "\n", "\r\n")),
        mark=draw.choice((b"", b"", b"\xef\xbb\xbf")),
        packed=draw.random() < 0.2,
        blanks=draw.random() < 0.2,
        last_newline=draw.random() < 0.8,
    )


def written(made: Table, how: Style) -> tuple[bytes, list[int]]:
    """The bytes, and the line on which each row of the table starts."""
    text, lines = io.StringIO(), []
    writer = csv.writer(text, delimiter=how.separator, quoting=how.quoting, lineterminator=how.newline)
    if how.header:
        writer.writerow(made.names)
    for number, row in enumerate(made.rows):
        if how.blanks and number % 5 == 3:
            text.write(how.newline)
        lines.append(text.getvalue().count("\n") + 1)
        writer.writerow(row)
    content = text.getvalue() if how.last_newline else text.getvalue().removesuffix(how.newline)
    data = how.mark + content.encode()
    return (gzip.compress(data) if how.packed else data), lines


def good(seed: int) -> Case:
    draw = random.Random(seed)
    made, how = table(draw), style(draw)
    content, _ = written(made, how)
    options = {"test_fraction": draw.choice((0.0, 0.25)), "val_fraction": draw.choice((0.0, 0.2))}
    if draw.random() < 0.3:
        options |= {"separator": how.separator, "header": how.header, "target": len(made.names) - 1}
    return Case("none", content, options, None, made, how)


def number(text: str) -> float:
    return math.nan if text in NA else float(text)


class Broken:
    """Draws one case; a subclass has a method a fault, which gives the bytes and says what must come of them."""

    def __init__(self, seed: int, fault: str):
        self.draw = random.Random(seed)
        self.table, self.style = table(self.draw), style(self.draw)
        self.options: dict[str, Any] = {"val_fraction": 0.0, "test_fraction": 0.25}
        self.error: list[str] | None = None
        self.printed: list[str] = []
        self.row = self.draw.randrange(len(self.table.rows))
        content = getattr(self, fault)()
        self.case = Case(fault, content, self.options, self.error, self.table, self.style, self.printed)

    @classmethod
    def faults(cls) -> list[str]:
        return [name for name in vars(cls) if not name.startswith("_")]

    def _plain(self, **changes: Any) -> None:
        self.style = Style(**changes)

    def _write(self) -> bytes:
        content, self.lines = written(self.table, self.style)
        return content

    def _shown(self, name: str) -> str:
        return name if self.style.header else f"column_{self.table.column(name)}"

    def _bad_cell(self, name: str, text: str, *words: str) -> bytes:
        """`text` in a random row of a column must be refused there."""
        self.table.rows[self.row][self.table.column(name)] = text
        content = self._write()
        self.error = [f"row {self.lines[self.row]}, column {self._shown(name)!r}", *words]
        return content


class Damaged:
    """A good file with a few random bytes changed, lost or doubled: it may be read or not, but in one line."""

    PIECES = (
        b"",
        b",",
        b'"',
        b"\n",
        b"\r",
        b";",
        b"\t",
        b" ",
        b"nan",
        b"-",
        b"e",
        b"\xff",
        b"\x00",
        b"''",
        b"1e999",
        b"\xc3",
    )

    def __init__(self, seed: int):
        draw = random.Random(seed)
        made, how = table(draw), style(draw)
        how.packed = False
        content, _ = written(made, how)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(content))
            content = content[:at] + draw.choice(self.PIECES) + content[at + draw.randint(0, 3) :]
        self.content = content
        self.options = {"missing": draw.choice(("error", "mean", "drop"))}
