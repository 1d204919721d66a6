"""A disk, a folder or a limit that gives way in the middle of a run: one line, exit code 1, the last state kept."""

import shutil
import signal
import subprocess
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
    assert code == 1 and line.startswith("dlrun: error: ") and "No such file or directory" in line


def test_a_folder_in_which_nothing_may_be_written_any_more(disturbed, tmp_path, monkeypatch):
    def fail(path, *args):
        raise OSError(28, "No space left on device", str(path))

    code, line = disturbed(lambda: monkeypatch.setattr("dlrun.disk.replacing", fail))
    assert code == 1 and "No space left on device" in line
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert main.main(["resume", "run"]) == 0


LIMITED = """
import resource, sys
from dlrun.cli import main
import dlrun.engine.fit as fit
close, count = fit._close_epoch, []
def closing(*args):
    count.append(None)
    if len(count) == 3:
        resource.setrlimit(*eval(sys.argv[1]))
    return close(*args)
fit._close_epoch = closing
sys.exit(main.main(sys.argv[2:]))
"""


ALL_THERE_IS = "((int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(),) * 2)"
LIMITS = {
    "size of a file": ("(resource.RLIMIT_FSIZE, (4000, 4000))", []),
    "open files": ("(resource.RLIMIT_NOFILE, (3, 3))", []),
    "memory": (f"(resource.RLIMIT_AS, {ALL_THERE_IS})", ["model.hidden_sizes=[2000,2000]"]),
}


@pytest.mark.parametrize(("limit", "more"), LIMITS.values(), ids=LIMITS)
def test_a_limit_of_the_system(tmp_path, limit, more):
    words = [*WORDS, "logger=default", "logger.graph=false", *more]
    done = subprocess.run([sys.executable, "-c", LIMITED, limit, *words], cwd=tmp_path, capture_output=True, text=True)
    # A library in Rust that gets no memory ends the process itself.
    assert done.returncode == 1 or (more and done.returncode == -signal.SIGABRT), done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode < 0 or done.stderr.splitlines()[-1].startswith("dlrun: error: ")
    again = subprocess.run(
        [sys.executable, "-m", "dlrun", "resume", "run"], cwd=tmp_path, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
