"""How dlrun opens and writes files: what it reads is a regular file, what it writes goes through no link.

A folder from a stranger may hold a pipe that waits for ever in place of a file, or a link from `config.yaml` to a file
of one's own. Nothing here waits, and nothing is written to where a name only points to.
"""

import contextlib
import errno
import io
import os
import pathlib
import secrets
import stat
from collections.abc import Iterator
from typing import IO, Any

from dlrun.errors import UserError

UNFINISHED = ".tmp"  # so ends the name of a file that is not yet whole
_KINDS = {
    stat.S_IFIFO: "a pipe (FIFO)", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def opened(path: str | os.PathLike[str]) -> io.BufferedReader:
    """A regular file, to be read; a link to one may be given.

    **Raises:** `OSError` if it cannot be opened, at once also where `open` would wait: for a pipe, a socket, a device.
    """
    return open(path, "rb", opener=_open_at_once)


def content(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """The bytes of a regular file. **Raises:** `OSError` as `opened` does, and for more bytes than `most`."""
    with opened(path) as file:
        if most is not None and os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"is larger than {most / 1e6:g} MB", os.fspath(path))
        return file.read()


def text(path: str | os.PathLike[str], most: int | None = None) -> str:
    """The same of a text in UTF-8. **Raises:** `UnicodeDecodeError` too."""
    return content(path, most).decode("utf-8")


def check_regular(path: str | os.PathLike[str]) -> None:
    """For a file that a library opens. **Raises:** `OSError` as `opened` does."""
    opened(path).close()


def folder(path: pathlib.Path) -> pathlib.Path:
    """The folder `path` in a folder of dlrun's own, made if it is not there.

    **Raises:** `UserError` if a link stands in its place; `OSError` if it cannot be made.
    """
    if path.is_symlink():
        raise _is_link(path)
    path.mkdir(exist_ok=True)
    return path


def write(path: pathlib.Path, value: str | bytes) -> None:
    """The whole file or none of it, in place of what stood there, be it a link. **Raises:** `OSError`."""
    with replacing(path) as file:
        file.write(value.encode("utf-8") if isinstance(value, str) else value)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """A new file beside `path` that takes its place when the block ends, or is gone if that fails."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}{UNFINISHED}")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def appending(path: str | os.PathLike[str]) -> int:
    """A descriptor to read a file of dlrun's own and to write at its end; the file is made if it is not there.

    **Raises:** `UserError` if it is a link, or one file under two names; `OSError` if it cannot be opened.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _is_link(path) from None
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    _refuse_other_kinds(path, status)
    raise _is_link(path)


def refuse_links(home: pathlib.Path) -> None:
    """**Raises:** `UserError` if there is a link in the folder `home` or below, where libraries write by themselves."""
    for entry in _below(home):
        if entry.is_symlink():
            raise _is_link(entry.path)


def remove_unfinished(home: pathlib.Path) -> None:
    """Takes away what a killed process had not written to its end, in the folder `home` and below."""
    for entry in _below(home):
        if entry.name.endswith(UNFINISHED) and not entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.path)


def _below(home: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    with os.scandir(home) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)


def _open_at_once(path: str, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.EINVAL, "is a socket, not a file", path) from None
        raise
    try:
        _refuse_other_kinds(path, os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_other_kinds(path: Any, status: os.stat_result) -> None:
    if (kind := _KINDS.get(stat.S_IFMT(status.st_mode))) is not None:
        raise OSError(errno.EINVAL, f"is {kind}, not a file", os.fspath(path))


def _is_link(path: str | os.PathLike[str]) -> UserError:
    return UserError(f"{os.fspath(path)}: is a link, and nothing is written through one; put the file itself there")
