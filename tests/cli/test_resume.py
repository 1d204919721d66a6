"""`dlrun resume` on a run: how long it trains may change, unless its learning rate is a curve over the whole run."""

import shlex

import pytest
from tiny import TINY

from dlrun.cli import main
from dlrun.store import runs


@pytest.mark.parametrize("scheduler", ["cosine", "onecycle", "warmup_cosine"])
def test_a_curve_over_the_whole_run_cannot_be_stretched(refused, capsys, scheduler):
    assert main.main([*TINY, "logger=none", "trainer.epochs=1", f"scheduler={scheduler}", "folder=run"]) == 0
    capsys.readouterr()
    assert refused("resume", "run", "trainer.epochs=2") == (
        f"trainer.epochs: the curve of scheduler={scheduler} spans the whole run and cannot be stretched half-way; "
        "train a new run"
    )
    assert main.main(["resume", "run"]) == 0
    assert capsys.readouterr().out == "run is done\n"


def test_any_other_schedule_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main([*TINY, "logger=none", "trainer.epochs=1", "scheduler=step", "folder=a run"]) == 0
    capsys.readouterr()
    assert main.main(["resume", "a run"]) == 0
    told = capsys.readouterr().out.strip().removeprefix("a run is done; train it longer with: ")
    # The advice is a command as it stands.
    assert main.main(shlex.split(told)[1:]) == 0
    assert runs.open_run("a run").summary["epochs"] == 2
