"""Trees of numbers and tensors as one safetensors file that is either whole or not there.

Tensors are stored under the path that leads to them in the tree, section and name, everything else as JSON in the
file's metadata together with a digest over both, so that a flipped bit anywhere is found. No pickle: a file from a
stranger is safe to open. (Older files number their tensors, t00000; the tree names its tensors either way.)
"""

import hashlib
import itertools
import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dlrun import disk
from dlrun.errors import RunError

METADATA = "__metadata__"  # the one name that safetensors keeps for itself


class DamagedCheckpoint(Exception):
    """The file cannot be read, or its content does not match its digest."""


def write(path: pathlib.Path, tree: Any, previous: pathlib.Path | None = None) -> None:
    """Writes `tree` to `path`: temporary file, flush, verify, rename, flush the folder.

    What stood at `path` is kept as `previous` if that is given. A failed write is tried three
    times in all.

    **Raises:** `RunError` naming the path and the free space; the old file is still there.
    """
    content, reason = encode(tree), None
    for attempt in range(3):
        try:
            with disk.replacing(path) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                read(pathlib.Path(file.name))
                if previous is not None and path.exists():
                    os.replace(path, previous)
            _flush_folder(path.parent)
            return
        except (OSError, DamagedCheckpoint) as error:
            reason = getattr(error, "strerror", None) or error
            if attempt < 2:
                time.sleep(0.2 * 4**attempt)
    raise RunError(f"{path}: cannot be written ({reason}){_free_space(path.parent)}")


def read(path: pathlib.Path) -> Any:
    """The tree in `path`. **Raises:** `DamagedCheckpoint`, also if there is no such file."""
    try:
        disk.check_regular(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copied, because a view of the file's bytes may lie anywhere in memory, and where a vector lies decides in
            # which order a processor adds it up.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, UnicodeDecodeError, ValueError) as error:
        raise DamagedCheckpoint(f"{path}: {error}") from error
    text = metadata.get("tree", "")
    if metadata.get("digest") != _digest(tensors, text):
        raise DamagedCheckpoint(f"{path}: the content does not match its checksum")
    try:
        return _unpack(json.loads(text), tensors)
    except (ValueError, TypeError, LookupError, RuntimeError) as error:
        raise DamagedCheckpoint(f"{path}: holds no tree: {type(error).__name__}: {error}") from error


def holds_tree(path: pathlib.Path) -> bool:
    """Whether a safetensors file is one of these. **Raises:** `OSError`, `SafetensorError` if it is no such file."""
    disk.check_regular(path)
    with safe_open(path, framework="pt") as file:
        return {"tree", "digest"} <= set(file.metadata() or {})


def read_newest(path: pathlib.Path, previous: pathlib.Path, check: Callable[[Any], None]) -> tuple[Any, str | None]:
    """The tree in `path`, or in `previous` with a warning that names both.

    `check` raises `ValueError` for a tree of another kind than is wanted.

    **Raises:** `DamagedCheckpoint` if neither can be read.
    """
    try:
        return _read_checked(path, check), None
    except DamagedCheckpoint as error:
        if not previous.exists():
            raise
        try:
            tree = _read_checked(previous, check)
        except DamagedCheckpoint as worse:
            raise DamagedCheckpoint(f"{error}; {worse}") from None
        return tree, f"{error}; going on from {previous}"


def _read_checked(path: pathlib.Path, check: Callable[[Any], None]) -> Any:
    tree = read(path)
    try:
        check(tree)
    except ValueError as error:
        raise DamagedCheckpoint(f"{path}: holds no state of a run: {error}") from error
    return tree


def encode(tree: Any) -> bytes:
    """The bytes of a checkpoint file."""
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_pack(tree, tensors))
    return save(tensors, {"tree": text, "digest": _digest(tensors, text)})


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _pack(value: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """JSON of `value`, which stands at `path` in the tree; tensors go to `tensors` and leave their key."""
    if isinstance(value, Tensor):
        name = _unused(path or "tensor", tensors)
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        # A fused optimizer walks weight and state side by side: both must keep one layout.
        is_channels_last = value.ndim == 4 and not value.is_contiguous()
        return {"tensor": name, "channels_last": is_channels_last}
    if isinstance(value, dict):
        return {
            "items": [[_pack(k, tensors, f"{path}.key"), _pack(v, tensors, _below(path, k))] for k, v in value.items()]
        }
    if isinstance(value, tuple | list):
        items = [_pack(item, tensors, _below(path, place)) for place, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint holds numbers, texts, containers and tensors, not {type(value).__name__}")


def _below(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _unused(name: str, tensors: dict[str, Tensor]) -> str:
    """`name`, with a number if another tensor has it: keys may hold dots, and 1 and "1" are two keys."""
    candidates = itertools.chain([name], (f"{name}#{count}" for count in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in tensors and candidate != METADATA)


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor = tensors[value["tensor"]]
        return tensor.to(memory_format=torch.channels_last) if value["channels_last"] else tensor
    if "tuple" in value:
        return tuple(_unpack(item, tensors) for item in value["tuple"])
    return {_unpack(k, tensors): _unpack(v, tensors) for k, v in value["items"]}


def _flush_folder(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_space(folder: pathlib.Path) -> str:
    try:
        status = os.statvfs(folder)
    except OSError:
        return ""
    return f"; {status.f_bavail * status.f_frsize / 2**20:.0f} MiB are free"
