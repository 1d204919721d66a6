"""sweep.json: what a sweep has planned, and how each of its jobs stands."""

import pathlib
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

from dlrun.errors import UserError
from dlrun.store import files, records

NAME = "sweep.json"


@dataclass
class Job:
    """One run of a sweep. `state`: waiting, running, done, pruned, failed or interrupted.

    `overrides` are the words that its config is composed from, `changed` the swept keys with their values.
    """

    number: int
    overrides: list[str]
    changed: dict[str, str]
    state: str = "waiting"
    reason: str | None = None
    value: float | None = None
    seconds: float | None = None


class Search(TypedDict):
    """What the trials of a search are made from: the words that all have, and the axes (see sweep/space.py)."""

    study: str
    fixed: list[str]
    space: dict[str, Any]
    listed: dict[str, Any]


@dataclass
class Plan:
    """What the file holds; a search alone has a `search`."""

    words: list[str]
    config_dirs: list[str]
    jobs: list[Job] = field(default_factory=list)
    search: Search | None = None


def write(home: pathlib.Path, plan: Plan) -> None:
    """The whole record of the sweep in `home`, or none of it."""
    files.write_json(home / NAME, asdict(plan))


def read(home: pathlib.Path) -> Plan:
    """The record of the sweep in `home`. **Raises:** `UserError` if it cannot be one of a sweep."""
    path = home / NAME
    plan = records.read(path, Plan)
    if not plan.jobs or [job.number for job in plan.jobs] != list(range(len(plan.jobs))):
        raise UserError(f"{path}: its jobs are not numbered from 0")
    return plan


def is_sweep(path: pathlib.Path) -> bool:
    """Whether the folder is a sweep's."""
    return (path / NAME).exists()
