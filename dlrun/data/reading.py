"""A text file of the user's own, read whole."""

import contextlib
import difflib
import gzip
import io
import zlib
from pathlib import Path

from dlrun.data.download import CHUNK_BYTES, MAX_BYTES
from dlrun.errors import UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_FORMATS = {
    b"\xff\xfe": "in UTF-16; save it in UTF-8",
    b"\xfe\xff": "in UTF-16; save it in UTF-8",
    b"PK\x03\x04": "a zip archive or a spreadsheet; export one table of it as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet; export one table of it as CSV",
}


def read_utf8(path: Path, key: str = "path") -> bytes:
    """The content, unpacked if it is packed by gzip, without a byte order mark; `data.<key>` gave the file.

    **Raises:** `UserError` for a file that cannot be read or is no text in UTF-8: the row, and what to do.
    """
    try:
        with open(path, "rb") as file:
            is_packed = file.peek(2).startswith(b"\x1f\x8b")
            content = _at_most(gzip.GzipFile(fileobj=file) if is_packed else file, path)
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, _names_beside(path), n=1)
        hint = f"; did you mean {path.with_name(near[0])}?" if near else ""
        raise UserError(f"data.{key}: no file {path}{hint}") from None
    except IsADirectoryError:
        raise UserError(f"data.{key}: {path} is a folder; give one file") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise UserError(f"{path}: cannot be read ({reason})") from error
    for start, message in OTHER_FORMATS.items():
        if content.startswith(start):
            raise UserError(f"{path}: row 1: is {message}")
    if content[:1024].lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise UserError(f"{path}: row 1: is a web page; download the file itself")
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise UserError(f"{path}: row {line}: holds a zero byte: in UTF-16 or no text at all; save it in UTF-8")
    try:
        # Only its error is of interest, and ASCII has none.
        _ = content.isascii() or content.decode()
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise UserError(f"{path}: row {line}: byte 0x{byte:02x} is not UTF-8; save the file in UTF-8") from error
    return content.removeprefix(BYTE_ORDER_MARK)


def _at_most(file: io.BufferedIOBase, path: Path) -> bytes:
    """The rest of `file`. **Raises:** `UserError` at `MAX_BYTES`: a tiny archive can unpack to more than memory."""
    chunks, size = [], 0
    while chunk := file.read(CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BYTES:
            raise UserError(f"{path}: holds more than {MAX_BYTES >> 30} GiB, more than can be read into memory")
    return b"".join(chunks)


def _names_beside(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return [entry.name for entry in path.parent.iterdir()]
    return []
