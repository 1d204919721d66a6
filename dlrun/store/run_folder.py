"""A run's folder while the run owns it: status, tables, and checkpoints that survive a kill."""

import csv
import datetime
import io
import os
import pathlib
import socket
from collections.abc import Callable
from typing import Any, TypedDict

from torch import Tensor

from dlrun import disk
from dlrun.config import schema
from dlrun.errors import UserError
from dlrun.store import checkpoint
from dlrun.store.files import csv_cell, to_yaml, write_json, write_text

LAST, PREVIOUS, BEST = "last.safetensors", "last.previous.safetensors", "best.safetensors"
SAMPLES, OFFERED = "samples.safetensors", "offered.json"


class Best(TypedDict):
    """The best weights and what is needed to use them: the whole config, and what the model saw of its data."""

    model: dict[str, Tensor]
    config: dict[str, Any]
    spec: dict[str, Any]


def read_best(path: pathlib.Path) -> Best:
    """The best weights in the file `path`. **Raises:** `DamagedCheckpoint`, also for another kind of checkpoint."""
    try:
        return schema.check(checkpoint.read(path), Best)
    except ValueError as error:
        raise checkpoint.DamagedCheckpoint(f"{path}: holds no best weights of a run: {error}") from error


class RunFolder:
    """Writes everything of a run but its events and pictures (DESIGN, "What a run leaves")."""

    def __init__(self, path: pathlib.Path, watch: tuple[str, str]):
        """`watch` is the metric, `part/name`, that chooses the best epoch, and its direction: max or min."""
        self.path, self.watch = path, watch
        self.started = _now()
        self.best_extras: dict[str, Any] = {}
        disk.folder(path / "checkpoints")

    def write_status(self, state: str, error: str | None = None) -> None:
        """`running`, `done`, `failed`, `interrupted` or `pruned`, with who, when and why."""
        write_json(
            self.path / "status.json",
            {
                "state": state,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "started": self.started,
                "finished": None if state == "running" else _now(),
                "error": error,
                "watch": self.watch[0],
                "mode": self.watch[1],
            },
        )

    def write_config(
        self, config: dict[str, Any], words: list[str], spec: dict[str, Any], offered: dict[str, Any]
    ) -> None:
        """The resolved config, the words of the command, what the data offered, and what the model sees of it.

        The config comes last: a folder that has one can be resumed.
        """
        write_json(self.path / "overrides.json", words)
        write_json(self.path / "spec.json", spec)
        write_json(self.path / OFFERED, offered)
        write_text(self.path / "config.yaml", to_yaml(config))

    def write_samples(self, tree: dict[str, Tensor]) -> None:
        """samples.safetensors: which sample of the data is in which part."""
        checkpoint.write(self.path / SAMPLES, tree)

    def write_summary(self, summary: dict[str, Any]) -> None:
        """The run in one record."""
        write_json(self.path / "summary.json", summary)

    def write_metrics(self, history: list[dict[str, float]]) -> None:
        """metrics.csv anew, one row an epoch; what a row lacks, and what is undefined (nan), stays empty."""
        self._write_table("metrics.csv", history)

    def write_sample(self, epoch: int, picture: Tensor) -> pathlib.Path:
        """samples/N.png, and its path: what a model shows after an epoch, a picture (C, H, W) in 0..1."""
        path = disk.folder(self.path / "samples") / f"{epoch:05d}.png"
        disk.write(path, picture_png(picture))
        return path

    def write_predictions(self, columns: dict[str, list[Any]]) -> None:
        """predictions.csv: one row an example of the final part, in its order."""
        rows = zip(*columns.values(), strict=True)
        self._write_table("predictions.csv", [dict(zip(columns, row, strict=True)) for row in rows])

    def _write_table(self, name: str, rows: list[dict[str, Any]]) -> None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with disk.replacing(self.path / name) as file:
            lines = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
            writer = csv.DictWriter(lines, columns, lineterminator="\n")
            writer.writerow({column: csv_cell(column) for column in columns})
            writer.writerows(map(_cells, rows))
            lines.detach()

    def append_metrics(self, history: list[dict[str, float]]) -> None:
        """Adds the last row of `history`; writes the file anew if that brings a new column."""
        known = list(dict.fromkeys(name for row in history[:-1] for name in row))
        if not set(history[-1]) <= set(known) or not (self.path / "metrics.csv").exists():
            self.write_metrics(history)
            return
        with os.fdopen(disk.appending(self.path / "metrics.csv"), "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, known, lineterminator="\n").writerow(_cells(history[-1]))

    @property
    def has_state(self) -> bool:
        """Whether there is anything to go on from."""
        # Where nothing may be looked at, there is none.
        return any(os.path.exists(self.path / "checkpoints" / name) for name in (LAST, PREVIOUS))

    def last(self, state: Any) -> None:
        """The whole state; the one before is kept for the case that this file gets damaged."""
        folder = self.path / "checkpoints"
        checkpoint.write(folder / LAST, state.to_tree(), previous=folder / PREVIOUS)

    def best(self, state: Any) -> None:
        """The evaluated weights and what is needed to use them elsewhere."""
        tree = {"model": dict(state.eval_model.state_dict()), "epoch": state.best_epoch, **self.best_extras}
        checkpoint.write(self.path / "checkpoints" / BEST, tree)

    def read_last(self, check: Callable[[Any], None]) -> tuple[Any, str | None]:
        """The newest whole state that `check` raises no `ValueError` for, and a warning if it is not the newest file.

        None if there is none yet.

        **Raises:** `UserError` if there are checkpoints and all are damaged.
        """
        newest, previous = (self.path / "checkpoints" / name for name in (LAST, PREVIOUS))
        if not newest.exists() and not previous.exists():
            return None, None
        try:
            return checkpoint.read_newest(newest, previous, check)
        except checkpoint.DamagedCheckpoint as error:
            raise UserError(
                f"no usable checkpoint: {error}; start anew with the command in summary.json or config.yaml"
            ) from error

    def read_best(self) -> Best:
        """What `best` wrote. **Raises:** `DamagedCheckpoint`."""
        return read_best(self.path / "checkpoints" / BEST)


def picture_png(picture: Tensor) -> bytes:
    """A picture (C, H, W) in 0..1 as a PNG file of its own size; one channel is grey, three are RGB."""
    from PIL import Image

    pixels = (picture.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(buffer, "PNG")
    return buffer.getvalue()


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    return {name: csv_cell(value) for name, value in row.items()}
