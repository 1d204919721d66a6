"""`dlrun resume FOLDER [key=value ...]`: goes on with an interrupted run or sweep."""

import pathlib
import sys
from typing import TYPE_CHECKING

from dlrun import config, runs
from dlrun.errors import UserError

if TYPE_CHECKING:
    from dlrun.finish import Result
    from dlrun.recorder import Judge

# What may change between the parts of a run: how long and where, not what is trained.
CHANGEABLE = ("trainer.epochs", "trainer.patience", "device.", "logger.")
USAGE = "dlrun resume FOLDER [trainer.epochs=N] [device.KEY=VALUE] (of a search: [sweeper.trials=N])"


def main(words: list[str]) -> int:
    """Returns the exit code of the run or sweep."""
    if not words or "=" in words[0]:
        raise UserError(f"resume: which folder? usage: {USAGE}")
    path, overrides = pathlib.Path(words[0]), words[1:]
    if (path / "sweep.json").exists():
        from dlrun import sweep

        return sweep.resume(path, overrides)
    resume_run(path, overrides)
    return 0


def resume_run(
    folder: str | pathlib.Path, overrides: list[str] | None = None, judge: "Judge | None" = None
) -> "Result | None":
    """Goes on with the run in `folder`; returns None if there is nothing left to do.

    `judge` may give it up after an epoch.

    **Raises:** `UserError` if it is no run, or an override is not one that may change.
    """
    finished = runs.open_run(folder)
    tree, words = finished.config, finished.words
    changes = [_apply(tree, override) for override in overrides or []]
    checked = config.parse(tree)
    if any(change.startswith("trainer.epochs") for change in changes) and checked.scheduler["name"] in (
        "cosine",
        "onecycle",
    ):
        raise UserError(
            f"trainer.epochs: the curve of scheduler={checked.scheduler['name']} spans the whole run and cannot be "
            "stretched half-way; train a new run"
        )
    if finished.state == "done" and not changes:
        print(f"{finished.path} is done; train it longer with: dlrun resume {finished.path} trainer.epochs=N")
        return None
    for change in changes:
        print(f"changed {change}", file=sys.stderr)

    from dlrun.run import run

    return run(checked, words + (overrides or []), resume=finished.path, judge=judge)


def _apply(tree: dict, override: str) -> str:
    """Sets one key in `tree`; returns `key: old -> new`."""
    from dlrun import compose

    parsed = compose.parse([override])[0]
    key = parsed.key_or_group
    if "." not in key or not any(
        key == allowed or (allowed.endswith(".") and key.startswith(allowed)) for allowed in CHANGEABLE
    ):
        allowed = ", ".join(name + "*" if name.endswith(".") else name for name in CHANGEABLE)
        raise UserError(f"resume: {key} cannot change in the middle of a run; only {allowed} can")
    section, name = key.split(".", 1)
    old, new = tree[section].get(name), parsed.value()
    tree[section][name] = new
    return f"{key}: {old} -> {new}"
