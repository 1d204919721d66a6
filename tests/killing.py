"""A process that is killed at a certain moment, and all bits that a run has left."""

import contextlib
import functools
import importlib
import itertools
import json
import multiprocessing
import os
import pathlib
import signal
from multiprocessing import forkserver

import pytest

from dlrun.cli import main
from dlrun.store import checkpoint


@contextlib.contextmanager
def server(preload: list[str]):
    """A fork server of a module's own that has imported `preload`, of tests too, before it forks for the first time."""
    forkserver._forkserver._stop()
    with pytest.MonkeyPatch.context() as patch:
        # A server knows no sys.path but the one that it is born with.
        patch.setenv("PYTHONPATH", str(pathlib.Path(__file__).parent))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(preload)
        # Its first child is born when all is imported.
        first = context.Process(target=os.getpid)
        first.start()
        first.join()
    yield
    forkserver._forkserver._stop()


def die_at(moment) -> None:
    """Lets this process be killed at `moment`."""
    (where, number, side), calls = moment, itertools.count(1)
    module, _, path = where.partition(":")
    owner = functools.reduce(getattr, path.split(".")[:-1], importlib.import_module(module))
    name = path.split(".")[-1]
    original = getattr(owner, name)

    @functools.wraps(original)
    def deadly(*args, **options):
        is_last = next(calls) == number
        if is_last and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = original(*args, **options)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, name, deadly)


def content(folder):
    """metrics.csv, and the digests over all bits of the last state and of the best weights."""
    state = checkpoint.read(folder / "checkpoints/last.safetensors")
    best = checkpoint.read(folder / "checkpoints/best.safetensors")
    return (folder / "metrics.csv").read_text(), digest(state), digest(best["model"])


def digest(tree):
    tensors = {}
    text = json.dumps(checkpoint._pack(tree, tensors))
    return checkpoint._digest(tensors, text)


def same_bits(words, folder, step):
    """Whether the run `whole` in `folder`, by `words`, is the same read by two workers, and killed and gone on with."""
    whole = content(folder / "whole")
    workers = ["folder=workers", "device.residency=workers", "device.workers=2", "logger.pictures=false"]
    assert main.main([*words, *workers]) == 0
    assert content(folder / "workers") == whole
    killed_in_training([*words, "folder=killed"], step=step)
    assert main.main(["resume", "killed"]) == 0
    assert content(folder / "killed") == whole


def killed_in_training(words, step):
    """A run in a process that is killed after its training step number `step`."""
    process = multiprocessing.get_context("fork").Process(target=_train_until_killed, args=(words, step))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _train_until_killed(words, step):
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    die_at(("dlrun.engine.step:Step.__call__", step, "after"))
    os._exit(main.main(words))
