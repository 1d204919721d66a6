"""What the target column of a CSV file is to be learned as."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from dlrun.data.csv_words import Words, few, ordered, quoted

MOST_CLASSES = 20  # that whole numbers are taken for, unless target_kind says so


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


def read_target(column: Words, kind: str, fail: Callable[[str, int | None], NoReturn]) -> Target:
    """Takes `column` as `kind`; `auto` decides by what it holds.

    - Two different values are `binary`.
    - Texts, and at most 20 different whole numbers that return (three times on average), are a `class`.
    - Other numbers are a `value`.

    `fail(message, row)` **raises** the `UserError` for a column that cannot be taken so.
    """
    numbers = column.numbers()
    is_number = ~np.isnan(numbers)
    _check(column, kind, numbers, fail)
    if kind == "auto":
        kind = _guess(column, numbers)
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
        found = f"{len(names)} different values ({few([quoted(name) for name in names])})"
        fail(f"the target has {found}, a binary one has two; data.target_kind=class takes more", None)
    place = np.array([names.index(word) for word in column.words] + [-1])
    counts = dict(zip(column.words, column.counts.tolist(), strict=True))
    about = few([f"{quoted(name)} {counts[name]:,}" for name in names])
    return Target(kind, place[column.codes], tuple(names), f"{len(names)} classes: {about}")


def _check(column: Words, kind: str, numbers: np.ndarray, fail: Callable[[str, int | None], NoReturn]) -> None:
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


def _guess(column: Words, numbers: np.ndarray) -> str:
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
    values, place = np.unique(numbers, return_inverse=True)
    words = [str(int(value)) if value == int(value) else repr(float(value)) for value in values]
    return Words(np.append(place, -1)[column.codes], words)
