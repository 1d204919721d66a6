"""Folders that are made for one run, and files that are written whole or not at all."""

import datetime
import json
import math
import os
import pathlib
import secrets
from typing import Any

from dlrun import disk
from dlrun.errors import UserError
from dlrun.store import locks
from dlrun.terminal.escaping import quoted

# What a run leaves, beside unfinished .tmp files, that was killed before its config stood there: nothing to go on with.
LEFTOVERS = {
    ".lock", "checkpoints", "status.json", "spec.json", "offered.json", "overrides.json", "samples.safetensors",
}  # fmt: skip


def check_writable(outputs: str) -> None:
    """**Raises:** `UserError` if no run folder could be made below `outputs`. Makes nothing itself."""
    path = pathlib.Path(outputs).absolute()
    nearest = next(parent for parent in (path, *path.parents) if os.path.exists(parent))
    if not nearest.is_dir():
        raise UserError(f"outputs: {nearest} is not a folder; choose another with outputs=FOLDER")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"outputs: {nearest} is not writable; choose another folder with outputs=FOLDER")


def write_output(outputs: str, name: str, content: bytes) -> pathlib.Path:
    """A file of no run in the folder of all runs, which is made; gives its path."""
    path = pathlib.Path(outputs) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write(path, content)
    return path


def create(base: pathlib.Path, name: str | None = None, key: str | None = None) -> pathlib.Path:
    """A new folder `<base>/<date>_<time>-<id>` (or `<base>/<name>`) that nothing else owns.

    `key` is the config key that an error names.

    **Raises:** `UserError` if it cannot be made or `name` is taken.
    """
    key = key or ("folder" if name else "outputs")
    while True:
        stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        path = base / (name or f"{stamp}-{secrets.token_hex(2)}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if name is None and base.is_dir():
                continue
            if _is_leftover(path):
                return path
            raise UserError(
                f"{key}: {path} is in use; choose another, or go on with it: dlrun resume {quoted(path)}"
            ) from None
        except OSError as error:
            raise UserError(
                f"{key}: cannot make {path}: {error.strerror}; choose another folder with {key}=FOLDER"
            ) from error
        return path


def _is_leftover(path: pathlib.Path) -> bool:
    """Whether `path` holds nothing but what a killed run left. **Raises:** `UserError` if it is still at work."""
    if (path / ".lock").exists():
        with locks.owned(path):
            pass
    return path.is_dir() and {file.name for file in path.iterdir() if file.suffix != disk.UNFINISHED} <= LEFTOVERS


def write_json(path: pathlib.Path, value: Any) -> None:
    """The whole file or none of it."""
    write_text(path, to_json(value) + "\n")


def to_json(value: Any) -> str:
    """As JSON, in which a number that is none (undefined, infinite) is null: the format knows no other word for it."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def csv_cell(value: Any) -> Any:
    """A cell of a table for others: nothing for nan, and no text that a spreadsheet would run as a formula."""
    if isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def to_yaml(values: dict[str, Any]) -> str:
    """A config as YAML text."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(values))


def write_text(path: pathlib.Path, text: str) -> None:
    """The whole file or none of it."""
    disk.write(path, text)
