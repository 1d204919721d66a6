"""From the columns of a file to features: found out in training, kept with the run, and read by ever after.

Letters: N records of the file, K features of a column, F of all.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlrun.config import schema
from dlrun.config.schema import few
from dlrun.data.tables.csv_reading import SHOWN, Sheet, Words, open_sheet
from dlrun.data.tables.values import number, ordered, quoted
from dlrun.errors import LONGEST, UserError, bounded

# float32 ends at 3e38; this leaves room to subtract a mean and to add up a batch.
LARGEST = 1e37
SHOWN_MISTAKES = 8  # lines of one message
NA_VALUES = ("?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")


@dataclass(frozen=True)
class Column:
    """How a column becomes features: numbers are one, each of `categories` is one, 0 or 1.

    `mean` of the numbers in the train part stands for a missing one; None: it is not known.
    """

    name: str
    index: int
    mean: float | None = None
    categories: tuple[str, ...] | None = None

    @property
    def feature_names(self) -> list[str]:
        return [self.name] if self.categories is None else [f"{self.name}={word}" for word in self.categories]

    def encode(self, values: np.ndarray | Words) -> np.ndarray:
        """float32 (N, K) of numbers (N,) or texts; a missing or unknown category is 0 everywhere."""
        if isinstance(values, np.ndarray):
            filled = values if self.mean is None else np.where(np.isnan(values), self.mean, values)
            return filled.astype(np.float32)[:, None]
        feature_of = {word: k for k, word in enumerate(self.categories or ())}
        hot = np.array([feature_of.get(word, -1) for word in values.words] + [-1])[values.codes]
        table = np.zeros((len(hot), len(feature_of)), dtype=np.float32)
        known = np.flatnonzero(hot >= 0)
        table[known, hot[known]] = 1
        return table

    def unknown(self, values: Words, rows: np.ndarray) -> list[str]:
        """The texts in `rows` that are none of the categories, as often as they stand there."""
        is_unknown = [word not in (self.categories or ()) for word in values.words]
        codes = values.codes[rows]
        return [values.words[code] for code in codes[np.append(is_unknown, False)[codes]]]


@dataclass(frozen=True)
class Rules:
    """How a table was read, and what was made of its columns, whatever file they stand in.

    **Fields:**

    - `separator`, `quote`, `has_header`, `na_values`, `missing`: of the file, and the policy for what is missing.
    - `num_columns`: of the file; `target`: the index of the one that was learned, which a new file may lack.
    - `columns`: those that became features, in their order.
    """

    separator: str
    quote: str
    has_header: bool
    na_values: tuple[str, ...]
    missing: str
    num_columns: int
    target: int
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, sheet: Sheet, missing: str, target: int, columns: Iterable[Column]) -> "Rules":
        """What was found out about `sheet`."""
        layout = sheet.layout
        return cls(
            layout.separator, layout.quote, layout.has_header, sheet.na_values, missing, len(sheet.names), target,
            tuple(columns),
        )  # fmt: skip

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Rules":
        """The inverse of `to_dict`, also after a trip through JSON.

        **Raises:** `UserError` for what is no such record.
        """
        try:
            rules = schema.check(values, cls)
            if not rules.columns:
                raise ValueError("columns: there is none")
            return rules
        except ValueError as error:
            raise UserError(f"the record of how the table was read is damaged: {error}") from error

    @classmethod
    def by_names(cls, feature_names: Sequence[str], header: Sequence[str]) -> "Rules":
        """What the names of features tell of a run that kept no rules: those of an older dlrun, of a table shipped.

        A category is called `column=category`; a column of `header` may itself have an = in its name.
        """
        columns: list[Column] = []
        for name in feature_names:
            column, _, category = name.partition("=")
            if name in header or not category:
                columns.append(Column(name, len(columns)))
            elif columns and columns[-1].name == column and columns[-1].categories is not None:
                grown = (*columns[-1].categories, category)
                columns[-1] = dataclasses.replace(columns[-1], categories=grown)
            else:
                columns.append(Column(column, len(columns), categories=(category,)))
        return cls(",", '"', True, NA_VALUES, "error", len(columns), len(columns), tuple(columns))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a run folder keeps them."""
        return dataclasses.asdict(self)

    def open(self, path: Path, content: bytes | None = None) -> Sheet:
        """A file that is to be read by these rules; another separator than that of the run is found out.

        `content` is what stands in it, where that is known.
        """
        header = True if self.has_header else None
        return open_sheet(path, None, header, self.na_values, prefer=self.separator, least=1, content=content)

    def read(self, sheet: Sheet) -> tuple[list[int], np.ndarray, list[str]]:
        """(The line of each record that is used, features float32 (N, F), what a person should know) of a file.

        **Raises:** `UserError`, all mistakes at once: a column that is not there, or twice; a field that is no number;
        a missing value, if the run refuses those.
        """
        places = self.places(sheet)
        read = sheet.read([i for column, i in zip(self.columns, places, strict=True) if column.categories is not None])
        lines, mistakes, holes, columns = sheet.lines(), Mistakes(sheet), {}, []
        for column, place in zip(self.columns, places, strict=True):
            with mistakes.of(place):
                values = read[place] if column.categories is not None else as_numbers(sheet, place, read[place])
                check_size(sheet, place, values)
                holes[place] = missing_in(values)
                columns.append((column, values))
        mistakes.refuse()
        kept, said = complete(sheet, holes, self.missing if self._knows_means(holes, places) else "error")
        for column, values in columns:
            if isinstance(values, Words):
                said += say_unknown(column, values, kept, f"{len(kept):,} rows")
        x = np.concatenate([column.encode(values)[kept] for column, values in columns], axis=1)
        return [lines[record] for record in kept], x, said

    def _knows_means(self, holes: dict[int, np.ndarray], places: list[int]) -> bool:
        return self.missing != "mean" or not any(
            column.mean is None and column.categories is None and holes[place].any()
            for column, place in zip(self.columns, places, strict=True)
        )

    def places(self, sheet: Sheet) -> list[int]:
        """Where each of the columns stands in another file: by name, or without a header by number."""
        path, names = sheet.path, sheet.names
        if self.has_header:
            missing = [column.name for column in self.columns if column.name not in names]
            if missing:
                found, lacking = (few([quoted(name) for name in each], SHOWN) for each in (names, missing))
                raise UserError(bounded(f"{path}: has no column {lacking}; its header: {found}"))
            for column in self.columns:
                if names.count(column.name) > 1:
                    both = few([str(i) for i, name in enumerate(names) if name == column.name], SHOWN)
                    sheet.fail(
                        f"the name of several columns ({both}, from 0); rename one", column=names.index(column.name)
                    )
            return [names.index(column.name) for column in self.columns]
        if sheet.layout.has_header and all(column.name in names for column in self.columns):
            return [names.index(column.name) for column in self.columns]
        if len(names) == self.num_columns:
            return [column.index for column in self.columns]
        if len(names) == self.num_columns - 1:  # that of the target
            return [column.index - (column.index > self.target) for column in self.columns]
        raise UserError(
            f"{path}: has {len(names)} columns, this run was trained without a header on {self.num_columns}, of which "
            f"number {self.target}, from 0, is the target"
        )

    def row(self, fields: list[str]) -> np.ndarray:
        """Features float32 (1, F) of one row that a person types, a field for each column, all of them known.

        **Raises:** `ValueError` in words.
        """
        if len(fields) != len(self.columns):
            kind = "fields" if any(column.categories for column in self.columns) else "numbers"
            names = few([column.name for column in self.columns], SHOWN)
            raise ValueError(f"has {len(fields)} {kind} and is no file; this run takes {len(self.columns)} ({names})")
        values: list[float] = []
        for column, text in zip(self.columns, (text.strip() for text in fields), strict=True):
            if column.categories is not None:
                if text not in column.categories:
                    known = few([quoted(word) for word in column.categories], SHOWN)
                    raise ValueError(f"{quoted(text)} is no category of column {quoted(column.name)}; known: {known}")
                values += [float(text == word) for word in column.categories]
            else:
                value = number(text)
                if not abs(value) <= LARGEST:
                    raise ValueError(f"{quoted(text)} is not a number (column {quoted(column.name)})")
                values.append(value)
        return np.array([values], dtype=np.float64).astype(np.float32)


class Unusable(UserError):
    """A column that can be no feature: `reason` says why, `advice` what else than to leave it out."""

    def __init__(self, sheet: Sheet, index: int, reason: str, advice: str = "", record: int | None = None):
        leave_out = f"{sheet.advice('ignore', index)} leaves the column out"
        self.reason = sheet.told(f"{reason}; {advice}" if advice else reason, record, index)
        super().__init__(sheet.told(f"{reason}; {f'{advice}, ' if advice else ''}{leave_out}", record, index))


class Mistakes:
    """All that is wrong with a file, to be said at once."""

    def __init__(self, sheet: Sheet):
        self.sheet = sheet
        self.found: list[tuple[int | None, UserError]] = []

    @contextlib.contextmanager
    def of(self, column: int | None = None) -> Iterator[None]:
        """Keeps the `UserError` of what is done inside for later."""
        try:
            yield
        except UserError as error:
            self.found.append((column, error))

    def refuse(self) -> None:
        """**Raises:** `UserError` with a line for each mistake, and how to leave out the columns that are no use."""
        if len(self.found) < 2:
            for _, error in self.found:
                raise error
            return
        lines = [error.reason if isinstance(error, Unusable) else str(error) for _, error in self.found]
        unusable = [column for column, error in self.found if isinstance(error, Unusable) and column is not None]
        more = len(lines) - SHOWN_MISTAKES
        lines = lines[:SHOWN_MISTAKES] + ([f"{self.sheet.path}: and {more} more"] if more > 0 else [])
        if unusable:
            word = self.sheet.advice("ignore", *unusable)
            line = f"{self.sheet.path}: {word} leaves out the columns that cannot be used"
            lines += [line] if len(line) <= LONGEST else []
        raise UserError("\n".join(lines))


def feature(
    sheet: Sheet, index: int, column: np.ndarray | Words, is_categorical: bool, max_categories: int
) -> np.ndarray | Words:
    """The column as it is used: numbers (N,) or categories. **Raises:** `Unusable` for what is neither."""
    if isinstance(column, Words) and not is_categorical:
        bad = np.isnan(column.numbers())
        if not bad.any():
            column = as_numbers(sheet, index, column)
        elif column.are_dates():
            reason = "looks like a date or a time, which is no feature here"
            raise Unusable(sheet, index, reason, record=column.first(bad))
        elif column.look_like_numbers():
            record = column.first(bad)
            is_unit = record == 0 and sheet.layout.has_header and not re.search(r"\d", sheet.text(record, index))
            units = "; if the row holds units, delete it" if is_unit else ""
            reason = f"is not a number, while most values of the column are{units}"
            advice = (
                "correct it (no currency, no thousands separator, a decimal point), "
                f"{sheet.advice('categorical', index)} takes all of them as names"
            )
            raise Unusable(sheet, index, reason, advice, record)
    if isinstance(column, np.ndarray):
        check_size(sheet, index, column)
    elif len(column.words) > max_categories:
        count = f"{len(column.words):,} different texts in {column.counts.sum():,} rows"
        advice = f"data.max_categories={len(column.words)} makes each a feature"
        raise Unusable(sheet, index, f"holds {count}", advice)
    if missing_in(column).all():
        raise Unusable(sheet, index, "holds no value at all")
    return column


def learned(sheet: Sheet, index: int, values: np.ndarray | Words, train: np.ndarray) -> Column:
    """How the column becomes features, by its rows `train`. **Raises:** `Unusable` if they hold no value."""
    if missing_in(values)[train].all():
        raise Unusable(sheet, index, "holds no value in the train part")
    if isinstance(values, np.ndarray):
        known = values[train]
        return Column(sheet.names[index], index, mean=float(known[~np.isnan(known)].mean()))
    codes = np.unique(values.codes[train])
    return Column(
        sheet.names[index], index, categories=tuple(ordered([values.words[code] for code in codes if code >= 0]))
    )


def as_numbers(sheet: Sheet, index: int, column: np.ndarray | Words) -> np.ndarray:
    """float64 (N,), nan where missing. **Raises:** `UserError` for the first text that is no number."""
    if isinstance(column, np.ndarray):
        return column
    numbers = column.numbers()
    bad = np.isnan(numbers)
    if bad.any():
        sheet.fail("is not a number", column.first(bad), index)
    # As pandas does: -999.0 is missing where -999 says so.
    numbers[np.isin(numbers, [number(text) for text in sheet.na_values])] = np.nan
    return column.spread(numbers)


def check_size(sheet: Sheet, index: int, values: np.ndarray | Words) -> None:
    """**Raises:** `UserError` for an infinite number, or one too large for float32. nan is missing, not wrong."""
    is_large = np.abs(values) > LARGEST if isinstance(values, np.ndarray) else np.array([False])
    if is_large.any():
        record = int(np.flatnonzero(is_large)[0])
        sheet.fail(f"is too large for a float32; numbers up to {LARGEST:g} are allowed", record, index)


def missing_in(values: np.ndarray | Words) -> np.ndarray:
    """Where (N,) nothing is known."""
    return np.isnan(values) if isinstance(values, np.ndarray) else values.codes < 0


def complete(
    sheet: Sheet, holes: dict[int, np.ndarray], missing: str, target: int | None = None, can_drop: bool = True
) -> tuple[np.ndarray, list[str]]:
    """(The records that are used, what a person should know), by the policy `missing`.

    `holes` says of each column by its index where (N,) it misses a value; that of the `target` cannot be filled.

    **Raises:** `UserError` for the first missing value, if the policy says so.
    """
    is_hole = np.logical_or.reduce(list(holes.values()))
    kept = np.flatnonzero(~is_hole)
    if len(kept) == len(is_hole):
        return kept, []
    counts = {index: int(is_missing.sum()) for index, is_missing in holes.items()}
    found = few([f"{count:,} in {quoted(sheet.names[index])}" for index, count in counts.items() if count], SHOWN)
    lost = f"{len(is_hole) - len(kept):,} of {len(is_hole):,} rows"
    lacks_target = target is not None and counts[target] > 0
    if missing == "error" or (missing == "mean" and lacks_target):
        wrong = [target] if missing == "mean" and target is not None else sorted(holes)
        record = int(np.flatnonzero(np.logical_or.reduce([holes[index] for index in wrong]))[0])
        index = next(index for index in wrong if holes[index][record])
        ways = [] if lacks_target else ["data.missing=mean takes the mean of the train part"]
        ways += [f"data.missing=drop leaves out {lost}"] if can_drop else []
        # An empty field, or a sign such as ?, is no name of a category.
        is_word = any(letter.isalpha() for letter in sheet.text(record, index))
        ways += ["data.na_values=[] takes it as a text"] if is_word else []
        sheet.fail(f"stands for a missing value ({found}); {', '.join(ways)}", record, index)
    if missing == "mean":
        return np.arange(len(is_hole)), [
            f"missing numbers become the mean of train, missing categories 0 everywhere: {found}"
        ]
    if len(kept) == 0:
        raise UserError(bounded(f"{sheet.path}: data.missing=drop leaves no row: missing are {found}"))
    return kept, [f"{lost} are left out for a missing value: {found}"]


def say_unknown(column: Column, values: Words, rows: np.ndarray, of: str) -> list[str]:
    """A line on the texts in `rows` that training has not seen; `of` says which rows they are."""
    unknown = column.unknown(values, rows)
    listed = few([quoted(word) for word in dict.fromkeys(unknown)], SHOWN)
    about = f"column {quoted(column.name)}: unknown to train, so 0 everywhere, in {len(unknown):,} of {of}: {listed}"
    return [about] if unknown else []


def counts_rows(values: np.ndarray, from_any: bool) -> bool:
    """Whether a column, in any order, holds 0, 1, 2, ... or 1, 2, 3, ..., or counts up `from_any` number.

    It then says which row it is, and nothing more.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return False
    first = values.min()
    is_start = first in (0, 1) or (from_any and float(first).is_integer())
    return is_start and np.array_equal(np.sort(values), np.arange(len(values)) + first)
