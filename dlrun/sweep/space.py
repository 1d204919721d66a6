"""The space of a search: which keys of the config may take which values. Knows nothing of Optuna."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dlrun.config import check, compose, schema
from dlrun.errors import UserError

INTERVAL = ("low", "high", "log", "step")
FORMS = "{low: 1.0e-4, high: 1.0e-1, log: true}, {low: 16, high: 256, step: 16} or {choices: [a, b]}"
INTEGERS = re.compile(r"interval\( *(start *= *)?[-+]?\d+ *, *(end *= *)?[-+]?\d+ *\)")


@dataclass(frozen=True)
class Choices:
    """One of several values, as the command line writes them."""

    key: str
    words: tuple[str, ...]

    def ends(self) -> list[str]:
        """`key=value` words that are right if all of this axis is."""
        return [self.word(word) for word in self.words]

    def word(self, value: str) -> str:
        return f"{self.key}={value}"


@dataclass(frozen=True)
class Interval:
    """A number from `low` to `high`, both included; `step` None: any (of integers: every)."""

    key: str
    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_integer(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def ends(self) -> list[str]:
        """`key=value` words that are right if all of this axis is."""
        return [self.word(self.low), self.word(self.high)]

    def word(self, value: float) -> str:
        return compose.word(self.key, value)


Axis = Choices | Interval


def read(space: dict[str, Any]) -> list[Axis]:
    """The axes of `sweep.space`; its keys are written with dots (`optimizer.lr`) or nested.

    **Raises:** `UserError` that names what is wrong.
    """
    axes: dict[str, dict[str, Any]] = {}
    # A bound that the command line changes comes nested, and counts more than the key with dots of a file.
    for key, values in _leaves(dict(sorted(space.items(), key=lambda item: "." not in item[0])), ""):
        axes[key] = axes.get(key, {}) | values
    return [_axis(key, values) for key, values in axes.items()]


def of_words(overrides: list[str], config_dirs: list[str]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """The words that give one value, and a space of what the others list or give as an interval."""
    fixed, searched = [], {}
    for override in compose.parse(overrides):
        line, key = override.input_line or "", override.key_or_group
        if override.is_interval_sweep():
            low, high = _bounds(override)
            interval: Any = override.value()
            searched[key] = {"low": low, "high": high, "log": "log" in interval.tags}
        elif override.is_sweep_override():
            searched[key] = {"words": [job[0].partition("=")[2] for job in compose.expand([line], config_dirs)]}
        else:
            fixed.append(line)
    return fixed, searched


def first_of_each(overrides: list[str], config_dirs: list[str]) -> list[str]:
    """`overrides` with the first value of each list and interval: what all jobs of a sweep have in common."""
    words = []
    for override in compose.parse(overrides):
        if override.is_interval_sweep():
            words.append(f"{override.get_key_element()}={_bounds(override)[0]}")
        else:
            words.append(compose.expand([override.input_line or ""], config_dirs)[0][0])
    return words


def _bounds(override: Any) -> list[float]:
    """The ends of `interval(low,high)`. Two integers stay integers, which Hydra does not see to."""
    interval: Any = override.value()
    are_integers = INTEGERS.search(override.input_line or "") is not None
    return [int(end) if are_integers else end for end in (interval.start, interval.end)]


def _leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in tree.items():
        key = f"{prefix}.{name}" if prefix else str(name)
        if not isinstance(value, dict):
            raise UserError(f"sweep.space.{key}: must be {FORMS}, found {value!r}")
        # A group's choice and its keys may both be searched: {optimizer: {choices: [adam, sgd], lr: {...}}}.
        deeper = {name: inner for name, inner in value.items() if isinstance(inner, dict)}
        if len(deeper) < len(value) or not value:
            yield key, {name: inner for name, inner in value.items() if name not in deeper}
        yield from _leaves(deeper, key)


def _axis(key: str, values: dict[str, Any]) -> Axis:
    place = f"sweep.space.{key}"
    if key.partition(".")[0] in check.NOT_OF_THE_RUN:
        raise UserError(f"{place}: the keys of the sweep itself cannot be searched")
    known = ("words",) if "words" in values else ("choices",) if "choices" in values else INTERVAL
    for name in values:
        if name not in known:
            hint = schema.suggest(str(name), known)
            raise UserError(f"{place}: unknown key {str(name)!r}{hint}; write {FORMS}")
    if "words" in values:
        return _choices(place, key, values["words"])
    if "choices" in values:
        choices = values["choices"]
        if not isinstance(choices, list) or not choices:
            raise UserError(f"{place}: choices must be a list of at least one value, found {choices!r}")
        return _choices(place, key, [compose.word(key, choice).partition("=")[2] for choice in choices])
    return _interval(place, key, values)


def _choices(place: str, key: str, words: list[str]) -> Choices:
    for word in words:
        if words.count(word) > 1:
            raise UserError(f"{place}: lists {word} twice")
    return Choices(key, tuple(words))


def _interval(place: str, key: str, values: dict[str, Any]) -> Interval:
    if "low" not in values or "high" not in values:
        raise UserError(f"{place}: needs low and high, or choices; write {FORMS}")
    low, high, log, step = values["low"], values["high"], values.get("log", False), values.get("step")
    for name, number in (("low", low), ("high", high), ("step", step)):
        is_number = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
        if not is_number and (name != "step" or number is not None):
            raise UserError(f"{place}: {name} must be a finite number, found {number!r}")
    if not isinstance(log, bool):
        raise UserError(f"{place}: log must be true or false, found {log!r}")
    if low > high:
        raise UserError(f"{place}: low must be at most high, found low={low} and high={high}")
    if log and low <= 0:
        raise UserError(f"{place}: low must be above 0 where log is true, found {low}")
    if isinstance(low, int) is not isinstance(high, int):
        # One number with a point makes all of them so.
        low, high = float(low), float(high)
    if step is not None:
        _check_step(place, low, high, log, step)
    return Interval(key, low, high, log, step)


def _check_step(place: str, low: float, high: float, log: bool, step: float) -> None:
    if log:
        raise UserError(f"{place}: step and log do not go together; leave out one")
    if step <= 0:
        raise UserError(f"{place}: step must be above 0, found {step}")
    if isinstance(low, int) and not isinstance(step, int):
        raise UserError(f"{place}: step must be an integer like low and high, found {step}")
    count = (high - low) / step
    if not math.isclose(count, round(count), abs_tol=1e-9):
        raise UserError(f"{place}: high must be low and a whole number of steps, found {low} to {high} by {step}")
