"""A disk, a folder or a limit that gives way in the middle of a run: one line, exit code 1, the last state kept."""

import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import sys

import pytest
from tiny import TINY

from dlrun.cli import main
from dlrun.engine import fit

WORDS = [*TINY, "logger=none", "device.threads=1", "trainer.epochs=4", "folder=run"]


@pytest.fixture
def disturbed(tmp_path, monkeypatch, capsys):
    """`disturbed(how)`: a run during whose third epoch `how()` is called; the exit code and the last line."""
    monkeypatch.chdir(tmp_path)

    def call(how, *words):
        close, count = fit._close_epoch, []

        def closing(*args):
            count.append(None)
            if len(count) == 3:
                how()
            return close(*args)

        monkeypatch.setattr(fit, "_close_epoch", closing)
        code = main.main([*WORDS, *words])
        return code, capsys.readouterr().err.splitlines()[-1]

    return call


def test_a_folder_that_is_deleted_while_it_is_trained(disturbed):
    code, line = disturbed(lambda: shutil.rmtree("run"))
    assert code == 1 and line.startswith("dlrun: error: ")
    assert line.endswith("cannot be written (No such file or directory)")


def test_a_folder_in_which_nothing_may_be_written_any_more(disturbed, tmp_path, monkeypatch):
    def fail(path, *args):
        raise OSError(28, "No space left on device", str(path))

    code, line = disturbed(lambda: monkeypatch.setattr("dlrun.disk.replacing", fail))
    assert code == 1 and "(No space left on device); " in line and "; what was saved before is intact, " in line
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    words = line.partition("go on with: dlrun ")[2].split()
    assert words == ["resume", "run"] and main.main(words) == 0


def test_a_state_that_may_not_be_looked_at_is_none_to_go_on_from(disturbed, monkeypatch):
    def fail(path, *args, **options):
        raise PermissionError(13, "Permission denied", str(path))

    def shut():
        monkeypatch.setattr("dlrun.disk.replacing", fail)
        monkeypatch.setattr("os.stat", fail)

    code, line = disturbed(shut)
    monkeypatch.undo()
    assert code == 1 and "cannot be written (Permission denied)" in line and "go on with" not in line


def all_there_is():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


LIMITS = {
    "size of a file": (resource.RLIMIT_FSIZE, lambda: 4000, []),
    "open files": (resource.RLIMIT_NOFILE, lambda: 3, []),
    "memory": (resource.RLIMIT_AS, all_there_is, ["model.hidden_sizes=[2000,2000]"]),
}


def limited(kind, number, words):
    """In a process of its own: a run that has no more than that from its third epoch on."""
    # In place of pytest's own, which also tells where a process was that aborts.
    sys.stdout, sys.stderr = open("out", "w"), open("err", "w", buffering=1)  # noqa: SIM115
    faulthandler.disable()
    close, count = fit._close_epoch, []

    def closing(*args):
        count.append(None)
        if len(count) == 3:
            resource.setrlimit(kind, (number(),) * 2)
        return close(*args)

    fit._close_epoch = closing
    os._exit(main.main(words))


@pytest.mark.parametrize(("kind", "number", "more"), LIMITS.values(), ids=LIMITS)
def test_a_limit_of_the_system(tmp_path, monkeypatch, kind, number, more):
    monkeypatch.chdir(tmp_path)
    words = [*WORDS, "logger=default", "logger.graph=false", *more]
    process = multiprocessing.get_context("fork").Process(target=limited, args=(kind, number, words))
    process.start()
    process.join()
    said = (tmp_path / "err").read_text()
    # A library in Rust that gets no memory ends the process itself.
    assert process.exitcode == 1 or (more and process.exitcode == -signal.SIGABRT), said
    assert "Traceback" not in said
    assert process.exitcode < 0 or said.splitlines()[-1].startswith("dlrun: error: ")
    assert main.main(["resume", "run"]) == 0
