"""Runs on disk: open one, list many. Reads text only, so neither torch nor pandas is imported."""

import csv
import fcntl
import io
import math
import os
import pathlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlrun import disk
from dlrun.config import yaml_file
from dlrun.config.spec import last_part
from dlrun.errors import UserError
from dlrun.store import records
from dlrun.store.records import Status, Summary
from dlrun.terminal.escaping import quoted

DIVERGED_FROM_RATIO = 10  # of the last loss to that of the first epoch
NOT_FINITE = "the loss is not a finite number"  # so begins the reason of a run that ended with it
# What any run of a kind leaves in plots/, the most telling last; what one task alone shows comes before all of them.
USUAL = (
    *("learning_curves", "kernels", "feature_maps", "class_activation", "confusion_matrix", "per_class_accuracy"),
    *("residuals", "roc", "precision_recall", "iou", "point_errors", "suppression", "class_overlap", "gram"),
    *("embedding", "predicted_against_true", "answers", "predictions"),
)


@dataclass(frozen=True)
class StoredRun:
    """A run's folder as it was left. `summary` is empty until the run is done."""

    path: pathlib.Path
    config: dict[str, Any]
    words: list[str]
    status: Status
    summary: Summary

    @property
    def state(self) -> str:
        """What the run last wrote, or `killed` if it wrote `running` and nobody holds its folder."""
        written = self.status.get("state", "unknown")
        is_here = self.status.get("host") == socket.gethostname()
        return "killed" if written == "running" and is_here and not _is_locked(self.path / ".lock") else written

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics, `part/name`; nan: undefined."""
        found = self.summary.get("metrics", {}).items()
        return {name: math.nan if value is None else value for name, value in found if "/" in name}

    @property
    def watch(self) -> tuple[str, str]:
        """(The metric that the run watches, `part/name`, its direction: max or min)."""
        # An older dlrun said it at the end only.
        told = self.status if "watch" in self.status else self.summary
        return told.get("watch") or "val/loss", told.get("mode") or "min"

    @property
    def value(self) -> float | None:
        """The watched metric of the best weights; where an older dlrun watched what it had not, the final one."""
        name = self.watch[0]
        last = f"{last_part([part.partition('/')[0] for part in self.metrics] or ['train'])}/{name.partition('/')[2]}"
        return self.metrics.get(name, self.metrics.get(last))

    @property
    def command(self) -> str:
        """The line that repeats the run. Whatever its folder holds, a shell starts dlrun with it and nothing else."""
        return " ".join(["dlrun", *map(quoted, self.words)])

    def history(self) -> list[dict[str, float]]:
        """One row an epoch; a value that was not measured is left out. **Raises:** `UserError` if damaged."""
        path = self.path / "metrics.csv"
        if not path.exists():
            return []
        try:
            with io.TextIOWrapper(disk.opened(path), encoding="utf-8", newline="") as file:
                return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, csv.Error) as error:
            raise UserError(f"{path}: cannot be read: {error}") from error


def open_run(folder: str | pathlib.Path) -> StoredRun:
    """The run in `folder`. **Raises:** `UserError` if there is none or a file of it cannot be read."""
    path = pathlib.Path(folder)
    if not (path / "config.yaml").exists():
        below = sorted(run_folders(path))[-3:]
        hint = f"; runs in it: {', '.join(map(str, below))}" if below else "; see dlrun list runs"
        raise UserError(f"{path}: is not the folder of a run{hint}")
    # Written by a run, so plain YAML: ten times faster than OmegaConf where there are hundreds of runs.
    config = yaml_file.read(path / "config.yaml")
    return StoredRun(
        path,
        config,
        words=_read(path / "overrides.json", list[str], []),
        status=_read(path / "status.json", Status, {}),
        summary=_read(path / "summary.json", Summary, {}),
    )


def run_folders(base: pathlib.Path) -> list[pathlib.Path]:
    """The folders of runs at `base` and below, also of those that have only just begun to write."""
    return [
        pathlib.Path(path) for path, _, files in os.walk(base) if "status.json" in files or "overrides.json" in files
    ]


def _is_locked(path: pathlib.Path) -> bool:
    try:
        with disk.opened(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _read(path: pathlib.Path, kind: Any, otherwise: Any) -> Any:
    return records.read(path, kind) if os.path.lexists(path) else otherwise


def has_diverged(history: Sequence[Mapping[str, float]]) -> bool:
    """Whether the loss of training ended ten times as high as after the first epoch, or higher than any number."""
    losses = [row["train/loss"] for row in history if "train/loss" in row]
    return len(losses) > 1 and (not math.isfinite(losses[-1]) or losses[-1] > DIVERGED_FROM_RATIO * losses[0] > 0)


def plots(path: pathlib.Path) -> dict[str, pathlib.Path]:
    """The pictures of the run in `path` by name, the most telling first."""
    return {file.stem: file for file in sorted(_pictures(path / "plots"), key=lambda file: rank(file.stem))}


def small(picture: pathlib.Path) -> pathlib.Path:
    """Where a small copy of a picture stands, as a run makes it of its most telling one."""
    return picture.with_suffix(".webp")


def rank(name: str) -> tuple[int, str]:
    """Where the picture `name` stands among those of a run."""
    return -USUAL.index(name) if name in USUAL else -len(USUAL), name


def samples(path: pathlib.Path) -> dict[int, pathlib.Path]:
    """The pictures that a run shows after its epochs, in their order."""
    return {int(file.stem): file for file in sorted(_pictures(path / "samples")) if file.stem.isdigit()}


def _pictures(folder: pathlib.Path) -> list[pathlib.Path]:
    """The PNG files in a folder; a link in one from a stranger may lead to a picture of one's own, and is left out."""
    if folder.is_symlink():
        return []
    return [path for path in folder.glob("*.png") if not path.is_symlink() and path.is_file()]
