"""A Chrome trace of the first steps, to see where a step's time goes."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule


@contextlib.contextmanager
def profiling(steps: int, path: pathlib.Path, device: torch.device) -> Iterator[Any]:
    """Yields a profiler to step, or None for `steps` 0; writes the trace to `path`.

    Two steps are left out before: the first ones also pay for caches and memory.
    """
    if steps == 0:
        yield None
        return
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    path.parent.mkdir(exist_ok=True)
    with profile(
        activities=activities,
        schedule=schedule(wait=1, warmup=1, active=steps, repeat=1),
        on_trace_ready=lambda finished: finished.export_chrome_trace(str(path)),
    ) as profiler:
        yield profiler
