import gzip
import hashlib
import io
import tarfile
import threading
from pathlib import Path

import pytest

from dlrun.config.places import data_root
from dlrun.data import download
from dlrun.errors import UserError

DATA = bytes(range(256)) * 40
MD5 = "md5:" + hashlib.md5(DATA).hexdigest()
SHA256 = "sha256:" + hashlib.sha256(DATA).hexdigest()


def test_data_root_prefers_argument_then_environment_then_local_folder(monkeypatch):
    monkeypatch.setenv("DLRUN_DATA", "/from/environment")
    assert data_root("/given") == Path("/given")
    assert data_root(None) == Path("/from/environment")
    monkeypatch.delenv("DLRUN_DATA")
    assert data_root(None) == Path("data")


@pytest.mark.parametrize("checksum", [MD5, SHA256])
def test_fetch_brings_the_file_and_asks_no_more_once_it_is_there(server, tmp_path, checksum):
    server.answers["/good/f.bin"] = server.content(DATA)
    for _ in range(2):
        download.fetch("mine", tmp_path / "new" / "folder", {"f.bin": checksum}, [f"{server.url}/good/"])
    assert (tmp_path / "new/folder/f.bin").read_bytes() == DATA
    assert server.asked == ["/good/f.bin"]


# A broken answer, and words of the reason that must be given.
FAULTS = {
    "missing": (lambda server: server.status(404), "HTTP 404"),
    "busy": (lambda server: server.status(503), "HTTP 503"),
    "forbidden": (lambda server: server.status(403), "HTTP 403"),
    "silent": (lambda server: server.silent, "timed out"),
    "stall": (lambda server: server.stall, "timed out"),
    "drip": (lambda server: server.drip, "too slow"),
    "cut": (lambda server: server.content(DATA[:5000], promised=len(DATA)), "broke off after 5000 of 10240 bytes"),
    "cut, no length": (lambda server: server.raw(b"HTTP/1.0 200 OK\r\n\r\n" + DATA[:9]), "wrong md5 checksum"),
    "no http": (lambda server: server.raw(b"what?\r\n"), "what?"),
    "no answer": (lambda server: server.raw(b""), "closed connection"),
    "other bytes": (lambda server: server.content(DATA[::-1]), "wrong md5 checksum"),
    "empty": (lambda server: server.content(b""), "wrong md5 checksum"),
    "html": (lambda server: server.content(b"\n<!DOCTYPE html><html>Please log in</html>"), "a web page"),
    "plain http": (lambda server: server.status(302, "http://example.invalid/f.bin"), "refused http,"),
    "file": (lambda server: server.status(302, "file:///etc/hostname"), "not allowed"),
    "loop": (lambda server: server.status(302, "/bad/f.bin"), "HTTP 302"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_mirror_is_passed_over_and_leaves_nothing(server, tmp_path, monkeypatch, name):
    slow = name in ("silent", "stall", "drip")
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.1 if slow else 20)
    fault, reason = FAULTS[name]
    server.answers["/bad/f.bin"] = fault(server)
    server.answers["/good/f.bin"] = server.content(DATA)
    with pytest.raises(UserError) as caught:
        download.fetch("mine", tmp_path, {"f.bin": MD5}, [f"{server.url}/bad"])
    assert reason in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 1 if slow else 20)  # the good one may take a moment
    download.fetch("mine", tmp_path, {"f.bin": MD5}, [f"{server.url}/bad", f"{server.url}/good"])
    assert [path.name for path in tmp_path.iterdir()] == ["f.bin"]


def test_all_mirrors_down_is_one_line_with_what_was_tried_and_what_to_do(server, tmp_path):
    server.answers["/b/f.bin"] = server.status(503)
    mirrors = [f"{server.url}/a", f"{server.url}/b", "http://user:secret@example.invalid/c", "http://[broken"]
    with pytest.raises(UserError) as caught:
        download.fetch("mine", tmp_path, {"f.bin": MD5, "g.bin": MD5}, mirrors)
    line = str(caught.value)
    assert "127.0.0.1: HTTP 404" in line and "127.0.0.1: HTTP 503" in line and "and 1 more" in line
    assert f"put f.bin, g.bin into {tmp_path}" in line and "data=digits" in line
    assert "secret" not in line and "\n" not in line


def test_no_server_at_all(server, tmp_path):
    address = server.url
    server.http.server_close()
    with pytest.raises(UserError, match=r"127\.0\.0\.1: "):
        download.fetch("mine", tmp_path, {"f.bin": MD5}, [address])


def test_a_good_redirect_is_followed(server, tmp_path):
    server.answers |= {"/old/f.bin": server.status(301, "/new/f.bin"), "/new/f.bin": server.content(DATA)}
    download.fetch("mine", tmp_path, {"f.bin": MD5}, [f"{server.url}/old"])
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_offline_asks_nobody(server, tmp_path, monkeypatch):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    server.answers["/f.bin"] = server.content(DATA)
    with pytest.raises(UserError, match=r"DLRUN_OFFLINE is set; use data=digits.* put f.bin, g.bin into "):
        download.fetch("mine", tmp_path, {"f.bin": MD5, "g.bin": MD5}, [server.url])
    assert server.asked == []
    (tmp_path / "f.bin").write_bytes(DATA)
    download.fetch("mine", tmp_path, {"f.bin": MD5}, [server.url])


def test_a_damaged_file_is_replaced(server, tmp_path):
    server.answers["/f.bin"] = server.content(DATA)
    (tmp_path / "f.bin").write_bytes(DATA[:100])
    download.fetch("mine", tmp_path, {"f.bin": MD5}, [server.url])
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_endless_mirror_is_cut(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    server.answers["/f.bin"] = server.content(DATA)
    with pytest.raises(UserError, match="more than 1000 bytes"):
        download.fetch("mine", tmp_path, {"f.bin": MD5}, [server.url])


def test_folder_that_cannot_be_written(server, tmp_path):
    server.answers["/f.bin"] = server.content(DATA)
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"cannot write to .*file/raw \(Not a directory\); use data=digits.* put f.bin into "
    ):
        download.fetch("mine", tmp_path / "file" / "raw", {"f.bin": MD5}, [server.url])


def test_two_at_once_both_end_well(server, tmp_path):
    together = threading.Barrier(2, timeout=10)

    def both_wait(handler):
        together.wait()
        server.content(DATA)(handler)

    server.answers["/f.bin"] = both_wait
    failures = []

    def fetch():
        try:
            download.fetch("mine", tmp_path, {"f.bin": MD5}, [server.url])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and len(server.asked) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["f.bin"]
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_progress_is_shown_on_a_terminal_only(server, tmp_path, monkeypatch, capsys):
    server.answers["/f.bin"] = server.content(DATA)
    download.fetch("mine", tmp_path / "a", {"f.bin": MD5}, [server.url])
    assert capsys.readouterr().err == ""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    download.fetch("mine", tmp_path / "b", {"f.bin": MD5}, [server.url])
    assert "f.bin from 127.0.0.1" in terminal.getvalue() and "10.0k" in terminal.getvalue()


def test_gunzip(tmp_path, monkeypatch):
    archive, path = tmp_path / "f.gz", tmp_path / "f"
    archive.write_bytes(gzip.compress(DATA))
    download.gunzip(archive, path)
    assert path.read_bytes() == DATA
    path.unlink()
    archive.write_bytes(gzip.compress(DATA)[:-20])
    with pytest.raises(UserError, match=r"f\.gz: cannot be unpacked"):
        download.gunzip(archive, path)
    archive.write_bytes(gzip.compress(b"\0" * 100_000))
    monkeypatch.setattr(download, "MAX_BYTES", 50_000)
    with pytest.raises(UserError, match="more than 50000 bytes"):
        download.gunzip(archive, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.gz"]


def tar(*members: tuple[str, bytes | dict], **options) -> bytes:
    """A .tar.gz; a member is a name with content or with fields of `TarInfo`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", **options) as archive:
        for name, what in members:
            info = tarfile.TarInfo(name)
            data = what if isinstance(what, bytes) else b""
            info.size = len(data)
            for field, value in {} if isinstance(what, bytes) else what.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data or b"0\n" * 256))
    return buffer.getvalue()


LINK, HARD, DEVICE, PIPE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE
SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": "9000"}
ATTACKS = {
    "holes": tar(("a", {"pax_headers": SPARSE, "size": 512}), format=tarfile.PAX_FORMAT),
    "up": tar(("../evil", b"x")),
    "up inside": tar(("a/../../evil", b"x")),
    "only up": tar(("..", {"type": tarfile.DIRTYPE})),
    "backslash": tar(("..\\evil", b"x")),
    "drive": tar(("C:evil", b"x")),
    "symlink": tar(("a", {"type": LINK, "linkname": "/etc/passwd"})),
    "through a symlink": tar(("a", {"type": LINK, "linkname": ".."}), ("a/evil", b"x")),
    "symlink inside": tar(("b", b"x"), ("a", {"type": LINK, "linkname": "b"})),
    "hard link": tar(("a", {"type": HARD, "linkname": "/etc/passwd"})),
    "device": tar(("a", {"type": DEVICE, "devmajor": 1, "devminor": 3})),
    "pipe": tar(("a", {"type": PIPE})),
    "bomb": tar(("a", b"\0" * 200_000)),
    "bomb in pieces": tar(*((f"{number}", b"\0" * 10_000) for number in range(20))),
    "bomb in a header": tar(("a", {"pax_headers": {"comment": "x" * 200_000}}), format=tarfile.PAX_FORMAT),
    "many": tar(*((f"{number}", b"") for number in range(60))),
    "twice": tar(("a", b"x"), ("a", b"y")),
    "file as folder": tar(("a", b"x"), ("a/b", b"y")),
    "long name": tar(("n" * 5000, b"x")),
    "zero byte": tar(("a\0b" + "c" * 200, b"x"), format=tarfile.PAX_FORMAT),
    "cut": tar(("a", DATA))[:-30],
    "no tar": gzip.compress(DATA),
    "no gzip": DATA,
    "nothing": b"",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_archive_is_refused_and_leaves_nothing(tmp_path, monkeypatch, name):
    monkeypatch.setattr(download, "MAX_BYTES", 100_000)
    monkeypatch.setattr(download, "MAX_MEMBERS", 50)
    folder = tmp_path / "inner"
    folder.mkdir()
    archive = folder / "a.tar.gz"
    archive.write_bytes(ATTACKS[name])
    with pytest.raises(UserError, match=r"a\.tar\.gz: cannot be unpacked \(.+\)") as caught:
        download.untar(archive, folder)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == [folder, archive]


def test_absolute_path_in_an_archive_is_refused(tmp_path):
    (tmp_path / "inner").mkdir()
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tar((f"{tmp_path}/evil", b"x")))
    with pytest.raises(UserError, match="leads out of the folder"):
        download.untar(archive, tmp_path / "inner")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "inner"]


def test_untar_replaces_and_keeps(tmp_path):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tar(("d", {"type": tarfile.DIRTYPE}), ("d/new", b"1"), ("d/old", b"2"), ("./e/f", b"3")))
    (tmp_path / "d").mkdir()
    (tmp_path / "d/old").write_bytes(b"damaged")
    (tmp_path / "d/other").write_bytes(b"mine")
    download.untar(archive, tmp_path)
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    del files["a.tar.gz"]
    assert files == {"d/new": b"1", "d/old": b"2", "d/other": b"mine", "e/f": b"3"}
