"""Signals save a run: those that stop it, and those by which a scheduler warns."""

import os
import pty
import signal
import subprocess
import sys

import pytest
from tiny import TINY

from dlrun.cli import main
from dlrun.engine import fit, interrupt
from dlrun.store import checkpoint, runs
from dlrun.store.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("hangups_are_heard")

LONG = [*TINY, "logger=none", "device.threads=1", "trainer.batch_size=8", "trainer.epochs=3", "folder=run"]

START = "import sys; from dlrun.cli import main; sys.exit(main.main(sys.argv[1:]))"


@pytest.fixture
def signalled(tmp_path, monkeypatch):
    """`signalled(number, words)`: the exit code of a run that is sent a signal in its 5th step, or another."""
    monkeypatch.chdir(tmp_path)

    def call(number, *words, step=5):
        steps = []

        class Signalled(fit.Step):
            def __call__(self, *args, **options):
                steps.append(None)
                if len(steps) == step:
                    os.kill(os.getpid(), number)
                return super().__call__(*args, **options)

        monkeypatch.setattr(fit, "Step", Signalled)
        return main.main([*LONG, *words])

    return call


def saved_step():
    return checkpoint.read(runs.open_run("run").path / "checkpoints/last.safetensors")["counters"]["step"]


@pytest.mark.parametrize("number", interrupt.STOPS)
def test_a_signal_that_stops_saves_first(signalled, number):
    assert signalled(number) == 128 + number
    assert runs.open_run("run").state == "interrupted" and saved_step() == 5


@pytest.mark.parametrize("step", [11, 12, 13])
def test_a_run_that_is_stopped_at_the_end_of_an_epoch_of_twelve_steps_goes_on(signalled, monkeypatch, step):
    with monkeypatch.context() as patch:
        patch.setattr(fit, "Step", fit.Step)
        assert signalled(signal.SIGTERM, step=step) == 128 + signal.SIGTERM
    assert saved_step() == step
    assert main.main(["resume", "run"]) == 0 and saved_step() == 36


@pytest.mark.parametrize("number", interrupt.WARNINGS)
def test_a_warning_saves_and_training_goes_on(signalled, monkeypatch, number):
    saved, last = [], RunFolder.last
    monkeypatch.setattr(RunFolder, "last", lambda home, state: (saved.append(state.step), last(home, state)))
    assert signalled(number) == 0
    assert runs.open_run("run").state == "done" and 5 in saved


@pytest.mark.parametrize("number", interrupt.WARNINGS)
def test_a_warning_stops_where_it_is_to(signalled, number):
    assert signalled(number, "trainer.stop_when_warned=true") == 128 + number
    assert runs.open_run("run").state == "interrupted" and saved_step() == 5


def test_a_question_where_a_run_is_ends_nothing(signalled, capfd):
    assert signalled(signal.SIGQUIT) == 0
    assert "most recent call first" in capfd.readouterr().err


def test_a_run_under_nohup_outlives_its_terminal(signalled):
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signalled(signal.SIGHUP) == 0
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_handlers_are_put_back(signalled):
    watched = (*interrupt.STOPS, *interrupt.WARNINGS)
    before = [signal.getsignal(number) for number in watched]
    signalled(signal.SIGUSR1)
    assert [signal.getsignal(number) for number in watched] == before


def test_a_terminal_that_is_closed_stops_a_run_that_is_saved(tmp_path):
    ours, theirs = pty.openpty()
    words = [*LONG, "trainer.epochs=100000"]
    run = subprocess.Popen(
        [sys.executable, "-c", f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {START}", *words],
        cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    printed = b""
    while b"epoch" not in printed.replace(b"epochs", b""):
        printed += os.read(ours, 1000)
    os.close(ours)
    assert run.wait() == 128 + signal.SIGHUP
    assert runs.open_run(tmp_path / "run").state == "interrupted"
