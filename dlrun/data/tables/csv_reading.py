"""A CSV file: how it is written, its columns of numbers or texts, and on which line each value stands.

pandas is imported at the top: only `data=csv` imports this module.
"""

import csv
import io
import itertools
import re
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from dlrun.config import schema
from dlrun.data.reading import read_utf8
from dlrun.errors import UserError

# In the order of preference: a comma is the one that is often part of a text or a number.
SEPARATORS = {"\t": "tab", ";": "';'", "|": "'|'", ",": "','"}
SAMPLE_BYTES = 256 * 1024  # from which the separator and the header are found out
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
    The first record starts at byte `start` of `content`, not above `line`. `width` is the number of fields of the
    first row, with those that are empty in every row at its end.
    """

    path: Path
    content: bytes
    separator: str
    na_values: tuple[str, ...]
    names: list[str]
    width: int
    has_header: bool
    start: int
    line: int

    def read(self, as_text: Collection[int]) -> list[np.ndarray | Words]:
        """Every column: float64 with nan where missing, or, if it holds any text or is among `as_text`, its words.

        **Raises:** `UserError` for a record with too few or too many fields.
        """
        # One column more than there should be, to see what has no place.
        frame = self._parse(names=list(range(self.width + 1)), dtype=dict.fromkeys(as_text, str))
        if len(frame) == 0:
            self.fail("a header and no rows" if self.has_header else "no rows")
        # A short record has nothing in its last field, a long one something behind it.
        is_there = frame.iloc[:, len(self.names) - 1 :].notna().to_numpy()
        if not is_there[:, 0].all() or is_there[:, 1:].any():
            self._find_ragged()
        frame = frame.iloc[:, : len(self.names)]
        texts = {column for column in frame if frame[column].dtype.kind not in "iuf"} | set(as_text)
        # Once more, for the exact text: pandas may have read 007 as 7 further up in a column of texts.
        again = frame
        if texts - set(as_text):
            again = self._parse(names=list(range(self.width)), usecols=sorted(texts), dtype=str)
        columns = [
            _words(pd.Series(again[column]), self.na_values)
            if column in texts
            else frame[column].to_numpy(dtype=np.float64)
            for column in range(len(self.names))
        ]
        words = (word for column in columns if isinstance(column, Words) for word in column.words)
        if any(mark in word for word in words for mark in '"\n\r'):
            self._check_quotes()
        return columns

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
        names = schema.few([quoted(name) for name in self.names], 10)
        hint = "" if self.has_header else "; read without a header: data.header=true takes row 1 for one"
        raise UserError(f"data.{key}: no column {column!r} in {self.path}{near} (columns: {names}){hint}")

    def key(self, index: int) -> str:
        """A column as the command line can name it."""
        name = self.names[index]
        return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else str(index)

    def fail(self, message: str, record: int | None = None, column: int | None = None) -> NoReturn:
        """**Raises:** `UserError`: the place, then the text that stands there if it is a record's, then `message`."""
        where = []
        if record is not None and column is not None:
            line, fields = self._record(record)
            where.append(f"row {line}")
            text = fields[column].strip()
            message = f"{quoted(text) if text else 'an empty field'} {message}"
            if record == 0 and not self.has_header:
                message += "; is this row a header? data.header=true"
        if column is not None:
            where.append(f"column {quoted(self.names[column])}")
        raise UserError(": ".join([str(self.path), *filter(None, [", ".join(where)]), message]))

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        return ((line, fields) for line, _, fields in records(self.path, self._body(), self.separator, self.line))

    def _record(self, wanted: int) -> tuple[int, list[str]]:
        """The line on which a record starts, and its fields."""
        return next(itertools.islice(self._records(), wanted, None))

    def _body(self) -> io.BytesIO:
        body = io.BytesIO(self.content)
        body.seek(self.start)
        return body

    def _parse(self, **options: Any) -> pd.DataFrame:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            try:
                return pd.read_csv(
                    self._body(),
                    sep=self.separator,
                    header=None,
                    index_col=False,
                    skipinitialspace=True,
                    keep_default_na=False,
                    na_values=["", *self.na_values],
                    **options,
                )
            except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
                last = self._find_ragged()
                reason = " ".join(str(error).split())
                if "EOF inside string" in reason:
                    reason = "the quote that opens a field here is never closed"
                raise UserError(f"{self.path}: row {last}: {reason}") from error

    def _check_quotes(self) -> None:
        """A stray quote can join fields or records and still leave the right number of fields.

        **Raises:** `UserError` if a quote that closes a field does not end it.
        """
        for _ in records(self.path, self._body(), self.separator, self.line, strict=True):
            pass

    def _find_ragged(self) -> int:
        """The line of the last record. **Raises:** `UserError` for one that has not as many fields as the first row."""
        expected, line = len(self.names), self.line
        for line, fields in self._records():
            surplus = fields[expected:]
            if len(fields) < expected or len(fields) > self.width + 1 or any(field.strip() for field in surplus):
                found = f"{len(fields)} fields, but the first row has {expected}"
                hint = "; is a quote missing?" if any("\n" in field for field in fields) else ""
                raise UserError(f"{self.path}: row {line}: {found} (separator {shown(self.separator)}){hint}")
        return line


def open_sheet(path: Path, separator: str | None, header: bool | None, na_values: tuple[str, ...]) -> Sheet:
    """Reads a file whole and finds out separator and header where they are not given.

    **Raises:** `UserError` if it cannot be read, is no text in UTF-8, is empty, or has one column only.
    """
    content = read_utf8(path)
    head = content[: content.find(b"\n", SAMPLE_BYTES) + 1 or len(content)]
    separator = separator or _separator(path, head)
    sample = list(records(path, io.BytesIO(head), separator))
    if not sample:
        raise UserError(f"{path}: is empty")
    line, end, first = sample[0]
    others = [fields for _, _, fields in sample[1:]]
    width = used = len(first)
    while used > 2 and not any(len(fields) >= used and fields[used - 1].strip() for fields in [first, *others]):
        used -= 1
    if used < 2:
        raise UserError(
            f"{path}: row {line}: one column only with separator {shown(separator)}; a target and at least one "
            "feature are needed, or data.separator"
        )
    has_header = header if header is not None else _has_header(first[:used], others)
    names = [name.strip() if has_header and name.strip() else f"column_{i}" for i, name in enumerate(first[:used])]
    lines = end if has_header else 0
    start = sum(map(len, head.splitlines(keepends=True)[:lines]))
    return Sheet(path, content, separator, na_values, names, width, has_header, start, lines + 1)


def records(
    path: Path, body: io.BytesIO, separator: str, line: int = 1, strict: bool = False
) -> Iterator[tuple[int, int, list[str]]]:
    """Each record of `body` that is not blank: its first and its last line, and its fields; `body` starts on `line`.

    **Raises:** `UserError` for a field too long to be one; `strict`: for one that goes on behind its closing quote.
    """
    raw = ""

    def remembered() -> Iterator[str]:
        nonlocal raw
        for text in io.TextIOWrapper(body, "utf-8", errors="replace", newline=""):
            raw = text
            yield text

    reader = csv.reader(remembered(), delimiter=separator, skipinitialspace=True, strict=strict)
    before, first = line - 1, line
    try:
        for fields in reader:
            # The line itself says it: the fields of a quoted nothing look the same.
            if raw.strip() or len(fields) > 1:
                yield first, before + reader.line_num, fields
            first = before + reader.line_num + 1
    except csv.Error as error:
        hint = ", a quote is missing or one too many" if strict else ""
        raise UserError(f"{path}: row {first}: {error}{hint}") from error


def shown(separator: str) -> str:
    """A separator as a message writes it."""
    return SEPARATORS.get(separator, repr(separator))


def _separator(path: Path, sample: bytes) -> str:
    """The separator that cuts the most rows into as many fields as the first one, and that into at least two."""
    shares: dict[str, float] = {}
    for separator in SEPARATORS:
        try:
            counts = [len(fields) for _, _, fields in records(path, io.BytesIO(sample), separator)]
        except UserError:
            continue  # a field that long has not been cut by its separator
        if counts and counts[0] > 1:
            shares[separator] = counts.count(counts[0]) / len(counts)
    return max(shares, key=lambda separator: shares[separator]) if shares else ","


def _has_header(first: list[str], others: list[list[str]]) -> bool:
    """Whether the first row holds names: no numbers (but 0, 1, 2, ..., as pandas counts columns), not values again."""
    if len(first) > 2 and first == [str(column) for column in range(len(first))]:
        return True
    if any(not np.isnan(number(field)) for field in first):
        return False
    return not others or not all(
        any(column < len(fields) and fields[column] == field for fields in others) for column, field in enumerate(first)
    )


def _words(column: pd.Series, na_values: Collection[str]) -> Words:
    codes, texts = pd.factorize(column)
    stripped = [text.strip() for text in texts]
    words = dict.fromkeys(word for word in stripped if word and word not in na_values)
    code_of = {word: code for code, word in enumerate(words)}
    # Behind the last one stands what -1, a missing value, picks.
    table = np.array([code_of.get(word, -1) for word in stripped] + [-1])
    return Words(table[codes], list(words))


def number(text: str) -> float:
    """A text as a number, nan if it is none."""
    try:
        # Python reads 1_000, which no other program writes.
        return float(text) if "_" not in text else float("nan")
    except ValueError:
        return float("nan")


def ordered(words: list[str]) -> list[str]:
    """Numbers by their value, texts by the alphabet."""
    values = [number(word) for word in words]
    return sorted(words) if np.isnan(values).any() else [word for _, word in sorted(zip(values, words, strict=True))]


def quoted(text: str) -> str:
    """A text of a file on one line of a message."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
