"""What torch, Python and NumPy have once a process: a run has it for itself, and leaves it as it was."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

from dlrun.engine.device import CUBLAS
from dlrun.engine.state import random_state, restore_random_state

_TURN = threading.RLock()


def _set_cublas(value: str | None) -> None:
    if value is None:
        del os.environ[CUBLAS]
    else:
        os.environ[CUBLAS] = value


# How each switch is read, and how it is set.
SWITCHES: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (lambda: torch.backends.cudnn.allow_tf32, lambda value: setattr(torch.backends.cudnn, "allow_tf32", value)),
    (lambda: torch.backends.cudnn.benchmark, lambda value: setattr(torch.backends.cudnn, "benchmark", value)),
    (lambda: os.environ.get(CUBLAS), _set_cublas),
)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Other threads that want the same wait for the end of the `with` block.

    In it gradients are on and new tensors are float32 on the CPU. Behind it all switches, and the generators of random
    numbers, are as they were before.
    """
    with _TURN, torch.inference_mode(False), torch.enable_grad(), _usual_device():
        before, chance = [read() for read, _ in SWITCHES], random_state()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            for (read, put), value in zip(SWITCHES, before, strict=True):
                if read() != value:
                    put(value)
            restore_random_state(chance)


@contextlib.contextmanager
def _usual_device() -> Iterator[None]:
    """New tensors stand on the CPU, whatever `torch.set_default_device` was told."""
    before = torch.get_default_device()
    if before.type == "cpu":
        yield
        return
    torch.set_default_device(None)
    try:
        yield
    finally:
        torch.set_default_device(before)
