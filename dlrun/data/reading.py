"""A text file of the user's own, read whole, and the records of one that is a table. No pandas."""

import contextlib
import csv
import difflib
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from dlrun import disk
from dlrun.data.download import CHUNK_BYTES, MAX_BYTES
from dlrun.errors import UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_FORMATS = {
    b"\xff\xfe": "in UTF-16; save it in UTF-8",
    b"\xfe\xff": "in UTF-16; save it in UTF-8",
    b"PK\x03\x04": "a zip archive or a spreadsheet; export one table of it as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet; export one table of it as CSV",
}
# A folder in front, or an ending that no number has: `new/rows`, `rows.csv`, `rows.csv.gz`.
_PATH = re.compile(r"(~|\.{1,2})?[^,;\n]*[/\\][^,;\n]*|[^,;\n]+\.[A-Za-z]\w{0,7}")


def read_utf8(path: Path, key: str = "path") -> bytes:
    """The content, unpacked if it is packed by gzip, without a byte order mark; `data.<key>` gave the file.

    **Raises:** `UserError` for a file that cannot be read or is no text in UTF-8: the row, and what to do.
    """
    try:
        with disk.opened(path) as file:
            is_packed = file.peek(2).startswith(b"\x1f\x8b")
            content = _at_most(gzip.GzipFile(fileobj=file) if is_packed else file, path)
    except FileNotFoundError:
        raise UserError(f"data.{key}: {missing(path)}") from None
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


def records(
    path: Path, body: bytes, separator: str, line: int = 1, quote: str = '"', strict: bool = False
) -> Iterator[tuple[int, int, list[str]]]:
    """Each record of `body` that is not blank: its first and its last line, and its fields; `body` starts on `line`.

    **Raises:** `UserError` for a field too long to be one; `strict`: for one that goes on behind its closing quote.
    """
    raw = ""

    def remembered() -> Iterator[str]:
        nonlocal raw
        for text in io.TextIOWrapper(io.BytesIO(body), "utf-8", errors="replace", newline=""):
            raw = text
            yield text

    reader = csv.reader(remembered(), delimiter=separator, quotechar=quote, skipinitialspace=True, strict=strict)
    before, first = line - 1, line
    try:
        for fields in reader:
            # The line itself says it: the fields of a quoted nothing look the same.
            if raw.strip() or len(fields) > 1:
                yield first, before + reader.line_num, fields
            first = before + reader.line_num + 1
    except csv.Error as error:
        hint = ", a quote is missing or one too many (within a field it is doubled)" if strict else ""
        reason = str(error).replace("\t", "\\t")
        raise UserError(f"{path}: row {first}: {reason}{hint}") from error


def is_like_path(word: str) -> bool:
    """Whether a word has the form of a path and not of a row of values, whether or not something is there."""
    return _PATH.fullmatch(word) is not None


def missing(path: Path) -> str:
    """What to say of a file that is not there, with the nearest one that is."""
    near = difflib.get_close_matches(path.name, _names_beside(path), n=1)
    return f"no file {path}" + (f"; did you mean {path.with_name(near[0])}?" if near else "")


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
