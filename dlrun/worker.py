"""The inside of a sweep's job: a process forked from a server that has loaded torch once."""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from dlrun import config, registry
from dlrun.errors import RunError, UserError

# What every job needs and no job changes; the server imports it before the first fork.
# (torch's optimizers import its compiler, whether they use it or not.)
PRELOAD = ["torch", "torch._dynamo", "torch.utils.tensorboard", "matplotlib.backends.backend_agg", "hydra", "dlrun.run"]


@dataclass
class Order:
    """What a job is told: its checked config, its words, whether to go on, where to log, its slot."""

    config: dict[str, Any]
    words: list[str]
    resume: bool
    log: str
    slot: int


def work(order: Order, connection: Any) -> None:
    """Runs one job and tells the driver its value, or the reason why there is none."""
    _leave_terminal(order.log)
    _take_gpu(order.slot)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    try:
        registry.load_plugins()
        checked = config.parse(order.config)

        from dlrun.commands.resume import resume_run
        from dlrun.run import run

        path = order.config["folder"]
        result = resume_run(path) if order.resume else run(checked, order.words)
        connection.send({"value": result.value if result is not None else None})
    except (UserError, RunError) as error:
        print(f"dlrun: error: {error}", file=sys.stderr)
        connection.send({"reason": " ".join(str(error).splitlines())})
        sys.exit(error.exit_code)
    except Exception as error:
        traceback.print_exc()
        text = str(error).splitlines()
        connection.send({"reason": f"{type(error).__name__}: {text[0] if text else ''}"})
        sys.exit(1)


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
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(target, stream)
    os.close(target)
    faulthandler.enable()


def _take_gpu(slot: int) -> None:
    """Jobs take turns on the GPUs that the driver may use; set before CUDA starts in this process."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = given.split(",") if given else [str(index) for index in range(torch.cuda.device_count())]
    if visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[slot % len(visible)]


def _end_with_driver() -> None:
    """A driver that was killed cannot stop its jobs: they stop, and save, when it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
