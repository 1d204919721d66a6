"""A run that is killed or stopped at any moment and goes on ends with the same bits."""

import contextlib
import json
import multiprocessing
import os
import pathlib
import random
import signal
import time

import pytest
from tiny import TINY

from dlrun import checkpoint

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
FORKS.set_forkserver_preload(["hydra", "dlrun.run", "dlrun.commands.resume", "dlrun.tasks.multiclass"])


def child(folder: str, words: list[str]) -> None:
    """Starts the run, or goes on with it if it has begun; leaves with the exit code of `dlrun`."""
    from dlrun import compose, config, run
    from dlrun.commands import resume

    # Loader processes as in a run of its own, not from one more server that would outlive this one.
    multiprocessing.set_start_method(None, force=True)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        try:
            if (pathlib.Path(folder) / "config.yaml").exists():
                resume.resume_run(folder)
            else:
                run.run(config.parse(compose.tree([*words, f"folder={folder}"], [])), words)
        except KeyboardInterrupt as error:
            os._exit(128 + getattr(error, "number", signal.SIGINT))


def spawn(folder, words=WORDS):
    process = FORKS.Process(target=child, args=(str(folder), list(words)))
    process.start()
    return process


def finish(folder, words=WORDS):
    process = spawn(folder, words)
    process.join()
    assert process.exitcode == 0


def content(folder):
    """metrics.csv, and the digests over all bits of the last state and of the best weights."""
    state = checkpoint.read(folder / "checkpoints/last.safetensors")
    best = checkpoint.read(folder / "checkpoints/best.safetensors")
    return (folder / "metrics.csv").read_text(), digest(state), digest(best["model"])


def digest(tree):
    tensors = {}
    text = json.dumps(checkpoint._pack(tree, tensors))
    return checkpoint._digest(tensors, text)


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


@pytest.mark.parametrize("seed", range(50))
def test_killed_at_a_random_moment(whole, duration, tmp_path, seed):
    moments = random.Random(seed)
    folder, done, lives = tmp_path / "run", False, 0
    while not done:
        process = spawn(folder)
        # The first kills can fall before the first checkpoint; later ones come ever later.
        lives += 1
        process.join(timeout=moments.uniform(0, 0.5 * duration * (1 + lives)))
        done = process.exitcode is not None
        process.kill()
        process.join()
    assert process.exitcode == 0
    assert content(folder) == whole


@pytest.mark.parametrize("seed", range(20))
def test_stopped_at_a_random_moment(whole, duration, tmp_path, seed):
    number = (signal.SIGTERM, signal.SIGINT)[seed % 2]
    folder = tmp_path / "run"
    process = spawn(folder)
    process.join(timeout=random.Random(seed).uniform(0.2, 1.0) * duration)
    if process.exitcode is None:
        os.kill(process.pid, number)
        process.join()
        # A signal that comes while the process is born has the system's own effect.
        is_unborn = not (folder / "config.yaml").exists()
        assert process.exitcode in (128 + number, 0) or (is_unborn and process.exitcode in (1, -number))
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
    from dlrun.commands import resume

    folder = tmp_path / "run"
    finish(folder)
    newest = folder / "checkpoints/last.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    (folder / "status.json").write_text('{"state": "interrupted"}')
    resume.resume_run(folder)
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
