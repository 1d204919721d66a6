"""What many tests share: a config from words, and a small run in a temporary folder."""

import compileall
import os
import pathlib
import signal
import subprocess
import sys

import hypothesis
import pytest
from tiny import TINY

# Two workers with two threads each on two cores wait for each other; a test needs one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A plug-in's folder is compared before and after; what Python puts beside it is not dlrun's.
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.dont_write_bytecode = True
# What a killed process has written is there all the same: to wait for the disk tells nothing but of a lost machine.
os.fsync = lambda descriptor: None

# A machine may be busy: no test fails for the time it takes. DLRUN_FUZZ=1000 for a long search.
hypothesis.settings.register_profile("dlrun", deadline=None, max_examples=int(os.environ.get("DLRUN_FUZZ", "40")))
hypothesis.settings.load_profile("dlrun")

REPOSITORY = pathlib.Path(__file__).parent.parent


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        # Once for all the processes that tests start, which keep no bytecode themselves.
        compileall.compile_dir(REPOSITORY / "dlrun", quiet=1)


def pytest_collection_modifyitems(items):
    if not os.environ.get("DLRUN_DATA"):
        skip = pytest.mark.skip(reason="needs real data: set DLRUN_DATA to a folder that holds MNIST, names, planetoid")
        for item in items:
            if "real" in item.keywords:
                item.add_marker(skip)


@pytest.fixture
def hangups_are_heard():
    """For a test that hangs up: under nohup all that is started would be deaf to it."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, previous)


@pytest.fixture
def make_config():
    """`make_config("model=mlp", ...)`: the checked config that these words compose to."""
    from dlrun.config import check, compose

    return lambda *words: check.parse(compose.tree(list(words), []))


@pytest.fixture
def cli(tmp_path):
    """`cli("model=mlp", ...)`: the installed `dlrun` in a folder outside the repository."""

    def call(*words, cwd=tmp_path, env=None, check=None):
        environment = os.environ | {"DLRUN_DATA": str(tmp_path / "data"), "NO_COLOR": "1"} | (env or {})
        done = subprocess.run(
            [sys.executable, "-m", "dlrun", *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True
        )
        if check is not None:
            assert done.returncode == check, done.stdout + done.stderr
        return done

    return call


@pytest.fixture
def run_here(tmp_path, monkeypatch):
    """`run_here("trainer.epochs=2", ...)`: a tiny run in this process; gives its `Result`."""
    from dlrun.config import check, compose
    from dlrun.run.run import run

    monkeypatch.chdir(tmp_path)

    def call(*words, resume=None):
        tree = compose.tree([*TINY, "logger=none", *words], [])
        return run(check.parse(tree), [*TINY, *words], resume=resume)

    return call


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """`refused("model=x")`: the one line of error of a command that exits with 2 and leaves nothing behind."""
    from dlrun.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path / "data"))

    def call(*words):
        before = sorted(tmp_path.rglob("*"))
        code = main.main(list(words))
        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        assert sorted(tmp_path.rglob("*")) == before
        (line,) = err.splitlines()
        assert line.startswith("dlrun: error: ")
        return line.removeprefix("dlrun: error: ")

    return call
