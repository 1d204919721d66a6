"""W&B: one of its runs a run, kept in the run's folder until it is sent, or sent at once."""

import html
import os
import pathlib
import struct
from collections.abc import Iterator
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
FLUSH_SECONDS = 1  # what a kill may take
PATIENCE_SECONDS = 60  # for what is not sent yet at the end; it stays in the folder


BLOCK, HEAD = 32768, 7  # bytes of a block of W&B's file, and of what stands before it and before each piece
WHOLE, LAST = 1, 4  # kinds of pieces that end a record


class Note(TypedDict):
    """What the run's folder keeps."""

    id: str


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
        path = about.folder / NOTE
        note = records.read(path, Note) if path.exists() else None
        # The environment may forbid what a key allows, not the other way round.
        allowed, asked = os.environ.get("WANDB_MODE"), "online" if online else "offline"
        mode = allowed if allowed in ("offline", "disabled") else asked
        disk.refuse_links(disk.folder(about.folder / FOLDER))
        self.Image, self.Html = wandb.Image, wandb.Html
        self.sent = _last_steps(about.folder / FOLDER)
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
                finish_timeout=PATIENCE_SECONDS, x_transaction_log_flush_interval=FLUSH_SECONDS,
            ),
        )  # fmt: skip
        # A link to a log of its own, which a folder that is to be gone on with may not hold.
        for link in (about.folder / FOLDER).glob("*/logs/debug-core.log"):
            link.unlink()
        files.write_json(path, Note(id=self.run.id))
        self.look = self.run.url if mode == "online" else f"wandb sync {quoted(about.folder / FOLDER)}/offline-run-*"

    def scalars(self, values: dict[str, float], step: int) -> None:
        # What is made again after an interruption is there already; a step before its own is not taken.
        new = {name: value for name, value in values.items() if step > self.sent.get(name, -1)}
        if new and step >= self.run.step:
            self._log(new, step)

    def again(self, values: dict[str, float], step: int) -> None:
        self.scalars(values, step)

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
        self.run.log(values, step=max(step, self.run.step))


def _last_steps(folder: pathlib.Path) -> dict[str, int]:
    """The last step of each curve in the files of W&B, which a killed run has not written to their end."""
    found: dict[str, int] = {}
    for path in folder.glob("*run-*/*.wandb"):
        for record in stored(path):
            row = {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
            for name in row:
                found[name] = max(found.get(name, -1), int(row.get("_step", -1)))
    return found


def stored(path: pathlib.Path) -> Iterator[Any]:
    """The records of a file of W&B, a log as LevelDB writes it; what a kill has torn is left out."""
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    data, place, pieces = disk.content(path), HEAD, b""
    while place + HEAD <= len(data):
        if (left := BLOCK - place % BLOCK) < HEAD:
            place += left
            continue
        size, kind = struct.unpack_from("<HB", data, place + 4)  # behind a checksum of four bytes
        pieces += data[place + HEAD : place + HEAD + size]
        place += HEAD + size
        if kind in (WHOLE, LAST):
            try:
                yield Record.FromString(pieces)
            except DecodeError:
                return
            pieces = b""
