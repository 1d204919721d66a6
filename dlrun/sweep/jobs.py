"""The jobs of a sweep: where they stand, where they write, and which have failed."""

import pathlib
import sys
from typing import NamedTuple

from dlrun.config import registry
from dlrun.config.check import Config
from dlrun.errors import UserError
from dlrun.store import files
from dlrun.store.sweep_record import Job


class Ended(NamedTuple):
    """How a sweep has ended: its folder, and the exit code of the command."""

    home: pathlib.Path
    code: int


def refuse_unseen(config: Config) -> None:
    """**Raises:** `UserError` if the config names what the process of a job cannot see."""
    for group in registry.TABLES:
        name = getattr(config, group)["name"]
        if registry.of(group).is_of_this_process(name):
            raise UserError(
                f"{group}={name}: was defined in this program or notebook, and a job of a sweep is a process of its "
                "own that cannot see it; write it into a file and name that in DLRUN_PLUGINS"
            )


def make_home(options: Config) -> pathlib.Path:
    """A new folder for the sweep. **Raises:** `UserError` if the one that the config names is in use."""
    if options.sweep.folder is None:
        return files.create(pathlib.Path("multirun"), key="sweep.folder")
    path = pathlib.Path(options.sweep.folder)
    return files.create(path.parent, path.name, key="sweep.folder")


def log(home: pathlib.Path, job: Job) -> pathlib.Path:
    """Where the output of a job goes."""
    return home / "logs" / f"{job.number}.log"


def say_failed(home: pathlib.Path, jobs: list[Job]) -> bool:
    """Prints a line for each job that failed; returns whether there is one."""
    failed = [job for job in jobs if job.state == "failed"]
    for job in failed:
        told = " ".join(f"{key}={value}" for key, value in job.changed.items()) or " ".join(job.overrides)
        print(f"job {job.number} failed: {told}: {job.reason} (log: {log(home, job)})", file=sys.stderr)
    return bool(failed)
