"""The inside of a sweep's job: a process forked from a server that has loaded torch once."""

import contextlib
import faulthandler
import multiprocessing
import os
import pathlib
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from typing import Any

from tqdm import tqdm

from dlrun import disk
from dlrun.config import check, registry
from dlrun.errors import RunError, UserError
from dlrun.store import locks

# What every job needs and no job changes; the server imports it before the first fork.
PRELOAD = ["torch", "torch.utils.tensorboard", "matplotlib.backends.backend_agg", "hydra", "dlrun.run.run"]

# What a job gets to save in when its driver is gone and nobody else would end it.
GRACE_SECONDS = 60
_is_told_to_stop = threading.Event()


@dataclass
class Order:
    """What a job is told: its checked config, its words, what sets it apart, where to log, its slot.

    `is_judged`: whether a search judges it. `environment` and `threads` are its own: those of the server may be of
    another sweep.
    """

    config: dict[str, Any]
    words: list[str]
    changed: dict[str, str]
    log: str
    slot: int
    is_judged: bool
    environment: dict[str, str]
    threads: int


def work(order: Order, connection: Any) -> None:
    """Runs one job and tells the driver its value, or the reason why there is none."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # nothing to save yet
    os.environ.clear()
    os.environ.update(order.environment)
    _leave_terminal(order.log)
    _take_gpu(order.slot)
    _count_threads(order.threads)
    # The system's own way again: loader processes from one more server would import torch anew and outlive this job.
    multiprocessing.set_start_method(None, force=True)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    sys.exit(_train(order, connection))


def _train(order: Order, connection: Any) -> int:
    try:
        registry.load_plugins()
        checked = check.parse(order.config)

        from dlrun.engine.interrupt import Pruned
        from dlrun.run.resume import resume_run
        from dlrun.run.run import run

        path = pathlib.Path(order.config["folder"])
        locks.wait_until_free(path)
        judge = partial(_ask, connection) if order.is_judged else None
        is_begun = (path / "config.yaml").exists()
        try:
            more = {"judge": judge, "changed": order.changed}
            result = resume_run(path, **more) if is_begun else run(checked, order.words, **more)
        except Pruned:
            _tell(connection, {"state": "pruned", "value": None})
            return 0
        value, outcome = (result.value, result.outcome) if result is not None else (None, None)
        reason = "training diverged" if outcome == "diverged" else None
        _tell(connection, {"state": "done", "value": value, "reason": reason})
        return 0
    except (UserError, RunError) as error:
        print(f"dlrun: error: {error}", file=sys.stderr)
        _tell(connection, {"reason": " ".join(str(error).splitlines())})
        return error.exit_code
    except KeyboardInterrupt as error:
        number = getattr(error, "number", signal.SIGINT)
        _tell(connection, {"reason": f"interrupted by {signal.Signals(number).name}"})
        return 128 + number
    except Exception as error:
        traceback.print_exc()
        text = str(error).splitlines()
        _tell(connection, {"reason": f"{type(error).__name__}: {text[0] if text else ''}"})
        return 1


def _tell(connection: Any, message: dict[str, Any]) -> None:
    # A driver that was killed hears nothing; the run's own status says how it ended.
    with contextlib.suppress(BrokenPipeError):
        connection.send(message)


def _ask(connection: Any, row: dict[str, float]) -> bool:
    """Whether the driver gives this job up, after an epoch with the metrics in `row`."""
    try:
        connection.send({"row": row})
        return connection.recv()
    except (EOFError, OSError):
        # A driver that was killed decides nothing. Who takes this job up decides, so not one epoch more is trained.
        _is_told_to_stop.wait(GRACE_SECONDS)
        return False


def describe_exit(code: int | None) -> str:
    """Why a process ended that said nothing itself."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (often: out of memory)" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{hint}"
    return f"the process left with exit code {code}"


def _leave_terminal(log: str) -> None:
    """A session of its own, so that Ctrl-C reaches only the driver, and output to the job's log."""
    os.setsid()
    target = disk.appending(log)
    for stream in (1, 2):
        os.dup2(target, stream)
    os.close(target)
    faulthandler.enable()
    # Its default lock is also for other processes, and one that is killed would leave it behind.
    tqdm.set_lock(threading.RLock())


def _take_gpu(slot: int) -> None:
    """Jobs take turns on the GPUs that the driver may use; set before CUDA starts in this process."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = given.split(",") if given else [str(index) for index in range(torch.cuda.device_count())]
    if visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[slot % len(visible)]


def _count_threads(threads: int) -> None:
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def _end_with_driver() -> None:
    """A driver that was killed cannot stop its jobs: they stop, and save, when it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        _is_told_to_stop.set()
        time.sleep(GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)
