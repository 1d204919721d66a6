"""Streams that fail end no run: each is a real process, since they belong to one."""

import json
import os
import subprocess
import sys

import pytest

SMALL = ["data=line", "model=linear", "trainer.epochs=30", "logger=none", "device=cpu", "folder=run"]
DLRUN = [sys.executable, "-m", "dlrun"]


def shell(command, folder, **environment):
    return subprocess.run(
        ["bash", "-c", command.replace("dlrun", " ".join(DLRUN))], cwd=folder, capture_output=True, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("how", ["2>&1 | head -n 1", ">&-", ">&- 2>&- <&-"])
def test_a_training_whose_reader_is_gone_goes_on_to_its_end(how, tmp_path):
    ended = shell(f"set -o pipefail; dlrun {' '.join(SMALL)} {how}", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert b"Traceback" not in ended.stderr + ended.stdout
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "done"
    assert len((tmp_path / "run/metrics.csv").read_text().splitlines()) > 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_answers_that_are_lost_on_a_full_disk_are_a_failure_but_the_run_ends(tmp_path):
    ended = shell(f"dlrun {' '.join(SMALL)} >/dev/full", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.decode().splitlines()[-1].startswith("dlrun: error: what was to be printed is lost (No space")
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "done"


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii", "posix"],
)
def test_letters_that_cannot_be_shown_are_replaced_and_files_have_them(environment, tmp_path):
    rows = "".join(f"{k},{(k * 7) % 5},{'猫é' if k % 2 else '🐶'}\n" for k in range(60))
    (tmp_path / "tiere é.csv").write_text("a,b,tier\n" + rows, encoding="utf-8")
    words = """model=mlp data=csv 'data.path="tiere é.csv"' data.target=tier trainer.epochs=1 'folder="läufe é"'"""
    ended = shell(f"dlrun {words} device=cpu logger=none", tmp_path, **environment)
    assert ended.returncode == 0, ended.stderr.decode()
    predictions = (tmp_path / "läufe é/predictions.csv").read_text(encoding="utf-8")
    assert "猫é" in predictions and "🐶" in predictions
    ended = shell("dlrun predict 'läufe é' 'tiere é.csv'", tmp_path, **environment)
    assert ended.returncode == 0, ended.stderr.decode()
    assert len(ended.stdout.splitlines()) >= 60


def test_a_working_directory_that_is_gone_and_words_that_are_no_text_are_one_line(tmp_path):
    ended = shell("mkdir gone; cd gone; rmdir ../gone; dlrun model=linear data=line", tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.decode() == "dlrun: error: the working directory does not exist any more; go to another one\n"
    ended = shell("dlrun model=linear data=line folder=$'a\\xff'", tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.decode().splitlines() == ["dlrun: error: b'folder=a\\xff': is no UTF-8 text"]
