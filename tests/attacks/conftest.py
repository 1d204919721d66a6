"""Folders as a stranger or a failing disk may leave them, and what a command that opens one must not do.

`DLRUN_ATTACKS=N` tries N of each kind in place of a few.
"""

import shutil

import pytest
from attacking import in_time
from tiny import TINY

from dlrun.cli import main


@pytest.fixture
def attempt(capfd):
    """`attempt("show", folder)`: the exit code and all that is printed; nothing may be raised, nothing may hang."""

    def call(*words):
        with in_time():
            code = main.main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert code in (0, 1, 2), (code, err)
        return code, out + err

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run with all that a run can leave, and one of a table; each to be copied."""
    base = tmp_path_factory.mktemp("trained")
    table = base / "table.csv"
    lines = [f"{x},{x * 7 % 5},{'red' if x % 3 else 'blue'},{'yes' if x % 2 else 'no'}" for x in range(60)]
    table.write_text("\n".join(["width,height,colour,bought", *lines]) + "\n")
    words = ["trainer.epochs=1", "scheduler=none", "device.threads=1", "logger.graph=false"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        assert main.main([*TINY, *words, "folder=images"]) == 0
        csv = ["model=mlp", "model.hidden_sizes=[4]", "data=csv", f"data.path={table}", "data.target=bought"]
        assert main.main([*csv, *words, "logger=none", "folder=table"]) == 0
    return base


@pytest.fixture
def copied(trained, tmp_path, monkeypatch):
    """`copied("images")`: a copy of such a run in the working directory, of which only the end is missing."""
    monkeypatch.chdir(tmp_path)

    def copy(name):
        folder = tmp_path / "run"
        shutil.copytree(trained / name, folder)
        return folder

    return copy


@pytest.fixture
def canary(tmp_path_factory):
    """A file of one's own that no command has any business with, nor with its folder; checked at the end."""
    cage = tmp_path_factory.mktemp("cage")
    (cage / "bird").write_text("sings\n")
    yield cage / "bird"
    assert {path.name: path.read_text() for path in cage.iterdir()} == {"bird": "sings\n"}
