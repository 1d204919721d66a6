"""Going on with a run."""

import pathlib
import sys
from collections.abc import Mapping

from dlrun.config import check, compose
from dlrun.errors import UserError
from dlrun.optim import SCHEDULERS
from dlrun.run import stored
from dlrun.run.conclude import Result
from dlrun.run.loggers import ready
from dlrun.run.recorder import Judge
from dlrun.run.run import run
from dlrun.store import runs
from dlrun.terminal.escaping import quoted

# What may change between the parts of a run: how long and where, not what is trained; and where its data now lie.
CHANGEABLE = ("trainer.epochs", "trainer.patience", "device.", "logger.")


def resume_run(
    folder: str | pathlib.Path, overrides: list[str] | None = None, judge: Judge | None = None,
    changed: Mapping[str, str] | None = None, *, from_python: bool = False,
) -> Result | None:  # fmt: skip
    """Goes on with the run in `folder`; returns None if there is nothing left to do.

    `judge`, `changed` and `from_python`: see `run`.

    **Raises:** `UserError` if it is no run, or an override is not one that may change.
    """
    finished, changes = runs.open_run(folder), overrides or []
    stored_config = stored.config_of(finished)
    before = stored_config.to_dict()
    changeable = [*CHANGEABLE, *(key for key in check.path_keys(stored_config) if key.startswith("data."))]
    for word in changes:
        _check_changeable(compose.parse([word])[0].key_or_group, changeable)
    config = stored.config_of(finished, changes)
    scheduler = config.scheduler["name"]
    spans_run = SCHEDULERS.describe(scheduler).attributes.get("spans_run", False)
    if spans_run and config.trainer.epochs != before["trainer"]["epochs"]:
        raise UserError(
            f"trainer.epochs: the curve of scheduler={scheduler} spans the whole run and cannot be stretched half-way; "
            "train a new run"
        )
    if finished.state == "done" and not changes:
        longer = f"dlrun resume {quoted(finished.path)} trainer.epochs={2 * config.trainer.epochs}"
        longer = "" if spans_run else f"; train it longer with: {longer}"
        print(f"{finished.path} is done{longer}")
        return None
    for word in changes:
        key = compose.parse([word])[0].key_or_group
        section, name = key.split(".")
        print(f"changed {key}: {before[section].get(name)} -> {config.to_dict()[section][name]}", file=sys.stderr)
    ready.check_again(config)
    words = finished.words + changes
    return run(config, words, resume=finished.path, judge=judge, changed=changed, from_python=from_python)


def _check_changeable(key: str, changeable: list[str]) -> None:
    if "." not in key or not any(key == name or (name.endswith(".") and key.startswith(name)) for name in changeable):
        allowed = ", ".join(name + "*" if name.endswith(".") else name for name in changeable)
        raise UserError(f"resume: {key} cannot change in the middle of a run; only {allowed} can")
