"""`DLRUN_DATA=... python -m benchmarks [--repeats 5] [--only mlp,cnn,resnet,augment]`

Every figure is a ratio of medians from one run in which the ways take turns, so that other
work on the machine falls on all of them. MNIST is read from DLRUN_DATA; `augment` needs no data.
"""

import argparse
import copy
import os
import statistics
import subprocess
import sys
import time

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import augment
from benchmarks.loops import BATCH_SIZE, CPU, autocast_of, bare_steps, engine_epoch, interleaved, notes_epoch, resident
from dlrun.config import pairing
from dlrun.config.places import data_root
from dlrun.data import views
from dlrun.data.images.mnist import MNIST
from dlrun.engine import device as devices
from dlrun.engine.parts import TensorPart
from dlrun.models import MODELS

# Lowest acceptable ratio notes / dlrun of an epoch with its test pass, 2 CPU cores.
EPOCH_TARGETS = {("mlp", "fp32"): 2.3, ("cnn", "fp32"): 2.6, ("resnet", "fp32"): 1.7}
EPOCH_TARGETS |= {("mlp", "bf16"): 3.5, ("cnn", "bf16"): 2.9, ("resnet", "bf16"): 2.2}
STEP_TARGET = 1.05
NUM_STEPS = 150  # of one stretch of the step's timing
COLUMNS = ("format", "notes s", "dlrun s", "notes / dlrun", "at least", "dlrun step / bare step", "at most")


class Bench:
    """One model on MNIST, trained in the three ways."""

    def __init__(self, name: str):
        import torchvision

        data = MNIST(val_fraction=0.0)
        parts = data.load()
        steps = [torchvision.transforms.ToTensor(), torchvision.transforms.Normalize((0.1307,), (0.3081,))]
        transform = torchvision.transforms.Compose(steps)
        self.train_set, self.test_set = (
            torchvision.datasets.MNIST(str(data_root(None)), train=is_train, transform=transform)
            for is_train in (True, False)
        )
        self.spec, view = views.as_kind(data.spec, pairing.accepts(name, data.spec.kind))
        prepare = views.preparation(data.spec, view)
        self.train = resident(parts["train"], prepare, shuffle=True)
        self.test = resident(parts["test"], prepare, batch_size=4 * BATCH_SIZE)
        self.steps = resident(parts["train"], prepare, shuffle=True, limit=NUM_STEPS)
        torch.manual_seed(0)
        keys = {key: getattr(self.spec, key) for key in ("in_features", "in_channels", "image_size", "out_features")}
        wanted = MODELS.describe(name).parameters
        self.model = MODELS.get(name)(**{key: value for key, value in keys.items() if key in wanted})
        self.is_flat = view is not None

    def placed(self) -> torch.nn.Module:
        """A fresh copy as dlrun places it: channels last."""
        return devices.place(copy.deepcopy(self.model), CPU, channels_last=True)

    def notes(self) -> float:
        model = copy.deepcopy(self.model)
        return notes_epoch(
            torch.nn.Sequential(torch.nn.Flatten(), model) if self.is_flat else model, self.train_set, self.test_set
        )

    def dlrun(self, precision: str) -> float:
        return engine_epoch(self.placed(), self.train, self.test, precision, self.spec)

    def dlrun_steps(self, precision: str) -> float:
        return engine_epoch(self.placed(), self.steps, None, precision, self.spec)

    def bare(self, precision: str) -> float:
        scale, shift = torch.tensor(1 / (255 * 0.3081)), torch.tensor(-0.1307 / 0.3081)
        part = self.train.part
        assert isinstance(part, TensorPart)
        images = part.inputs[0].flatten(1) if self.is_flat else part.inputs[0]
        return bare_steps(self.placed(), images, part.target, NUM_STEPS, scale, shift, autocast_of(precision))


def measure(name: str, repeats: int, table: Table) -> None:
    """Fills the rows of one model."""
    bench = Bench(name)
    ways = {"notes": bench.notes} | {p: lambda p=p: bench.dlrun(p) for p in ("fp32", "bf16")}
    seconds = interleaved(ways, repeats)
    for precision in ("fp32", "bf16"):
        pair = {"ours": lambda p=precision: bench.dlrun_steps(p), "bare": lambda p=precision: bench.bare(p)}
        # Short stretches in many turns: other work on the machine falls on both alike.
        steps = interleaved(pair, 5 * repeats)
        epoch = [notes / ours for notes, ours in zip(seconds["notes"], seconds[precision], strict=True)]
        step = [ours / bare for ours, bare in zip(steps["ours"], steps["bare"], strict=True)]
        table.add_row(
            precision,
            f"{statistics.median(seconds['notes']):.2f}",
            f"{statistics.median(seconds[precision]):.2f}",
            f"{statistics.median(epoch):.2f} ({min(epoch):.2f} to {max(epoch):.2f})",
            f"{EPOCH_TARGETS[name, precision]}",
            f"{statistics.median(step):.3f} ({min(step):.3f} to {max(step):.3f})",
            f"{STEP_TARGET}",
        )


def start_up(repeats: int) -> None:
    """Seconds until an answer, each in a new process."""
    for words in (["--help"], ["list"], ["model=resnt"]):
        taken = []
        for _ in range(repeats):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "dlrun", *words], capture_output=True)
            taken.append(time.perf_counter() - started)
        print(f"dlrun {' '.join(words):<12} {statistics.median(taken):.2f} s (limit 0.6)")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="mlp,cnn,resnet,augment")
    options = parser.parse_args()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, load average {os.getloadavg()[0]:.2f}", end=""
    )
    print(f", bf16 {'native' if devices.bf16_is_native() else 'emulated'}, n = {options.repeats}")
    for name in options.only.split(","):
        if name == "augment":
            augment.measure(3 * options.repeats)
            continue
        table = Table(title=f"{name}, batch 64: seconds an epoch, and medians of paired ratios (lowest to highest)")
        for column in COLUMNS:
            table.add_column(column, justify="right")
        measure(name, options.repeats, table)
        Console(width=150).print(table)
    start_up(options.repeats)


if __name__ == "__main__":
    main()
