"""W&B: one of its runs a run, kept in the run's folder until it is sent, or sent at once."""

import html
import os
import pathlib
from typing import Any, TypedDict

from dlrun import disk
from dlrun.errors import UserError
from dlrun.run.loggers.logger import About, Logger
from dlrun.store import files, records
from dlrun.terminal.escaping import quoted

NOTE = "wandb.json"  # in the run's folder: which run of W&B it is
FOLDER = "wandb"
PROJECT = "dlrun"
# What W&B takes as its own for a run that was killed: "killed", not "crashed".
EXIT_CODES = {"done": 0, "pruned": 0, "interrupted": 255, "failed": 1}
PATIENCE_SECONDS = 60  # for what is not sent yet at the end; it stays in the folder


class Note(TypedDict):
    """What the run's folder keeps: the run's id, and the last optimizer step of which W&B has points."""

    id: str
    step: int


def check_login() -> None:
    """**Raises:** `UserError` if this machine could send nothing to W&B."""
    wandb = _package()
    if wandb.run is None and not wandb.login(verify=False, prompt=False):
        raise UserError("logger.online: this machine is not logged in to W&B; run wandb login, or leave it out")


def _package() -> Any:
    # It tells its makers of its own errors, unless it is told not to.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    # Half a second, which only a run pays that logs here.
    import wandb

    return wandb


class WandB(Logger):
    """A run of W&B. It is none that a program in this process can have open as its own."""

    title = "W&B"

    def __init__(self, about: About, project: str | None, online: bool):
        wandb = _package()
        note = _read_note(about.folder)
        # The environment may forbid what a key allows, not the other way round.
        allowed, asked = os.environ.get("WANDB_MODE"), "online" if online else "offline"
        mode = allowed if allowed in ("offline", "disabled") else asked
        disk.refuse_links(disk.folder(about.folder / FOLDER))
        self.path, self.Image, self.Html = about.folder / NOTE, wandb.Image, wandb.Html
        self.run = wandb.init(
            project=project or os.environ.get("WANDB_PROJECT") or PROJECT,
            dir=about.folder.absolute(),
            id=note["id"] if note else None,
            resume="allow" if note else None,
            name=None if note else about.name,
            group=about.group,
            notes=about.command,
            config=about.config,
            allow_val_change=True,
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, disable_code=True, symlink=False,
                finish_timeout=PATIENCE_SECONDS,
            ),
        )  # fmt: skip
        # A link to a log of its own, which a folder that is to be gone on with may not hold.
        for link in (about.folder / FOLDER).glob("*/logs/debug-core.log"):
            link.unlink()
        self.sent = self.last_step = note["step"] if note else -1
        self._note()
        self.look = self.run.url if mode == "online" else f"wandb sync {quoted(about.folder / FOLDER)}/offline-run-*"

    def scalars(self, values: dict[str, float], step: int) -> None:
        # What is made again after an interruption is there already.
        if step <= self.sent:
            return
        self._log(values, step)
        if step > self.last_step:
            self.last_step = step
            self._note()

    def text(self, name: str, words: str, step: int) -> None:
        self._log({name: self.Html(f"<pre>{html.escape(words)}</pre>")}, step)

    def picture(self, name: str, path: pathlib.Path, step: int) -> None:
        self._log({f"visual/{name}": self.Image(str(path))}, step)

    def conclude(self, settings: dict[str, Any], metrics: dict[str, float], step: int) -> None:
        self.run.summary.update({f"final/{name}": value for name, value in metrics.items()})

    def close(self, state: str) -> None:
        self.run.summary["state"] = state
        self.run.finish(exit_code=EXIT_CODES[state])

    def _log(self, values: dict[str, Any], step: int) -> None:
        # It takes no step that is before its own.
        self.run.log(values, step=max(step, self.run.step))

    def _note(self) -> None:
        files.write_json(self.path, Note(id=self.run.id, step=self.last_step))


def _read_note(folder: pathlib.Path) -> Note | None:
    path = folder / NOTE
    return records.read(path, Note) if path.exists() else None
