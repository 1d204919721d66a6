"""What dlrun writes as JSON beside a run, read with its schema: what is not as it was written is damage, and is named.

A folder may come from a stranger or from a disk that has failed. A number that is none (`NaN`, `1e999`) is read as
null, which is what dlrun writes for it.
"""

import json
import math
import pathlib
from typing import Any, Literal, TypedDict

from dlrun import disk
from dlrun.config import schema
from dlrun.errors import UserError

MOST_BYTES = 100_000_000
LARGEST = 2**64  # of an integer: a seed is the largest that dlrun writes


class Status(TypedDict, total=False):
    """status.json: how a run stands."""

    state: str
    pid: int
    host: str
    started: str
    finished: str | None
    error: str | None
    watch: str
    mode: Literal["max", "min"]


class Summary(TypedDict, total=False):
    """summary.json: what became of a run; an older dlrun wrote some of it."""

    metrics: dict[str, float | None]
    means_during_epoch: list[str]
    outcome: str
    model: str
    data: str
    best_epoch: int
    epochs: int
    steps: int
    parameters: int
    seconds: float
    examples_per_second: float | None
    device: str
    precision: str
    threads: int
    seed: int
    watch: str
    mode: Literal["max", "min"]
    command: str


def read(path: pathlib.Path, kind: Any) -> Any:
    """The record in `path`, whose values are what the annotation `kind` says.

    **Raises:** `UserError` with the path and what is wrong there.
    """
    try:
        return parse(disk.text(path, MOST_BYTES), kind)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def parse(text: str, kind: Any) -> Any:
    """The same of a text. **Raises:** `ValueError` without its place."""
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=lambda name: None)
        if "\\ud" in text.lower():
            # Half a character can neither be printed nor be written.
            json.dumps(value, ensure_ascii=False).encode()
        return schema.check(value, kind)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -LARGEST < int(digits) < LARGEST:
        raise ValueError(f"holds a number of {len(digits)} digits")
    return int(digits)


def _number(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None
