"""A run that is killed or stopped at any moment and goes on ends with the same bits."""

import contextlib
import json
import multiprocessing
import os
import pathlib
import random
import signal
import time

import killing
import pytest
from killing import content, die_at
from tiny import TINY

# Dropout draws random numbers, samples have partners; EMA, momentum, schedule and accumulation have their own state.
WORDS = [
    *TINY,
    "logger=none",
    "trainer.epochs=6",
    "trainer.batch_size=16",
    "trainer.accumulate=2",
    "trainer.ema_decay=0.9",
    "trainer.warmup_steps=4",
    "model.dropout=0.3",
    "augment=cutmix",
    "optimizer=sgd",
    "optimizer.momentum=0.9",
    "scheduler=cosine",
    "device.threads=1",
]
FORKS = multiprocessing.get_context("forkserver")


# (Where, which call of it, whether before or after it): the moments at which a kill could do most harm.
MOMENTS = [
    ("dlrun.store.files:create", 1, "after"),  # an empty folder
    ("dlrun.store.run_folder:RunFolder.write_status", 1, "after"),
    ("dlrun.store.run_folder:write_text", 1, "before"),  # all but the config, by which a run is known
    ("dlrun.engine.step:Step.__call__", 1, "before"),
    ("dlrun.engine.step:Step.__call__", 8, "after"),  # gradients of one batch of two, in the second epoch
    ("dlrun.engine.fit:evaluate", 2, "after"),
    ("dlrun.store.checkpoint:encode", 3, "before"),
    ("dlrun.store.checkpoint:_flush_folder", 3, "before"),  # renamed, not yet flushed
    ("dlrun.store.run_folder:RunFolder.last", 4, "after"),
    ("dlrun.store.run_folder:RunFolder.append_metrics", 4, "before"),  # saved, not yet in metrics.csv
    ("dlrun.store.run_folder:RunFolder.write_summary", 1, "before"),
    ("dlrun.store.run_folder:RunFolder.write_predictions", 1, "after"),  # all but the word that it is done
]
RANDOM = int(os.environ.get("DLRUN_KILLS", "8"))


def child(folder: str, words: list[str], moment=None) -> None:
    """Starts the run, or goes on with it if it has begun; leaves with the exit code of `dlrun`."""
    from dlrun.config import check, compose
    from dlrun.run.resume import resume_run
    from dlrun.run.run import run

    # Loader processes as in a run of its own, not from one more server that would outlive this one.
    multiprocessing.set_start_method(None, force=True)
    if moment is not None:
        die_at(moment)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        try:
            if (pathlib.Path(folder) / "config.yaml").exists():
                resume_run(folder)
            else:
                run(check.parse(compose.tree([*words, f"folder={folder}"], [])), words)
        except KeyboardInterrupt as error:
            os._exit(128 + getattr(error, "number", signal.SIGINT))


@pytest.fixture(scope="module", autouse=True)
def server():
    with killing.server(["warm"]):
        yield


def spawn(folder, words=WORDS, moment=None):
    process = FORKS.Process(target=child, args=(str(folder), list(words), moment))
    process.start()
    return process


def finish(folder, words=WORDS):
    process = spawn(folder, words)
    process.join()
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(folder)
    return content(folder)


@pytest.fixture(scope="module")
def duration(tmp_path_factory):
    """Seconds of an uninterrupted run, on this machine as loaded as it is now."""
    started = time.perf_counter()
    finish(tmp_path_factory.mktemp("timed") / "run")
    return time.perf_counter() - started


def test_the_same_seed_gives_the_same_bits(whole, tmp_path):
    finish(tmp_path / "run")
    assert content(tmp_path / "run") == whole


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[2]} {moment[0].split(':')[1]} {moment[1]}")
def test_killed_at_a_moment(whole, tmp_path, moment):
    process = spawn(tmp_path / "run", moment=moment)
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the moment never came"
    finish(tmp_path / "run")
    assert content(tmp_path / "run") == whole


@pytest.mark.parametrize("seed", range(RANDOM))
def test_killed_at_random_moments(whole, duration, tmp_path, seed, record_property):
    moments = random.Random(seed)
    words = WORDS if seed % 4 else [*WORDS, "device.residency=workers", f"device.workers={1 + seed % 8 // 4}"]
    folder, done, lives = tmp_path / "run", False, 0
    while not done:
        process = spawn(folder, words)
        # The first kills can fall before the first checkpoint; later ones come ever later.
        lives += 1
        process.join(timeout=moments.uniform(0, 0.5 * duration * (1 + lives)))
        done = process.exitcode is not None
        process.kill()
        process.join()
    record_property("kills", lives - 1)
    assert process.exitcode == 0
    assert content(folder) == whole


@pytest.mark.parametrize("seed", range(RANDOM // 2))
def test_stopped_at_a_random_moment(whole, duration, tmp_path, seed):
    number = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)[seed % 4]
    folder = tmp_path / "run"
    process = spawn(folder)
    process.join(timeout=random.Random(seed).uniform(0.2, 1.0) * duration)
    if process.exitcode is None:
        # It may end between the question and the signal.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        process.join()
        # A signal that comes while the process is born, or when all is done, has the system's own effect.
        is_unborn = not (folder / "config.yaml").exists()
        is_over = not is_unborn and json.loads((folder / "status.json").read_text())["state"] == "done"
        saved = 0 if number == signal.SIGUSR1 else 128 + number
        assert process.exitcode in (saved, 0) or ((is_unborn or is_over) and process.exitcode in (1, -number))
    if not (folder / "summary.json").exists():
        finish(folder)
    assert content(folder) == whole


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_number_of_loader_processes_changes_nothing(whole, duration, tmp_path, workers):
    words = [*WORDS, "device.residency=workers", f"device.workers={workers}"]
    folder = tmp_path / "run"
    process = spawn(folder, words)
    process.join(timeout=0.7 * duration)
    process.kill()
    process.join()
    finish(folder, words)
    assert content(folder) == whole


def test_a_damaged_newest_checkpoint_falls_back_with_one_warning(whole, tmp_path, capsys):
    from dlrun.run.resume import resume_run

    folder = tmp_path / "run"
    finish(folder)
    newest = folder / "checkpoints/last.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    (folder / "status.json").write_text('{"state": "interrupted"}')
    resume_run(folder)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "last.safetensors" in warnings[0]
    assert "last.previous.safetensors" in warnings[0]
    assert content(folder) == whole


def test_two_damaged_checkpoints_end_in_one_line(tmp_path, cli):
    finish(tmp_path / "run")
    for path in (tmp_path / "run/checkpoints").glob("last*"):
        path.write_bytes(path.read_bytes()[:100])
    (tmp_path / "run/status.json").write_text('{"state": "interrupted"}')
    done = cli("resume", tmp_path / "run", check=2)
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no usable checkpoint" in done.stderr
