"""sweep.json: what a sweep has planned, and how each of its jobs stands."""

import json
import pathlib
from dataclasses import asdict, dataclass, field
from typing import Any

from dlrun.errors import UserError
from dlrun.store import files

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


@dataclass
class Plan:
    """What the file holds; `search` (a search alone has it) is what its trials are made from."""

    words: list[str]
    config_dirs: list[str]
    jobs: list[Job] = field(default_factory=list)
    search: dict[str, Any] | None = None


def write(home: pathlib.Path, plan: Plan) -> None:
    """The whole record of the sweep in `home`, or none of it."""
    files.write_json(home / NAME, asdict(plan))


def read(home: pathlib.Path) -> Plan:
    """The record of the sweep in `home`. **Raises:** `UserError` if it cannot be one of a sweep."""
    path = home / NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        jobs = [Job(**job) for job in values["jobs"]]
        plan = Plan(values["words"], values["config_dirs"], jobs, values.get("search"))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error
    if not plan.jobs or [job.number for job in plan.jobs] != list(range(len(plan.jobs))):
        raise UserError(f"{path}: its jobs are not numbered from 0")
    return plan


def is_sweep(path: pathlib.Path) -> bool:
    """Whether the folder is a sweep's."""
    return (path / NAME).exists()
