"""How the columns of a CSV file become features.

Letters: N records of the file, K features of a column, F of all.
"""

from dataclasses import dataclass

import numpy as np

from dlrun.data.csv_reading import Sheet
from dlrun.data.csv_words import Words, few, ordered, quoted

# float32 ends at 3e38; this leaves room to subtract a mean and to add up a batch.
LARGEST = 1e37


@dataclass
class Numbers:
    """A numeric column, `values` (N,) with nan where missing, becomes one feature."""

    index: int
    name: str
    values: np.ndarray

    def is_missing(self) -> np.ndarray:
        return np.isnan(self.values)

    def encode(self, train: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """(float32 (N, 1), names); what is missing becomes the mean of the rows `train`."""
        is_missing, known = self.is_missing(), self.values[train]
        values = np.where(is_missing, known[~np.isnan(known)].mean(), self.values) if is_missing.any() else self.values
        return values.astype(np.float32)[:, None], [self.name]


@dataclass
class Names:
    """A categorical column becomes one feature, 0 or 1, for each category of the train part."""

    index: int
    name: str
    column: Words

    def is_missing(self) -> np.ndarray:
        return self.column.codes < 0

    def unknown(self, train: np.ndarray, rows: np.ndarray) -> list[str]:
        """What stands in `rows` and never in `train`, as often as it does."""
        codes = self.column.codes[rows]
        return [self.column.words[code] for code in codes[~np.isin(codes, self.column.codes[train]) & (codes >= 0)]]

    def encode(self, train: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """(float32 (N, K), names); a missing or unknown category is 0 everywhere."""
        codes = np.unique(self.column.codes[train])
        categories = ordered([self.column.words[code] for code in codes if code >= 0])
        place = {word: k for k, word in enumerate(categories)}
        places = np.array([place.get(word, -1) for word in self.column.words] + [-1])[self.column.codes]
        table = np.zeros((len(places), len(categories)), dtype=np.float32)
        known = np.flatnonzero(places >= 0)
        table[known, places[known]] = 1
        return table, [f"{self.name}={word}" for word in categories]


def feature(
    sheet: Sheet, index: int, column: np.ndarray | Words, is_categorical: bool, max_categories: int
) -> Numbers | Names:
    """The column `index` as it is used. **Raises:** `UserError` for neither numbers nor categories; how to go on."""
    name, key = sheet.names[index], sheet.key(index)
    leave_out = f"data.ignore=[{key}] leaves the column out"
    if isinstance(column, Words) and not is_categorical:
        numbers = column.numbers()
        bad = np.isnan(numbers)
        if not bad.any():
            column = column.spread(numbers)
        elif column.are_dates():
            sheet.fail(f"looks like a date or a time, which is no feature here; {leave_out}", column.first(bad), index)
        elif column.look_like_numbers():
            sheet.fail(
                "is not a number, while most values of the column are; correct it (no currency, no thousands "
                f"separator, a decimal point), data.categorical=[{key}] takes all of them as names, {leave_out}",
                column.first(bad),
                index,
            )
    if isinstance(column, np.ndarray):
        check_size(sheet, index, column)
        made = Numbers(index, name, column)
    else:
        if len(column.words) > max_categories:
            found = f"{len(column.words):,} different texts in {column.counts.sum():,} rows"
            take = f"data.max_categories={len(column.words)} makes each a feature"
            sheet.fail(f"holds {found}; {leave_out}, {take}", column=index)
        made = Names(index, name, column)
    if made.is_missing().all():
        sheet.fail(f"holds no value at all; {leave_out}", column=index)
    return made


def check_size(sheet: Sheet, index: int, values: np.ndarray) -> None:
    """**Raises:** `UserError` for an infinite number, or one too large for float32. nan is missing, not wrong."""
    is_large = np.abs(values) > LARGEST
    if is_large.any():
        record = int(np.flatnonzero(is_large)[0])
        sheet.fail(f"is too large for a float32; numbers up to {LARGEST:g} are allowed", record, index)


def without_row_numbers(sheet: Sheet, features: list[Numbers | Names]) -> list[Numbers | Names]:
    """Leaves out what pandas writes in front of a table: a column without a name that counts the rows."""
    first = features[0]
    if not sheet.has_header or first.name not in ("column_0", "Unnamed: 0") or isinstance(first, Names):
        return features
    counting = np.arange(len(first.values))
    if len(features) == 1 or not any(np.array_equal(first.values, counting + start) for start in (0, 1)):
        return features
    print("csv: the first column has no name and counts the rows: left out")
    return features[1:]


def encode(
    sheet: Sheet, features: list[Numbers | Names], parts: dict[str, np.ndarray]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """All features as float32 (N, F), and their names; `parts` holds the records of each part.

    **Raises:** `UserError` for a column without any value in the train part.
    """
    columns, names = [], []
    for each in features:
        if each.is_missing()[parts["train"]].all():
            key = sheet.key(each.index)
            sheet.fail(
                f"holds no value in the train part; data.ignore=[{key}] leaves the column out", column=each.index
            )
        if isinstance(each, Names):
            _say_unknown(each, parts)
        else:
            _say_coarse(each)
        column, new = each.encode(parts["train"])
        columns.append(column)
        names += new
    return np.concatenate(columns, axis=1), tuple(names)


def _say_unknown(column: Names, parts: dict[str, np.ndarray]) -> None:
    for part, records in parts.items():
        unknown = column.unknown(parts["train"], records)
        if unknown:
            shown = few([quoted(word) for word in dict.fromkeys(unknown)])
            rows = f"{len(unknown):,} of {len(records):,} rows of the {part} part"
            print(f"csv: column {quoted(column.name)}: unknown to train, so 0 everywhere, in {rows}: {shown}")


def _say_coarse(column: Numbers) -> None:
    """float32 has 24 bits: the seconds of a date in numbers, say, are lost in it."""
    known = column.values[~column.is_missing()]
    step, spread = np.abs(known).max() * 2.0**-23, known.std()
    if 0 < spread < 100 * step:
        print(
            f"csv: the numbers of column {quoted(column.name)} are so large (up to {np.abs(known).max():g}) that "
            f"float32 keeps them to {step:.2g} only, their standard deviation is {spread:.2g}: subtract a constant"
        )
