"""A folder that one stands in runs nothing: neither modules that have the names of others, nor what git is told to."""

import json
import os
import subprocess
import sys

import pytest

NAMES = ("torch", "numpy", "json", "signal", "yaml", "hydra", "multiprocessing", "sitecustomize", "dlrun_plugin")
LINE = ["data=line", "model=linear", "trainer.epochs=1", "logger=none", "device=cpu"]


def dlrun(folder, *words, **environment):
    ended = subprocess.run(
        [sys.executable, "-m", "dlrun", *words], cwd=folder, capture_output=True, text=True, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def trap(tmp_path):
    """A folder whose modules, and whose git, leave a file `sprung` when they run."""
    spring = tmp_path / "spring.sh"
    spring.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    spring.chmod(0o755)
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nraise SystemExit(9)\n")
    for words in (
        ["init", "-q"],
        ["config", "core.fsmonitor", str(spring)],
        ["config", "core.hooksPath", str(tmp_path)],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_no_module_and_no_git_of_the_working_directory_runs(trap):
    dlrun(trap, "-m", *LINE, "seed=0,1", "sweep.folder=sweep")
    dlrun(trap, "eval", "sweep/0")
    assert not (trap / "sprung").exists()


def test_the_commit_is_that_of_the_code_and_of_plug_ins(trap, tmp_path_factory):
    own = tmp_path_factory.mktemp("own")
    (own / "mine.py").write_text("")
    commit = ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "first"]
    for words in (["init", "-q"], ["add", "."], commit):
        subprocess.run(["git", *words], cwd=own, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=own, capture_output=True, text=True
    ).stdout.strip()
    dlrun(trap, *LINE, "folder=run", DLRUN_PLUGINS=str(own / "mine.py"))
    found = json.loads((trap / "run/summary.json").read_text())
    assert found["plugin_commits"] == {str(own / "mine.py"): head}
    assert found["git_commit"] != head
