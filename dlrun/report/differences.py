"""Each setting against one of them, over the seeds that both have: what the seed does to both cancels."""

import math
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dlrun.config import schema
from dlrun.errors import UserError
from dlrun.report.comparison import Group

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """What a group has more than another: `values`, one for each seed that both have."""

    group: Group
    values: list[float]

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values) if self.values else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean, by Student's t; None below two seeds."""
        count = len(self.values)
        if count < 2:
            return None
        mean = statistics.fmean(self.values)
        half = t_limit(count - 1) * statistics.stdev(self.values) / math.sqrt(count)
        return mean - half, mean + half


def differences(groups: Sequence[Group], baseline: Group, metric: str) -> list[Difference]:
    """Of each other group that has the metric against `baseline`, in the order of `groups`."""
    base = baseline.by_seed(metric)
    found = []
    for group in groups:
        if group is not baseline and (own := group.by_seed(metric)):
            found.append(Difference(group, [own[seed] - base[seed] for seed in sorted(own.keys() & base.keys())]))
    return found


def named(groups: Sequence[Group], words: str, keys: Sequence[str]) -> list[Group]:
    """The group with the settings in `words`, such as `model=mlp optimizer.lr=0.1`, one for each data set.

    `keys` are those that differ.

    **Raises:** `UserError` if none has them, or several of one data set.
    """
    try:
        wanted = dict(word.split("=", 1) for word in shlex.split(words))
    except ValueError:
        raise UserError(f"report: --against {words}: is not KEY=VALUE, or several of them in quotes") from None
    known = {key for group in groups for key in group.keys}
    if unknown := [key for key in wanted if key not in known]:
        hint = schema.suggest(unknown[0], sorted(known)) or f" (keys that differ: {', '.join(keys) or 'none'})"
        raise UserError(f"report: --against {words}: no setting has the key {unknown[0]!r}{hint}")
    found = [group for group in groups if all(_is(group.keys.get(key), value) for key, value in wanted.items())]
    if found and len({group.keys.get("data") for group in found}) == len(found):
        return found
    values = {key: ", ".join(dict.fromkeys(group.keys[key] for group in groups if key in group.keys)) for key in wanted}
    if not found:
        there = "; ".join(f"{key}: {listed}" for key, listed in values.items())
        raise UserError(f"report: --against {words}: no setting is so ({there})")
    more = [key for key in keys if key not in wanted and key != "seed"]
    raise UserError(f"report: --against {words}: {len(found)} settings are so; say more: {', '.join(more)}")


def t_limit(freedom: int) -> float:
    """Within which, up and down, 95 % of Student's t with so many degrees of freedom lies.

    SciPy's own, with which a test compares, would take a fifth of a report's time to import. Abramowitz and Stegun
    26.7.3 and 26.7.4, turned round.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _share_within(middle, freedom) < CONFIDENCE else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _share_within(angle: float, freedom: int) -> float:
    """P(|t| <= sqrt(freedom) tan(angle))."""
    is_odd = freedom % 2
    term, total = math.cos(angle) if is_odd else 1.0, 0.0
    for step in range(freedom // 2):
        total += term
        term *= math.cos(angle) ** 2 * (2 * step + 1 + is_odd) / (2 * step + 2 + is_odd)
    share = math.sin(angle) * total
    return 2 / math.pi * (angle + share) if is_odd else share


def _is(value: str | None, wanted: str) -> bool:
    """Whether they are the same word, or the same number."""
    if value is None or value == wanted:
        return value == wanted
    try:
        return float(value) == float(wanted)
    except ValueError:
        return False
