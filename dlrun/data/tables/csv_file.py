"""A table of the user's own: any CSV file.

Letters: N records of the file, K features of a column, F of all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import torch
from torch import Tensor

from dlrun.config.schema import PositiveInt, ProperFraction, Seed, few
from dlrun.config.spec import DataSpec
from dlrun.data.splits import split_off
from dlrun.data.tables.csv_reading import Sheet, Words, open_sheet, ordered, quoted, shown
from dlrun.data.tables.features import FeatureTable
from dlrun.engine.contracts import Part
from dlrun.engine.parts import TensorPart
from dlrun.errors import UserError

# float32 ends at 3e38; this leaves room to subtract a mean and to add up a batch.
LARGEST = 1e37
SHOWN = 5  # words in a message
MOST_CLASSES = 20  # that whole numbers are taken for, unless target_kind says so
PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass
class Roles:
    """What the columns are for, each by its index."""

    target: int
    split: int | None
    categorical: set[int]
    features: list[int]

    def texts(self) -> set[int]:
        """The columns that are wanted as they are written."""
        return self.categorical | {self.target} | ({self.split} if self.split is not None else set())


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
        feature_of = {word: k for k, word in enumerate(categories)}
        hot = np.array([feature_of.get(word, -1) for word in self.column.words] + [-1])[self.column.codes]
        table = np.zeros((len(hot), len(categories)), dtype=np.float32)
        known = np.flatnonzero(hot >= 0)
        table[known, hot[known]] = 1
        return table, [f"{self.name}={word}" for word in categories]


@dataclass
class Target:
    """The target of every row (N,): `value` as float64, else the class as an index into `class_names`.

    A missing one is nan or -1. `about` says in words what was found.
    """

    kind: str
    values: np.ndarray
    class_names: tuple[str, ...]
    about: str

    def is_missing(self) -> np.ndarray:
        return np.isnan(self.values) if self.kind == "value" else self.values < 0


class CSVFile(FeatureTable):
    """Your own table: any CSV file by its `path`, packed by gzip or not, with a `target` column.

    Columns are named by their header or counted from 0 (-1: the last). A column of numbers is one feature; one of
    texts, or named in `categorical`, becomes a 0 or 1 for each category of the train part. What is found out
    (separator, header, kind of the target) and what is done to the data is printed.

    - Missing values, all texts in `na_values`, are an error, or with `missing=mean` become the mean of the train part
      (a category: 0 everywhere), or with `missing=drop` leave out their row.
    - A category unknown to the train part is 0 everywhere; a class unknown to it is an error.
    - `split_column` holds train, val or test; a part that it does not name is split off from train by its fraction.
    """

    target: str = "value|class|binary"
    source: str = "yours"
    stand_in: str = "data=breast_cancer"

    def __init__(
        self,
        *,
        path: str | None = None,
        target: str | int = -1,
        target_kind: Literal["auto", "value", "class", "binary"] = "auto",
        header: bool | None = None,
        separator: str | None = None,
        ignore: tuple[str | int, ...] = (),
        categorical: tuple[str | int, ...] = (),
        max_categories: PositiveInt = 100,
        missing: Literal["error", "mean", "drop"] = "error",
        na_values: tuple[str, ...] = ("?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A"),
        standardize: bool = True,
        standardize_target: bool = True,
        val_fraction: ProperFraction = 0.1,
        test_fraction: ProperFraction = 0.2,
        split_column: str | int | None = None,
        split_seed: Seed = 42,
    ):
        """**Arguments:**

        - `path`: the file; it is needed.
        - `target`: the column to learn.
        - `target_kind`: what it is learned as: a `value`, one of several classes (`class`), one of two (`binary`), or
          what fits its values (`auto`): see `_read_target`.
        - `header`: whether the first row holds the names of the columns; None: found out.
        - `separator`: the one character between two fields; None: found out among comma, semicolon, tab and bar.
        - `ignore`: columns that are left out.
        - `categorical`: columns whose numbers are names.
        - `max_categories`: the most different texts that a feature column may hold.
        - `missing`: what a missing value is: an error, the mean of the train part, or a reason to drop its row.
        - `na_values`: the texts that stand for a missing value, beside an empty field.
        - `standardize`: whether the model gets (x - mean) / std of each feature, by the train part, or the raw values.
        - `standardize_target`: whether the model learns (y - mean) / std of a target y that is a value, by the train
          part, or y itself; metrics and predictions are in the units of y either way.
        - `val_fraction`, `test_fraction`: the shares of all rows that become the val and the test part.
        - `split_column`: the column that names the part of each row; None: all are split by `split_seed`.
        - `split_seed`: chooses the rows of the parts that no column names.
        """
        super().__init__(
            standardize=standardize, val_fraction=val_fraction, test_fraction=test_fraction, split_seed=split_seed
        )
        self.standardize_target = standardize_target
        if path is None:
            raise UserError("data.path: no file given; write data.path=FILE data.target=COLUMN")
        if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
            raise UserError(f"data.separator: {separator!r} is not one character; null finds it out")
        self.path, self.header, self.separator = Path(path).expanduser(), header, separator
        self.target_column, self.target_kind, self.split_column = target, target_kind, split_column
        self.ignore, self.categorical, self.max_categories = ignore, categorical, max_categories
        self.missing, self.na_values = missing, na_values

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        sheet = open_sheet(self.path, self.separator, self.header, self.na_values)
        roles = self._roles(sheet)
        columns = sheet.read(roles.texts())
        target = self._target(sheet, roles.target, columns[roles.target])
        features = [
            _feature(sheet, index, columns[index], index in roles.categorical, self.max_categories)
            for index in roles.features
        ]
        features = _without_row_numbers(sheet, features)
        _say_found(sheet, roles.target, target, features)
        records = self._complete(sheet, roles.target, target, features)
        parts = self._divide(sheet, roles.split, columns, target, records)
        values, class_names = _as_train_knows(sheet, roles.target, target, parts)
        x, feature_names = _encode(sheet, features, parts)
        inputs = torch.from_numpy(x)
        whole = TensorPart((inputs,), values)
        split: dict[str, Part] = {name: whole.subset(torch.from_numpy(index)) for name, index in parts.items()}
        spec = DataSpec(
            kind="features", target=target.kind, in_features=len(feature_names),
            out_features=len(class_names) if target.kind == "class" else 1, class_names=class_names or None,
            feature_names=feature_names, target_name=sheet.names[roles.target],
        )  # fmt: skip
        return self._with_statistics(spec, split), split

    def _roles(self, sheet: Sheet) -> Roles:
        """What each column is for. **Raises:** `UserError` for one that is not there, or there twice."""
        ignored = {sheet.find(column, "ignore") for column in self.ignore}
        categorical = {sheet.find(column, "categorical") for column in self.categorical}
        target = sheet.find(self.target_column, "target")
        split = None if self.split_column is None else sheet.find(self.split_column, "split_column")
        for key, indices in (("ignore", ignored), ("split_column", {split})):
            if target in indices:
                raise UserError(f"data.{key}: column {quoted(sheet.names[target])} of {sheet.path} is the target")
        used = [index for index in range(len(sheet.names)) if index not in ignored]
        first_of: dict[str, int] = {}
        for index in used:
            first = first_of.setdefault(sheet.names[index], index)
            if first != index:
                both = f"the name of two columns, {first} and {index} counted from 0"
                sheet.fail(f"{both}; rename one, or data.ignore=[{index}] leaves one out", column=index)
        features = [index for index in used if index not in (target, split)]
        if not features:
            names = few([quoted(name) for name in sheet.names], 10)
            raise UserError(f"{sheet.path}: no column is left for features of {names}")
        return Roles(target, split, categorical - {target}, features)

    def _target(self, sheet: Sheet, index: int, column: np.ndarray | Words) -> Target:
        assert isinstance(column, Words)
        target = _read_target(column, self.target_kind, lambda message, record: sheet.fail(message, record, index))
        _check_size(sheet, index, target.values)
        return target

    def _complete(self, sheet: Sheet, target_index: int, target: Target, features: list[Numbers | Names]) -> np.ndarray:
        """The records that are used. What is missing in them is filled later, from the train part.

        **Raises:** `UserError` for the first missing value, if `missing` says so; for a missing target, if it is kept.
        """
        holes = {each.index: each.is_missing() for each in features} | {target_index: target.is_missing()}
        is_hole = np.logical_or.reduce(list(holes.values()))
        kept = np.flatnonzero(~is_hole)
        if len(kept) == len(is_hole):
            return kept
        counts = {index: int(is_missing.sum()) for index, is_missing in holes.items()}
        found = few([f"{count:,} in {quoted(sheet.names[index])}" for index, count in counts.items() if count], SHOWN)
        lost = f"{len(is_hole) - len(kept):,} of {len(is_hole):,} rows"
        if self.missing == "error" or (self.missing == "mean" and counts[target_index]):
            wrong = [target_index] if self.missing == "mean" else sorted(holes)
            record = int(np.flatnonzero(np.logical_or.reduce([holes[index] for index in wrong]))[0])
            index = next(index for index in wrong if holes[index][record])
            fill = "" if counts[target_index] else "data.missing=mean takes the mean of the train part, "
            message = f"stands for a missing value ({found}); {fill}data.missing=drop leaves out {lost}"
            sheet.fail(message, record, index)
        if self.missing == "mean":
            print(f"csv: missing numbers become the mean of train, missing categories 0 everywhere: {found}")
            return np.arange(len(is_hole))
        if len(kept) == 0:
            raise UserError(f"{sheet.path}: data.missing=drop leaves no row: missing are {found}")
        print(f"csv: {lost} are left out for a missing value: {found}")
        return kept

    def _divide(
        self, sheet: Sheet, split: int | None, columns: list[np.ndarray | Words], target: Target, records: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The records of each part."""
        named = {"train": records} if split is None else _named_parts(sheet, split, columns[split], records)
        train = named.pop("train")
        whole = TensorPart((torch.from_numpy(train),), torch.from_numpy(target.values[train]))
        try:
            split_parts = split_off(
                whole,
                val_fraction=0 if "val" in named else self.val_fraction,
                test_fraction=0 if "test" in named else self.test_fraction,
                seed=self.split_seed,
            )
        except UserError as error:
            raise UserError(f"{sheet.path}: {error}") from None
        return {
            name: part.inputs[0].numpy() for name, part in split_parts.items() if isinstance(part, TensorPart)
        } | named


def _named_parts(sheet: Sheet, index: int, column: np.ndarray | Words, records: np.ndarray) -> dict[str, np.ndarray]:
    """The records of the parts that a column names."""
    assert isinstance(column, Words)
    names = [PARTS.get(word.lower(), "") for word in column.words] + [""]
    of_record = np.array(names)[column.codes[records]]
    if (of_record == "").any():
        record = int(records[np.flatnonzero(of_record == "")[0]])
        sheet.fail("names no part; data.split_column holds train, val or test", record, index)
    if not (of_record == "train").any():
        sheet.fail("names no record for the train part", column=index)
    return {name: records[of_record == name] for name in ("train", "val", "test") if (of_record == name).any()}


def _as_train_knows(
    sheet: Sheet, index: int, target: Target, parts: dict[str, np.ndarray]
) -> tuple[Tensor, tuple[str, ...]]:
    """The target of all records: float32 (N, 1), or int64 (N,) by the classes of the train part, and their names.

    **Raises:** `UserError` for a class of another part, and for a train part of one class.
    """
    if target.kind == "value":
        return torch.from_numpy(target.values).float().unsqueeze(1), ()
    known = np.unique(target.values[parts["train"]])
    if len(known) < 2:
        sheet.fail(f"the train part has only the class {quoted(target.class_names[known[0]])}", column=index)
    for part, records in parts.items():
        is_unknown = ~np.isin(target.values[records], known)
        if is_unknown.any():
            record = int(records[np.flatnonzero(is_unknown)[0]])
            sheet.fail(f"is a class in the {part} part that the train part never shows; add rows of it", record, index)
    label = np.zeros(len(target.class_names), dtype=np.int64)
    label[known] = np.arange(len(known))
    return torch.from_numpy(label[target.values]), tuple(target.class_names[code] for code in known)


def _say_found(sheet: Sheet, index: int, target: Target, features: list[Numbers | Names]) -> None:
    header = "header in the first row" if sheet.has_header else "no header"
    numeric = sum(isinstance(each, Numbers) for each in features)
    kinds = f"{numeric} numeric and {len(features) - numeric} categorical columns"
    print(f"csv: {sheet.path.name}: {len(target.values):,} rows, {header}, separator {shown(sheet.separator)}; {kinds}")
    print(f"csv: target {quoted(sheet.names[index])} -> {target.kind} ({target.about})")


def _feature(
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
        _check_size(sheet, index, column)
        found = Numbers(index, name, column)
    else:
        if len(column.words) > max_categories:
            count = f"{len(column.words):,} different texts in {column.counts.sum():,} rows"
            take = f"data.max_categories={len(column.words)} makes each a feature"
            sheet.fail(f"holds {count}; {leave_out}, {take}", column=index)
        found = Names(index, name, column)
    if found.is_missing().all():
        sheet.fail(f"holds no value at all; {leave_out}", column=index)
    return found


def _check_size(sheet: Sheet, index: int, values: np.ndarray) -> None:
    """**Raises:** `UserError` for an infinite number, or one too large for float32. nan is missing, not wrong."""
    is_large = np.abs(values) > LARGEST
    if is_large.any():
        record = int(np.flatnonzero(is_large)[0])
        sheet.fail(f"is too large for a float32; numbers up to {LARGEST:g} are allowed", record, index)


def _without_row_numbers(sheet: Sheet, features: list[Numbers | Names]) -> list[Numbers | Names]:
    """Leaves out what pandas writes in front of a table: a column without a name that counts the rows."""
    first = features[0]
    if not sheet.has_header or first.name not in ("column_0", "Unnamed: 0") or isinstance(first, Names):
        return features
    counting = np.arange(len(first.values))
    if len(features) == 1 or not any(np.array_equal(first.values, counting + start) for start in (0, 1)):
        return features
    print("csv: the first column has no name and counts the rows: left out")
    return features[1:]


def _encode(
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
            listed = few([quoted(word) for word in dict.fromkeys(unknown)], SHOWN)
            rows = f"{len(unknown):,} of {len(records):,} rows of the {part} part"
            print(f"csv: column {quoted(column.name)}: unknown to train, so 0 everywhere, in {rows}: {listed}")


def _say_coarse(column: Numbers) -> None:
    """float32 has 24 bits: the seconds of a date in numbers, say, are lost in it."""
    known = column.values[~column.is_missing()]
    step, spread = np.abs(known).max() * 2.0**-23, known.std()
    if 0 < spread < 100 * step:
        print(
            f"csv: the numbers of column {quoted(column.name)} are so large (up to {np.abs(known).max():g}) that "
            f"float32 keeps them to {step:.2g} only, their standard deviation is {spread:.2g}: subtract a constant"
        )


def _read_target(column: Words, kind: str, fail: Callable[[str, int | None], NoReturn]) -> Target:
    """Takes `column` as `kind`; `auto` decides by what it holds.

    - Two different values are `binary`.
    - Texts, and at most 20 different whole numbers that return (three times on average), are a `class`.
    - Other numbers are a `value`.

    `fail(message, row)` **raises** the `UserError` for a column that cannot be taken so.
    """
    numbers = column.numbers()
    is_number = ~np.isnan(numbers)
    _check_target(column, kind, numbers, fail)
    if kind == "auto":
        kind = _guess_kind(column, numbers)
    different = len(column.words) if not is_number.all() else len(np.unique(numbers))
    if different < 2:
        only = f"only the value {quoted(column.words[0])}" if column.words else "no value at all"
        fail(f"the target has {only}: there is nothing to learn", None)
    if kind == "value":
        return Target(kind, column.spread(numbers), (), f"{different:,} different numbers")
    if is_number.all():
        column = _by_value(column, numbers)
    names = ordered(column.words)
    if kind == "binary" and len(names) != 2:
        found = f"{len(names)} different values ({few([quoted(name) for name in names], SHOWN)})"
        fail(f"the target has {found}, a binary one has two; data.target_kind=class takes more", None)
    label = np.array([names.index(word) for word in column.words] + [-1])
    counts = dict(zip(column.words, column.counts.tolist(), strict=True))
    about = few([f"{quoted(name)} {counts[name]:,}" for name in names], SHOWN)
    return Target(kind, label[column.codes], tuple(names), f"{len(names)} classes: {about}")


def _check_target(column: Words, kind: str, numbers: np.ndarray, fail: Callable[[str, int | None], NoReturn]) -> None:
    is_number = ~np.isnan(numbers)
    if is_number.all() and np.isinf(numbers).any():
        fail("is not a finite number", column.first(np.isinf(numbers)))
    if is_number.all() or kind in ("class", "binary"):
        return
    bad = column.first(~is_number)
    if kind == "value":
        fail("is not a number, and data.target_kind=value needs numbers", bad)
    if column.are_dates():
        fail("looks like a date or time, which cannot be the target; name another column by data.target", bad)
    if column.look_like_numbers():
        fail(
            "is not a number, while most values of the target are; correct it (no currency, no thousands separator, "
            "a decimal point), or write data.target_kind=class to take all of them as names",
            bad,
        )
    if len(column.words) > MOST_CLASSES and len(column.words) * 3 > column.counts.sum():
        fail(
            f"is one of {len(column.words):,} different texts in {column.counts.sum():,} rows; name another column by "
            "data.target, or write data.target_kind=class",
            bad,
        )


def _guess_kind(column: Words, numbers: np.ndarray) -> str:
    is_number = not np.isnan(numbers).any()
    values = np.unique(numbers) if is_number else np.arange(len(column.words))
    if len(values) == 2:
        return "binary"
    if not is_number:
        return "class"
    is_whole = bool((np.mod(values, 1) == 0).all())
    returns = len(values) <= MOST_CLASSES and len(values) * 3 <= column.counts.sum()
    return "class" if is_whole and returns else "value"


def _by_value(column: Words, numbers: np.ndarray) -> Words:
    """One word a number, however it is written: 1, 1.0 and 1e0 are one class."""
    values, code = np.unique(numbers, return_inverse=True)
    words = [str(int(value)) if value == int(value) else repr(float(value)) for value in values]
    return Words(np.append(code, -1)[column.codes], words)
