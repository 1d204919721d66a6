"""The device of a run: which one, in which number format, with how many threads."""

import contextlib
import os
import pathlib
from typing import Any

import torch
from torch import nn

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # an environment variable that deterministic sums on a GPU need
PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16", "fp16"), "mps": ("fp32", "bf16", "fp16")}
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose(name: str, index: int = 0) -> torch.device:
    """The device called `name`; `auto` takes CUDA, then MPS, then the CPU.

    **Raises:** `ValueError` that lists what this machine has.
    """
    gpus = torch.cuda.device_count()
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if gpus else "mps" if has_mps else "cpu"
    if name == "cuda" and index >= gpus:
        there = f"has {gpus} CUDA GPU{'s' if gpus != 1 else ''}" if gpus else "has no CUDA GPU that torch can use"
        raise ValueError(f"device=cuda index {index}: this machine {there}; use device=auto or device=cpu")
    if name == "mps" and not has_mps:
        raise ValueError("device=mps: this machine has no Apple GPU that torch can use; use device=auto or device=cpu")
    return torch.device(name, index) if name == "cuda" else torch.device(name)


def check_precision(precision: str, device: torch.device) -> None:
    """**Raises:** `ValueError` if `device` cannot compute in `precision`."""
    allowed = PRECISIONS[device.type]
    if precision not in allowed:
        raise ValueError(f"device.precision={precision} does not work on {device.type}: use {' or '.join(allowed)}")
    if precision in ("bf16", "tf32") and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        raise ValueError(
            f"device.precision={precision} needs compute capability 8.0 (Ampere) or newer; use fp32 or fp16"
        )


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The context that a forward pass runs in."""
    if precision in _DTYPES:
        return torch.autocast(device.type, _DTYPES[precision])
    return contextlib.nullcontext()


def gradient_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """fp16 gradients underflow without a scale; for the other formats it is disabled."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def configure(precision: str, threads: int | None, deterministic: bool) -> None:
    """Sets torch's switches, which are of the whole process; call it before the first tensor is computed."""
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        os.environ.setdefault(CUBLAS, ":4096:8")
    # Even switching it off would import torch's compiler, which takes two seconds.
    if deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(deterministic)


def place(model: nn.Module, device: torch.device, channels_last: bool) -> nn.Module:
    """Moves the weights to `device`; convolutions read images channels last if asked for."""
    placed = model.to(device)
    return placed.to(memory_format=torch.channels_last) if channels_last else placed  # type: ignore[call-overload]


def bf16_is_native() -> bool:
    """Whether this CPU multiplies bf16 in hardware; without it bf16 is slower than fp32."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags or "bf16" in flags.split()


def label(device: torch.device) -> str:
    """The device as a person calls it."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return device.type
