import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from dlrun.engine import device as devices
from dlrun.engine.profiling import profiling

CPU = torch.device("cpu")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_takes_the_best_there_is(monkeypatch, no_gpu):
    assert devices.choose("auto") == CPU
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.choose("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.choose("auto") == torch.device("cuda", 0)
    assert devices.choose("cuda", 1) == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("name", "index", "gpus", "words"),
    [("cuda", 0, 0, "no CUDA GPU"), ("cuda", 7, 2, "has 2 CUDA GPUs"), ("mps", 0, 1, "no Apple GPU")],
)
def test_a_device_that_is_not_there_is_refused(monkeypatch, no_gpu, name, index, gpus, words):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(ValueError, match=words):
        devices.choose(name, index)


def test_a_format_that_a_device_cannot_compute_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="fp32 or bf16"):
        devices.check_precision("fp16", CPU)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(ValueError, match=r"8\.0"):
        devices.check_precision("bf16", torch.device("cuda", 0))
    devices.check_precision("fp16", torch.device("cuda", 0))


def test_bf16_computes_in_bf16_and_keeps_float32_weights():
    layer = nn.Linear(4, 2)
    with devices.autocast("bf16", CPU):
        assert layer(torch.ones(1, 4)).dtype is torch.bfloat16
    with devices.autocast("fp32", CPU):
        assert layer(torch.ones(1, 4)).dtype is torch.float32
    assert layer.weight.dtype is torch.float32


def test_only_fp16_scales_gradients():
    assert devices.gradient_scaler("fp16", CPU).is_enabled()
    assert not devices.gradient_scaler("bf16", CPU).is_enabled()


def test_configure_sets_and_takes_back(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.get_num_threads()
    try:
        devices.configure("tf32", threads=1, deterministic=True)
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        devices.configure("fp32", threads=before, deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_float32_matmul_precision() == "highest"


def test_channels_last_changes_the_layout_of_convolutions_only():
    placed = devices.place(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)), CPU, channels_last=True)
    assert placed[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not placed[0].weight.is_contiguous()
    assert placed[2].weight.is_contiguous()


def test_a_trace_of_the_steps_is_written(tmp_path):
    with profiling(2, tmp_path / "profile/trace.json", CPU) as profiler:
        for _ in range(5):
            torch.ones(3).add(1)
            profiler.step()
    names = {event.get("name") for event in json.loads((tmp_path / "profile/trace.json").read_text())["traceEvents"]}
    assert "aten::add" in names
    with profiling(0, tmp_path / "none/trace.json", CPU) as profiler:
        assert profiler is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("own", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "None")],
    ids=["usual", "spins", "policy"],
)
def test_threads_sleep_soon_unless_somebody_says_how_they_wait(own, spins):
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    asked = "import dlrun, os, sys; assert 'torch' not in sys.modules; print(os.environ.get('GOMP_SPINCOUNT'))"
    ended = subprocess.run([sys.executable, "-c", asked], env=environment | own, capture_output=True, text=True)
    assert ended.stdout.strip() == spins, ended.stderr
