"""A CSV file: its columns of numbers or texts, and on which line each value stands.

pandas parses, by the rules of `layout`; it is imported at the top, and only for a file that is a table.
"""

import itertools
import re
import shlex
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from dlrun.config import schema
from dlrun.data.reading import read_utf8, records
from dlrun.data.tables.layout import Layout, find_layout, shown
from dlrun.data.tables.values import in_brackets, number, quoted
from dlrun.errors import UserError, bounded

SHOWN = 5  # words in a message
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2}.*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}.*|\d{1,2}:\d{2}(:\d{2}.*)?( ?[ap]m)?"
    rf"|([a-z]+,? )?\d{{1,2}}[- .]*{_MONTH}[- ,]*(\d{{2,4}}.*)?|([a-z]+,? )?{_MONTH} \d{{1,2}},? .*\d{{4}}.*",
    re.IGNORECASE,
)
# Signs of currencies, thousands and shares that hide a number from a program.
_DRESS = re.compile(r"[,'_\s$€£¥%]")


@dataclass
class Words:
    """A column of texts: row i holds `words[codes[i]]`, or nothing where the code is -1."""

    codes: np.ndarray
    words: list[str]

    def __post_init__(self):
        self.counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.words))

    def share(self, is_wanted: np.ndarray | list[bool]) -> float:
        """The share of all values, those not known aside, whose word is wanted."""
        return float(self.counts[np.array(is_wanted, dtype=bool)].sum() / max(1, self.counts.sum()))

    def numbers(self) -> np.ndarray:
        """Each word as a number, nan if it is none."""
        return np.array([number(word) for word in self.words], dtype=np.float64)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """A value a word -> a value a row (N,), nan where nothing is known."""
        return np.append(values, np.nan)[self.codes]

    def first(self, is_wanted: np.ndarray) -> int:
        """The first row whose word is wanted."""
        return int(np.flatnonzero(np.append(is_wanted, False)[self.codes])[0])

    def are_dates(self) -> bool:
        return self.share([_DATE.fullmatch(word) is not None for word in self.words]) > 0.5

    def look_like_numbers(self) -> bool:
        """Whether most values are numbers, perhaps with signs such as `$1,200` or `45%` or decimal commas."""
        return self.share([not np.isnan(number(_DRESS.sub("", word))) for word in self.words]) > 0.5


@dataclass
class Sheet:
    """A text file in UTF-8 whose records all have one field for each of `names`.

    A record is counted from 0 without the header; a row, in messages, is the line of the file, counted from 1.

    **Fields:**

    - `as_written`: columns whose texts are taken as they are: none of `na_values` is missing there, an empty one is.
    - `chosen`: the columns that the config already lists under a key, for advice that keeps them.
    """

    path: Path
    content: bytes
    layout: Layout
    na_values: tuple[str, ...]
    as_written: frozenset[int] = frozenset()
    chosen: dict[str, list[int]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return self.layout.names

    def read(self, as_text: Collection[int]) -> list[np.ndarray | Words]:
        """Every column: float64 with nan where missing, or, if it holds any text or is among `as_text`, its words.

        **Raises:** `UserError` for records with too few or too many fields.
        """
        as_text = {*as_text, *self.as_written}
        # One column more than there should be, to see what has no place.
        frame = self._parse(names=list(range(self.layout.width + 1)), dtype=dict.fromkeys(as_text, str))
        if len(frame) == 0:
            self.fail("a header and no rows" if self.layout.has_header else "no rows")
        # A short record has nothing in its last field, a long one something behind it.
        is_there = frame.iloc[:, len(self.names) - 1 :].notna().to_numpy()
        if not is_there[:, 0].all() or is_there[:, 1:].any():
            self._check_widths()
        frame = frame.iloc[:, : len(self.names)]
        texts = {column for column in frame if frame[column].dtype.kind not in "iuf"} | as_text
        # Once more, for the exact text: pandas may have read 007 as 7 further up in a column of texts.
        again = frame
        if texts - as_text:
            again = self._parse(names=list(range(self.layout.width)), usecols=sorted(texts), dtype=str)
        columns = [
            _words(pd.Series(again[column]), () if column in self.as_written else self.na_values)
            if column in texts
            else frame[column].to_numpy(dtype=np.float64)
            for column in range(len(self.names))
        ]
        words = (word for column in columns if isinstance(column, Words) for word in column.words)
        if any(mark in word for word in words for mark in (self.layout.quote, "\n", "\r")):
            self._check_quotes()
        return columns

    def rows(self) -> list[tuple[int, list[str]]]:
        """The line and the fields of each record, without blanks around them, by no rule for what they say."""
        return [(line, [text.strip() for text in fields]) for line, fields in self._records()]

    def lines(self) -> list[int]:
        """The line on which each record starts."""
        return [line for line, _ in self._records()]

    def spans(self, num_records: int) -> tuple[np.ndarray, np.ndarray]:
        """The first and the last line of each record (N,), counted from 0."""
        body, layout = self.content[self.layout.start :], self.layout
        separator = layout.separator.encode()
        single = [number for number, line in enumerate(body.splitlines()) if line.strip() or separator in line]
        if len(single) == num_records:
            both = np.array([single, single]) + layout.line
        else:
            found = records(self.path, body, layout.separator, layout.line, layout.quote)
            both = np.array([lines[:2] for lines in found]).T
        return both[0] - 1, both[1] - 1

    def text(self, record: int, column: int) -> str:
        """What stands in a field."""
        return self._record(record)[1][column].strip()

    def find(self, column: str | int, key: str) -> int:
        """The index of a column by its name, or counted from 0 or, below 0, from the end.

        **Raises:** `UserError` that names the config `key`, the nearest name and all names.
        """
        count = len(self.names)
        if isinstance(column, int) and -count <= column < count:
            return column % count
        if column in self.names:
            index = self.names.index(column)
            if column in self.names[index + 1 :]:
                raise UserError(f"data.{key}: {self.path} has two columns {quoted(column)}; give the number, from 0")
            return index
        near = f"; it has {count}, counted from 0"
        if isinstance(column, str):
            near = schema.suggest(column, [" ".join(name.split()) for name in self.names])
        names = schema.few([quoted(name) for name in self.names], SHOWN)
        hint = "" if self.layout.has_header else "; read without a header: data.header=true takes row 1 for one"
        raise UserError(bounded(f"data.{key}: no column {column!r} in {self.path}{near} (columns: {names}){hint}"))

    def advice(self, key: str, *indices: int) -> str:
        """`data.<key>=[...]`, as a shell takes it, with these columns and those that the config lists already."""
        columns = [in_brackets(self.names[i]) for i in dict.fromkeys([*self.chosen.get(key, ()), *indices])]
        numbers = list(dict.fromkeys([*self.chosen.get(key, ()), *indices]))
        is_once = {name: self.names.count(name) == 1 and self.layout.has_header for name in self.names}
        listed = ",".join(
            name if name is not None and is_once[self.names[i]] else str(i)
            for i, name in zip(numbers, columns, strict=True)
        )
        word = f"data.{key}=[{listed}]"
        return word if re.fullmatch(r"[\w.=,\[\]-]+", word, re.ASCII) else shlex.quote(word)

    def fail(self, message: str, record: int | None = None, column: int | None = None) -> NoReturn:
        """**Raises:** `UserError`: the place, then the text that stands there if it is a record's, then `message`."""
        raise UserError(self.told(message, record, column))

    def told(self, message: str, record: int | None = None, column: int | None = None) -> str:
        """One line: the place, then the text that stands there if it is a record's, then `message`."""
        where = []
        if record is not None and column is not None:
            line, fields = self._record(record)
            where.append(f"row {line}")
            text = fields[column].strip()
            message = f"{quoted(text) if text else 'an empty field'} {message}"
            if record == 0 and not self.layout.has_header:
                message += "; is this row a header? data.header=true"
        if column is not None:
            where.append(f"column {quoted(self.names[column])}")
        return bounded(": ".join([str(self.path), *filter(None, [", ".join(where)]), message]))

    def _records(self, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        body, layout = self.content[self.layout.start :], self.layout
        found = records(self.path, body, layout.separator, layout.line, layout.quote, strict)
        return ((line, fields) for line, _, fields in found)

    def _record(self, wanted: int) -> tuple[int, list[str]]:
        """The line on which a record starts, and its fields."""
        return next(itertools.islice(self._records(), wanted, None))

    def _parse(self, **options: Any) -> pd.DataFrame:
        missing = {
            column: [""] if column in self.as_written else ["", *self.na_values]
            for column in range(self.layout.width + 1)
        }
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            try:
                body = BytesIO(self.content)
                body.seek(self.layout.start)
                return pd.read_csv(
                    body,
                    sep=self.layout.separator,
                    quotechar=self.layout.quote,
                    header=None,
                    index_col=False,
                    skipinitialspace=True,
                    keep_default_na=False,
                    na_values=missing,
                    # The nearest number to a text, as Python reads it: a row is the same in any file.
                    float_precision="round_trip",
                    **options,
                )
            except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
                last = self._check_widths()
                reason = " ".join(str(error).split())
                if "EOF inside string" in reason:
                    reason = "the quote that opens a field here is never closed"
                raise UserError(bounded(f"{self.path}: row {last}: {reason}")) from error

    def _check_quotes(self) -> None:
        """A stray quote can join fields or records and still leave the right number of fields.

        **Raises:** `UserError` if a quote that closes a field does not end it.
        """
        for _ in self._records(strict=True):
            pass

    def _check_widths(self) -> int:
        """The line of the last record. **Raises:** `UserError` for all that have not as many fields as the first."""
        expected, line = len(self.names), self.layout.line
        wrong: list[tuple[int, list[str]]] = []
        counts: set[int] = set()
        num_records = 0
        for line, fields in self._records():
            num_records += 1
            surplus = fields[expected:]
            if len(fields) < expected or len(fields) > self.layout.width + 1 or any(text.strip() for text in surplus):
                wrong.append((line, fields))
                counts.add(len(fields))
        if not wrong:
            return line
        first, fields = wrong[0]
        found = f"{len(fields)} fields, but the first row has {expected} (separator {shown(self.layout.separator)})"
        others = schema.few([str(row) for row, _ in wrong[1:]], SHOWN)
        also = f"; {'so' if len(counts) == 1 else 'others'} in rows {others}" if len(wrong) > 1 else ""
        raise UserError(bounded(f"{self.path}: row {first}: {found}{also}{self._why(wrong, counts, num_records)}"))

    def _why(self, wrong: list[tuple[int, list[str]]], counts: set[int], num_records: int) -> str:
        """What may have made records too short or too long."""
        fields = wrong[0][1]
        if any("\n" in text for text in fields):
            return "; is a quote missing?"
        if fields[0].lstrip().startswith("#"):
            return "; comments may stand above the table only"
        if len(wrong) == num_records > 1 and len(counts) == 1:
            if counts == {len(self.names) + 1}:
                return "; if the first column has no name, write one in front of the first row"
            return "; if the first row is a title, delete it or begin it with #"
        return ""


def open_sheet(
    path: Path,
    separator: str | None = None,
    header: bool | None = None,
    na_values: tuple[str, ...] = (),
    *,
    prefer: str | None = None,
    least: int = 2,
    key: str = "path",
    content: bytes | None = None,
) -> Sheet:
    """Reads a file whole and finds out how it is laid out where that is not given; see `find_layout`.

    `content` is what stands in it, where that is known.

    **Raises:** `UserError` if it cannot be read, is no text in UTF-8, is empty, or has fewer than `least` columns.
    """
    content = read_utf8(path, key) if content is None else content
    options: dict[str, Any] = {"prefer": prefer, "header": header, "na_values": na_values, "least": least}
    return Sheet(path, content, find_layout(path, content, separator=separator, **options), na_values)


def _words(column: pd.Series, na_values: Collection[str]) -> Words:
    codes, texts = pd.factorize(column)
    stripped = [text.strip() for text in texts]
    words = dict.fromkeys(word for word in stripped if word and word not in na_values)
    code_of = {word: code for code, word in enumerate(words)}
    # Behind the last one stands what -1, a missing value, picks.
    table = np.array([code_of.get(word, -1) for word in stripped] + [-1])
    return Words(table[codes], list(words))
