"""A table of the user's own: any CSV file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dlrun.data.csv_features import Names, Numbers, check_size, encode, feature, without_row_numbers
from dlrun.data.csv_reading import Sheet, open_sheet, shown
from dlrun.data.csv_target import Target, read_target
from dlrun.data.csv_words import Words, few, quoted
from dlrun.data.features import FeatureTable
from dlrun.data.parts import Part, TensorPart
from dlrun.data.spec import DataSpec
from dlrun.data.splits import split_off
from dlrun.errors import UserError
from dlrun.schema import PositiveInt, ProperFraction, Seed

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

    kind: str = "features"
    target: str = "value, class or binary"
    source: str = "yours"

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
        super().__init__(standardize, val_fraction, test_fraction, split_seed, standardize_target)
        if path is None:
            raise UserError("data.path: no file given; write data.path=FILE data.target=COLUMN")
        if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
            raise UserError(f"data.separator: {separator!r} is not one character; null finds it out")
        self.path, self.header, self.separator = Path(path).expanduser(), header, separator
        self.target_column, self.target_kind, self.split_column = target, target_kind, split_column
        self.ignore, self.categorical, self.max_categories = ignore, categorical, max_categories
        self.missing, self.na_values = missing, na_values

    def _make(self) -> tuple[DataSpec, dict[str, Part]]:
        sheet = open_sheet(self.path, self.separator, self.header, self.na_values)
        roles = self._roles(sheet)
        columns = sheet.read(roles.texts())
        target = self._target(sheet, roles.target, columns[roles.target])
        features = [
            feature(sheet, index, columns[index], index in roles.categorical, self.max_categories)
            for index in roles.features
        ]
        features = without_row_numbers(sheet, features)
        _say_found(sheet, roles.target, target, features)
        records = self._complete(sheet, roles.target, target, features)
        parts = self._divide(sheet, roles.split, columns, target, records)
        values, class_names = _as_train_knows(sheet, roles.target, target, parts)
        x, feature_names = encode(sheet, features, parts)
        inputs = torch.from_numpy(x)
        made: dict[str, Part] = {
            name: TensorPart((inputs,), values).subset(torch.from_numpy(index)) for name, index in parts.items()
        }
        spec = DataSpec(
            kind="features",
            target=target.kind,
            in_features=len(feature_names),
            out_features=len(class_names) if target.kind == "class" else 1,
            class_names=class_names or None,
            feature_names=feature_names,
            target_name=sheet.names[roles.target],
        )
        return self._standardized(spec, made), made

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
        target = read_target(column, self.target_kind, lambda message, record: sheet.fail(message, record, index))
        check_size(sheet, index, target.values)
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
        found = few([f"{count:,} in {quoted(sheet.names[index])}" for index, count in counts.items() if count])
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
            made = split_off(
                whole,
                val_fraction=0 if "val" in named else self.val_fraction,
                test_fraction=0 if "test" in named else self.test_fraction,
                seed=self.split_seed,
            )
        except UserError as error:
            raise UserError(f"{sheet.path}: {error}") from None
        return {name: part.inputs[0].numpy() for name, part in made.items() if isinstance(part, TensorPart)} | named


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
    place = np.zeros(len(target.class_names), dtype=np.int64)
    place[known] = np.arange(len(known))
    return torch.from_numpy(place[target.values]), tuple(target.class_names[code] for code in known)


def _say_found(sheet: Sheet, index: int, target: Target, features: list[Numbers | Names]) -> None:
    header = "header in the first row" if sheet.has_header else "no header"
    numeric = sum(isinstance(each, Numbers) for each in features)
    kinds = f"{numeric} numeric and {len(features) - numeric} categorical columns"
    print(f"csv: {sheet.path.name}: {len(target.values):,} rows, {header}, separator {shown(sheet.separator)}; {kinds}")
    print(f"csv: target {quoted(sheet.names[index])} -> {target.kind} ({target.about})")
