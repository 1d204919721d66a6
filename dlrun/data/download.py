"""Data files from the network: several mirrors, checksums, and never half a file under a final name."""

import contextlib
import gzip
import hashlib
import http.client
import ipaddress
import os
import secrets
import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from tqdm import tqdm

from dlrun import disk
from dlrun.config.schema import few
from dlrun.errors import UserError

TIMEOUT_SECONDS = 20.0  # to connect, and between two pieces of a file
SLOWEST_BYTES = 16 * 1024  # within TIMEOUT_SECONDS: a mirror that drips is as good as none
MAX_BYTES = 4 * 1024**3  # of one file, downloaded or unpacked
MAX_MEMBERS = 100_000  # of one archive
CHUNK_BYTES = 256 * 1024
MOST_NAMED = 3  # mirrors in a message; files one fewer, as they stand in it twice


def matches(path: Path, checksum: str | None) -> bool:
    """Whether `path` is a file with `checksum`, written `md5:...` or `sha256:...`; None: nobody knows it."""
    if not path.is_file() or checksum is None:
        return path.is_file()
    algorithm, _, expected = checksum.partition(":")
    with disk.opened(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest() == expected


def fetch(
    dataset: str, folder: Path, files: Mapping[str, str | None], mirrors: Sequence[str], stand_in: str = "data=digits"
) -> None:  # fmt: skip
    """Brings `files` (name: checksum as in `matches`) into `folder`; what is there and whole stays.

    Each file is asked of `mirrors` (addresses of folders) in turn until one gives the right bytes.
    Processes that fetch the same file at once do not disturb each other. `stand_in` is a word for
    like data that need no download.

    **Raises:** `UserError` if no mirror could help, `DLRUN_OFFLINE` is set, or `folder` cannot be written: what was
    tried, which files go where by hand, and the data that need no download.
    """
    missing = {name: checksum for name, checksum in files.items() if not matches(folder / name, checksum)}
    by_hand = f"use {stand_in}, which needs no download, or put {few(files, MOST_NAMED - 1)} into {folder}"
    if missing and os.environ.get("DLRUN_OFFLINE", "0") not in ("", "0"):
        raise UserError(
            f"data={dataset}: {few(missing, MOST_NAMED - 1)} not found, and DLRUN_OFFLINE is set; {by_hand}"
        )
    try:
        for name, checksum in missing.items():
            folder.mkdir(parents=True, exist_ok=True)
            tried = _fetch_one(folder / name, checksum, mirrors)
            if tried:
                raise UserError(f"data={dataset}: {name} could not be downloaded ({few(tried, MOST_NAMED)}); {by_hand}")
    except OSError as error:
        raise UserError(f"data={dataset}: cannot write to {folder} ({_reason(error)}); {by_hand}") from error


def gunzip(archive: Path, path: Path) -> None:
    """Unpacks `archive` (.gz) to `path`. **Raises:** `UserError` if it is damaged or there is no room."""
    with _archive_errors(archive), _CappedGzip(archive) as unpacked, _whole_file(path) as file:
        shutil.copyfileobj(unpacked, file, CHUNK_BYTES)


def untar(archive: Path, folder: Path) -> None:
    """Unpacks `archive` (.tar, .tar.gz) into `folder`, file by file, each whole or not at all.

    Only plain files and folders that stay inside are taken: a link, a device or a path that leads out ends it.

    **Raises:** `UserError` for such a member, for more than `MAX_BYTES` or `MAX_MEMBERS`, for damage, for a full disk.
    """
    with _archive_errors(archive), tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as scratch:
        with _opened(archive) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as members:
            for count, member in enumerate(members, start=1):
                if count > MAX_MEMBERS:
                    raise ValueError(f"more than {MAX_MEMBERS} members")
                _extract(members, member, Path(scratch))
        _move_into(Path(scratch), folder)


def unzip_all(archive: Path, folder: Path) -> None:
    """Unpacks all of `archive` (.zip) into `folder`, as `untar` does."""
    with _archive_errors(archive), tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as scratch:
        with zipfile.ZipFile(archive) as packed:
            members = packed.infolist()
            if len(members) > MAX_MEMBERS:
                raise ValueError(f"more than {MAX_MEMBERS} members")
            if sum(member.file_size for member in members) > MAX_BYTES:
                raise ValueError(f"unpacks to more than {MAX_BYTES} bytes")
            for member in members:
                path = Path(scratch) / _inside(member.filename)
                if member.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as source, open(path, "xb") as file:
                    shutil.copyfileobj(source, file, CHUNK_BYTES)
        _move_into(Path(scratch), folder)


def unzip(archive: Path, folder: Path, names: Sequence[str]) -> None:
    """Takes those of the files `names` that `archive` (.zip) has, wherever in it, into `folder`, each whole or not.

    **Raises:** `UserError` if it is damaged, holds a file of more than `MAX_BYTES`, or there is no room.
    """
    with _archive_errors(archive), zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            name = PurePosixPath(member.filename).name
            if name not in names or member.is_dir():
                continue
            if member.file_size > MAX_BYTES:
                raise ValueError(f"{name} unpacks to more than {MAX_BYTES} bytes")
            with packed.open(member) as source, _whole_file(folder / name) as file:
                shutil.copyfileobj(source, file, CHUNK_BYTES)


def _opened(archive: Path) -> IO[bytes]:
    """The bytes of a tar archive, which may be compressed."""
    with disk.opened(archive) as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return _CappedGzip(archive) if is_gzip else disk.opened(archive)  # type: ignore[return-value]


def _move_into(scratch: Path, folder: Path) -> None:
    for path in sorted(scratch.rglob("*")):
        target = folder / path.relative_to(scratch)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            os.replace(path, target)


def _inside(text: str) -> PurePosixPath:
    """The path of a member. **Raises:** `ValueError` if it leads out of the folder."""
    name = PurePosixPath(text)
    if name.is_absolute() or ".." in name.parts or "\\" in text or ":" in text:
        raise ValueError(f"member {text!r} leads out of the folder")
    return name


def _extract(members: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    # By hand, not by extractall(filter="data"): Python 3.11.0 to 3.11.3 have no filter, and the filters of
    # later versions have had holes. No link is ever made, so no path can lead out through one.
    name = _inside(member.name)
    if member.isdir():
        (folder / name).mkdir(parents=True, exist_ok=True)
        return
    source = members.extractfile(member) if member.isreg() and not member.issparse() else None
    if source is None:
        raise ValueError(f"member {member.name!r} is neither a plain file nor a folder")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "xb") as file:
        shutil.copyfileobj(source, file, CHUNK_BYTES)


class _MirrorFailed(Exception):
    """One mirror cannot give a file; the text is the reason."""


class _CappedGzip(gzip.GzipFile):
    """Refuses to go on after `MAX_BYTES`: a tiny archive can unpack to a full disk."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if self.tell() > MAX_BYTES:
            raise ValueError(f"unpacks to more than {MAX_BYTES} bytes")
        return data


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return
    raise _MirrorFailed(f"refused {parts.scheme or 'an address without scheme'}, only https is safe")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fetch_one(path: Path, checksum: str | None, mirrors: Sequence[str]) -> list[str]:
    """Empty once `path` is there; else one `host: reason` a mirror."""
    tried = []
    for mirror in mirrors:
        try:
            _download(f"{mirror.rstrip('/')}/{path.name}", path, checksum)
        except _MirrorFailed as failure:
            tried.append(f"{_host(mirror)}: {failure}")
        else:
            return []
    return tried or ["no mirrors given"]


def _download(url: str, path: Path, checksum: str | None) -> None:
    algorithm, _, expected = (checksum or "sha256").partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with _whole_file(path) as file:
        for chunk in _receive(url, path.name):
            file.write(chunk)
            digest.update(chunk)
        if checksum is not None and digest.hexdigest() != expected:
            raise _MirrorFailed(f"wrong {algorithm} checksum")


def _receive(url: str, name: str) -> Iterator[bytes]:
    """The bytes of `url`, with a progress bar. **Raises:** `_MirrorFailed` for whatever goes wrong on the way."""
    try:
        _require_https(url)
        opener = urllib.request.build_opener(_CheckedRedirects)
        request = urllib.request.Request(url, headers={"User-Agent": "dlrun"})
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            yield from _chunks(response, f"{name} from {_host(url)}")
    except urllib.error.HTTPError as error:
        raise _MirrorFailed(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _MirrorFailed(_reason(error)) from error


def _chunks(response: http.client.HTTPResponse, title: str) -> Iterator[bytes]:
    total, received = response.length, 0
    window_start, window_bytes = time.monotonic(), 0
    with tqdm(desc=title, total=total, unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
        while chunk := response.read1(CHUNK_BYTES):
            if received == 0 and chunk.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
                raise _MirrorFailed("sent a web page instead of the file")
            received += len(chunk)
            if received > MAX_BYTES:
                raise _MirrorFailed(f"sent more than {MAX_BYTES} bytes")
            now = time.monotonic()
            if now - window_start > TIMEOUT_SECONDS:
                if received - window_bytes < SLOWEST_BYTES:
                    raise _MirrorFailed(f"too slow, {received - window_bytes} bytes in {now - window_start:.0f} s")
                window_start, window_bytes = now, received
            bar.update(len(chunk))
            yield chunk
    if total is not None and received < total:
        raise _MirrorFailed(f"broke off after {received} of {total} bytes")


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the name `path` only if the block ends well; else it is gone."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _archive_errors(archive: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, RuntimeError, ValueError) as error:
        raise UserError(f"{archive}: cannot be unpacked ({_reason(error)}); delete it and start again") from error


def _host(url: str) -> str:
    # Without user, password and path: an error line ends up in logs.
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _reason(error: BaseException) -> str:
    cause = getattr(error, "reason", None) or error
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return " ".join(str(text).split())
