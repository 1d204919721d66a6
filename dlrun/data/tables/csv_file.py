"""A table of the user's own: any CSV file.

Letters: N records of the file, K features of a column, F of all.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import torch
from torch import Tensor

from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Seed, few, suggest
from dlrun.config.spec import DataSpec
from dlrun.data.reading import read_utf8
from dlrun.data.splits import Pieces, lines_of
from dlrun.data.tables import rules as tables
from dlrun.data.tables.csv_reading import SHOWN, Sheet, Words, open_sheet
from dlrun.data.tables.features import FeatureTable
from dlrun.data.tables.layout import shown
from dlrun.data.tables.rules import Column, Mistakes, Rules
from dlrun.data.tables.values import number, ordered, quoted
from dlrun.engine.contracts import Part
from dlrun.engine.parts import TensorPart
from dlrun.errors import UserError, bounded

MOST_CLASSES = 20  # that whole numbers are taken for, unless target_kind says so
PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# What a column that says which row it is is called.
_ROW_NAME = re.compile(
    r"(?i:(.*[\W_])?(id|idx|index|row|rows|rowid|row_?names?|nr|no|num|number|key|record|obs|sample|case)\.?)"
    r"|.*[a-z](Id|ID|Nr|No)|[#\W]+|Unnamed: 0"
)
MANY_ROWS = 20  # that the first column does not count by chance, whatever it is called


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
class Target:
    """The target of every row (N,): `value` as float64, else the class as an index into `class_names`.

    A missing one is nan or -1. `about` and `positive` say in words what was found.
    """

    kind: str
    values: np.ndarray
    class_names: tuple[str, ...]
    about: str
    positive: str = ""

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
    - A column that only counts the rows, an id, is left out unless it stands in `keep`.
    - Of two classes the rarer one is the positive one, class 1, unless `positive` names it.
    - `split_column` holds train, val or test; a part that it does not name is split off from train by its fraction.
    """

    target: str = "value|class|binary"
    source: str = "yours"
    stand_in: str = "data=breast_cancer"

    def __init__(
        self,
        *,
        path: FilePath | None = None,
        target: str | int = -1,
        target_kind: Literal["auto", "value", "class", "binary"] = "auto",
        header: bool | None = None,
        separator: str | None = None,
        ignore: tuple[str | int, ...] = (),
        categorical: tuple[str | int, ...] = (),
        max_categories: PositiveInt = 100,
        missing: Literal["error", "mean", "drop"] = "error",
        keep: tuple[str | int, ...] = (),
        positive: str | int | float | bool | None = None,
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
        - `keep`: columns that are features although they only count the rows.
        - `positive`: which of two classes is looked for, the one that precision, recall and probabilities are about;
          None: the rarer one, of two equally frequent ones the last by the alphabet.
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
        self.missing, self.na_values, self.keep, self.positive = missing, na_values, keep, positive

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        known = None if self.offered is None or self.offered.table is None else Rules.from_dict(self.offered.table)
        (content,), pieces = lines_of(self, "csv", [read_utf8(self.path)])
        if known is None:
            sheet = open_sheet(self.path, self.separator, self.header, self.na_values, content=content)
        else:
            sheet = known.open(self.path, content)
        mistakes = Mistakes(sheet)
        roles = self._roles(sheet, mistakes, known)
        read = sheet.read(roles.texts())
        target, features = self._found(sheet, mistakes, roles, read, known)
        _say_found(sheet, roles.target, target, features)
        holes = {index: tables.missing_in(values) for index, values in features.items()}
        missing = self.missing if known is None else known.missing
        records, said = tables.complete(sheet, holes | {roles.target: target.is_missing()}, missing, roles.target)
        _say(said)
        first, last = sheet.spans(len(target.values))
        pieces.join(first, last)
        parts = self._divide(sheet, roles.split, read, target, records, pieces, first[records])
        columns = _learned(sheet, features, parts["train"]) if known is None else known.columns
        values, class_names = _as_train_knows(sheet, roles.target, target, parts, self.offered)
        for column, own in zip(columns, features.values(), strict=True):
            if isinstance(own, Words):
                for part, rows in parts.items():
                    _say(tables.say_unknown(column, own, rows, f"{len(rows):,} rows of the {part} part"))
            else:
                _say_coarse(column.name, own)
        x = np.concatenate([c.encode(own) for c, own in zip(columns, features.values(), strict=True)], axis=1)
        whole = TensorPart((torch.from_numpy(x),), values)
        split: dict[str, Part] = {name: whole.subset(torch.from_numpy(index)) for name, index in parts.items()}
        feature_names = tuple(name for column in columns for name in column.feature_names)
        spec = DataSpec(
            kind="features", target=target.kind, in_features=len(feature_names),
            out_features=len(class_names) if target.kind == "class" else 1, class_names=class_names or None,
            feature_names=feature_names, target_name=sheet.names[roles.target],
            table=(known or Rules.of(sheet, self.missing, roles.target, columns)).to_dict(),
        )  # fmt: skip
        return self._with_statistics(spec, split), split

    def _roles(self, sheet: Sheet, mistakes: Mistakes, known: Rules | None) -> Roles:
        """What each column is for. **Raises:** `UserError` for one that is not there, or there twice."""
        found: dict[str, list[int]] = {}
        listed = {"ignore": self.ignore, "categorical": self.categorical, "keep": self.keep}
        single = {"target": (self.target_column,)} | (
            {} if self.split_column is None else {"split_column": (self.split_column,)}
        )
        for key, columns in (listed | single).items():
            found[key] = []
            for column in columns:
                with mistakes.of():
                    found[key].append(sheet.find(column, key))
        sheet.chosen = {key: found[key] for key in listed}
        mistakes.refuse()
        target, split = found["target"][0], next(iter(found.get("split_column", [])), None)
        for key, indices in (("ignore", set(found["ignore"])), ("split_column", {split})):
            if target in indices:
                raise UserError(f"data.{key}: column {quoted(sheet.names[target])} of {sheet.path} is the target")
        if known is not None:
            places = known.places(sheet)
            categorical = {i for column, i in zip(known.columns, places, strict=True) if column.categories is not None}
            return Roles(target, split, categorical, places)
        used = [index for index in range(len(sheet.names)) if index not in found["ignore"]]
        first_of: dict[str, int] = {}
        for index in used:
            first = first_of.setdefault(sheet.names[index], index)
            if first != index:
                both = f"the name of two columns, {first} and {index} counted from 0"
                with mistakes.of(index):
                    raise tables.Unusable(sheet, index, f"{both}; rename one")
        mistakes.refuse()
        features = [index for index in used if index not in (target, split)]
        if not features:
            names = few([quoted(name) for name in sheet.names], SHOWN)
            raise UserError(bounded(f"{sheet.path}: no column is left for features of {names}"))
        return Roles(target, split, set(found["categorical"]) - {target}, features)

    def _found(
        self, sheet: Sheet, mistakes: Mistakes, roles: Roles, read: list[np.ndarray | Words], known: Rules | None
    ) -> tuple[Target, dict[int, np.ndarray | Words]]:
        """(The target, the values of each feature column by its index).

        **Raises:** `UserError`, all that is wrong with any column at once.
        """
        target, features = None, {}
        with mistakes.of(roles.target):
            target = self._target(sheet, roles.target, read[roles.target])
        for index in roles.features:
            is_categorical = index in roles.categorical
            with mistakes.of(index):
                if known is None:
                    column = tables.feature(sheet, index, read[index], is_categorical, self.max_categories)
                else:
                    column = read[index] if is_categorical else tables.as_numbers(sheet, index, read[index])
                    tables.check_size(sheet, index, column)
                features[index] = column
        if known is None:
            features = self._without_row_numbers(sheet, features)
        if mistakes.found:
            holes = {index: tables.missing_in(values) for index, values in features.items()}
            holes |= {} if target is None else {roles.target: target.is_missing()}
            with mistakes.of():
                if holes:
                    tables.complete(sheet, holes, self.missing, None if target is None else roles.target)
        mistakes.refuse()
        assert target is not None, "else there is a mistake"
        return target, features

    def _target(self, sheet: Sheet, index: int, column: np.ndarray | Words) -> Target:
        assert isinstance(column, Words)
        kind = self.target_kind if self.offered is None else self.offered.target
        target = _read_target(column, kind, lambda message, record: sheet.fail(message, record, index))
        tables.check_size(sheet, index, target.values)
        if self.offered is not None:
            return _in_order(target, self.offered.class_names or ())
        if target.kind == "binary":
            return self._with_positive(sheet, index, target)
        if self.positive is not None and target.kind != "binary":
            raise UserError(f"data.positive: is for two classes; {quoted(sheet.names[index])} is a {target.kind}")
        return target

    def _with_positive(self, sheet: Sheet, index: int, target: Target) -> Target:
        """The target with the positive class as class 1."""
        names, counts = target.class_names, np.bincount(target.values[target.values >= 0], minlength=2)
        positive = int(counts[1] <= counts[0])
        why = "the rarer one" if counts[0] != counts[1] else "the last by the alphabet"
        if self.positive is not None:
            wanted = str(self.positive)
            alike = [k for k, name in enumerate(names) if name == wanted or number(name) == number(wanted)]
            alike = alike or [k for k, name in enumerate(names) if name.lower() == wanted.lower()]
            if not alike:
                found = few([quoted(name) for name in names])
                raise UserError(bounded(
                    f"data.positive: {wanted!r} is no class of column {quoted(sheet.names[index])} in {sheet.path}"
                    f"{suggest(wanted, names)} (classes: {found})"
                ))  # fmt: skip
            positive, why = alike[0], "as data.positive says"
        about = f"the positive class is {quoted(names[positive])}, {why}; data.positive chooses it"
        return replace(_in_order(target, (names[1 - positive], names[positive])), positive=about)

    def _without_row_numbers(
        self, sheet: Sheet, features: dict[int, np.ndarray | Words]
    ) -> dict[int, np.ndarray | Words]:
        """Leaves out a column that only counts the rows: one that is called so, or the first one of many rows."""
        left = dict(features)
        for index, values in features.items():
            name = sheet.names[index]
            is_index = sheet.layout.has_header and index == 0 and name == "column_0"
            is_called_so = sheet.layout.has_header and _ROW_NAME.fullmatch(name) is not None
            if isinstance(values, Words) or index in sheet.chosen["keep"] or len(left) == 1:
                continue
            may_count = is_index or is_called_so or (index == 0 and len(values) >= MANY_ROWS)
            if may_count and tables.counts_rows(values, is_called_so):
                keep = sheet.advice("keep", index)
                _say([f"column {quoted(name)} counts the rows: left out; {keep} takes it as a feature"])
                del left[index]
        return left

    def _divide(
        self, sheet: Sheet, split: int | None, columns: list[np.ndarray | Words], target: Target, records: np.ndarray,
        pieces: Pieces, lines: np.ndarray,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """The records of each part, of all `records`, which begin in `lines`."""
        given = None if split is None else _named_parts(sheet, split, columns[split], records)
        try:
            parts = pieces.divide(
                torch.from_numpy(target.values[records]), lines, given, val_fraction=self.val_fraction,
                test_fraction=self.test_fraction, seed=self.split_seed,
            )  # fmt: skip
        except UserError as error:
            raise UserError(f"{sheet.path}: {error}") from None
        return {name: records[own] for name, own in parts.items()}


def _named_parts(sheet: Sheet, index: int, column: np.ndarray | Words, records: np.ndarray) -> list[str]:
    """The part of each record that a column names."""
    assert isinstance(column, Words)
    names = [PARTS.get(word.lower(), "") for word in column.words] + [""]
    of_record = np.array(names)[column.codes[records]]
    if (of_record == "").any():
        record = int(records[np.flatnonzero(of_record == "")[0]])
        sheet.fail("names no part; data.split_column holds train, val or test", record, index)
    if not (of_record == "train").any():
        sheet.fail("names no record for the train part", column=index)
    return of_record.tolist()


def _in_order(target: Target, names: tuple[str, ...]) -> Target:
    """The target with its classes in the order of `names`, others behind them."""
    if target.kind == "value":
        return target
    own = target.class_names
    ordered_names = (*(name for name in names if name in own), *(name for name in own if name not in names))
    label = np.array([ordered_names.index(name) for name in own] + [-1])
    return replace(target, values=label[target.values], class_names=ordered_names)


def _as_train_knows(
    sheet: Sheet, index: int, target: Target, parts: dict[str, np.ndarray], trained: DataSpec | None
) -> tuple[Tensor, tuple[str, ...]]:
    """The target of all records: float32 (N, 1), or int64 (N,) by the classes of the train part, and their names.

    The classes of a run that has been `trained` stay as they were.

    **Raises:** `UserError` for a class of another part, and for a train part of one class.
    """
    if target.kind == "value":
        return torch.from_numpy(target.values).float().unsqueeze(1), ()
    if trained is not None and trained.class_names is not None:
        names = trained.class_names
        known = np.array([k for k, name in enumerate(target.class_names) if name in names], dtype=np.int64)
    else:
        known = np.unique(target.values[parts["train"]])
        names = tuple(target.class_names[code] for code in known)
        if len(known) < 2:
            sheet.fail(f"the train part has only the class {quoted(names[0])}", column=index)
    for part, records in parts.items():
        is_unknown = ~np.isin(target.values[records], known)
        if is_unknown.any():
            record = int(records[np.flatnonzero(is_unknown)[0]])
            sheet.fail(f"is a class in the {part} part that the train part never shows; add rows of it", record, index)
    label = np.zeros(len(target.class_names) + 1, dtype=np.int64)
    label[known] = [names.index(target.class_names[code]) for code in known]
    return torch.from_numpy(label[target.values]), names


def _learned(sheet: Sheet, features: dict[int, np.ndarray | Words], train: np.ndarray) -> tuple[Column, ...]:
    """How each column becomes features. **Raises:** `UserError` for those without any value in the train part."""
    mistakes, columns = Mistakes(sheet), []
    for index, values in features.items():
        with mistakes.of(index):
            columns.append(tables.learned(sheet, index, values, train))
    mistakes.refuse()
    return tuple(columns)


def _say(lines: list[str]) -> None:
    for line in lines:
        print(f"csv: {line}")


def _say_found(sheet: Sheet, index: int, target: Target, features: dict[int, np.ndarray | Words]) -> None:
    layout = sheet.layout
    header = "header in the first row" if layout.has_header else "no header"
    numeric = sum(isinstance(each, np.ndarray) for each in features.values())
    kinds = f"{numeric} numeric and {len(features) - numeric} categorical columns"
    quotes = "" if layout.quote == '"' else f", quotes {layout.quote}"
    written = f"{len(target.values):,} rows, {header}, separator {shown(layout.separator)}{quotes}"
    _say([*layout.remarks, f"{sheet.path.name}: {written}; {kinds}"])
    _say([f"target {quoted(sheet.names[index])} -> {target.kind} ({target.about})"])
    _say([target.positive] if target.positive else [])


def _say_coarse(name: str, values: np.ndarray) -> None:
    """float32 has 24 bits: the seconds of a date in numbers, say, are lost in it."""
    known = values[~np.isnan(values)]
    step, spread = np.abs(known).max() * 2.0**-23, known.std()
    if 0 < spread < 100 * step:
        large = f"so large (up to {np.abs(known).max():g}) that float32 keeps them to {step:.2g} only"
        spread_out = f"their standard deviation is {spread:.2g}: subtract a constant"
        _say([f"the numbers of column {quoted(name)} are {large}, {spread_out}"])


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
