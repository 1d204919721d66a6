"""Drivers of sweeps and searches in processes of their own, which tests can kill."""

import contextlib
import multiprocessing
import os
import select
from multiprocessing import forkserver

import killing
from killing import die_at
from plugged_in import plugged_in

from dlrun.cli import main
from dlrun.sweep import worker

JOB = ["model=mine", "data=table", "data.num_train=8", "trainer.batch_size=8", "logger=none", "scheduler=none"]
FORKS = multiprocessing.get_context("fork")


@contextlib.contextmanager
def server(plug_in):
    """One server for the jobs of all tests of a module, born with the plug-in in its environment."""
    with plugged_in(plug_in), killing.server([*worker.PRELOAD, "warm"]):
        yield


def drive(words, moment):
    # The server is not a child of this process, and cannot be asked whether it lives; it does.
    forkserver._forkserver.ensure_running = lambda: None
    with open(os.devnull, "w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
        if moment is not None:
            die_at(moment)
        os._exit(main.main(words))


def driver(*words, moment=None):
    """A process that runs `dlrun WORDS` and can be killed, or is at a `moment` (tests/killing.py)."""
    ensure_server()
    process = FORKS.Process(target=drive, args=(list(words), moment))
    process.start()
    return process


def ensure_server():
    """A driver that is killed while it asks for a job takes the server with it; the next one needs another."""
    for _ in range(3):
        try:
            child = multiprocessing.get_context("forkserver").Process(target=os.getpid)
            child.start()
            child.join()
            return
        except (OSError, EOFError):
            forkserver._forkserver._stop()  # waits for its end; the next start begins another


class Bell:
    """A file that a job writes to at its first training step (`model.tell`), to be waited for.

    While `hold` stands (`model.hold`), that step lasts until the job is asked to stop.
    """

    def __init__(self, path):
        os.mkfifo(path)
        self.word = f"model.tell={path}"
        self.hold = path.with_name("hold")
        self.hold.touch()
        self.words = [self.word, f"model.hold={self.hold}"]
        self.end = os.open(path, os.O_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self.end)

    def wait(self):
        assert select.select([self.end], [], [], 60)[0], "no job has begun"
        os.read(self.end, 1000)
