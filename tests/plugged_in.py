"""Plug-in files for tests, and the registries put back as they were."""

import contextlib
import copy

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from dlrun.config import registry

MODEL = '''
import multiprocessing, os, signal, sys, threading, time
import torch
from torch import nn
from dlrun.errors import UserError
from dlrun.data import DATA
from dlrun.models import MODELS
from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import DataSet
from dlrun.engine.parts import TensorPart


def fail(error):
    raise error


def wait_for_the_end():
    """Returns when a signal has asked this run to stop."""
    stop = signal.getsignal(signal.SIGTERM).__self__
    while stop.requested is None:
        time.sleep(0.005)


FATES = {
    "fine": lambda: None,
    "raise": lambda: fail(RuntimeError("broken wing\\n on the second line")),
    "user": lambda: fail(UserError("model.fate: this one is refused")),
    "method": lambda: fail(UserError(f"processes start by {multiprocessing.get_start_method()}")),
    "memory": lambda: fail(torch.OutOfMemoryError("CUDA out of memory")),
    "exit": lambda: sys.exit(3),
    "leave": lambda: os._exit(4),
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda: threading.Event().wait(),
}


@MODELS.register("mine")
class Mine(nn.Module):
    """Two linear layers, and one fate: what happens at the first step of training."""

    accepts: tuple = ("features",)

    def __init__(
        self,
        *,
        in_features: int,
        width: int = 8,
        batch_norm: bool = False,
        fate: str = "fine",
        nan_step: int | None = None,
        tell: str | None = None,
        hold: str | None = None,
        out_features: int,
    ):
        super().__init__()
        self.hidden = nn.Linear(in_features, width)
        self.norm = nn.BatchNorm1d(width) if batch_norm else nn.Identity()
        self.fc = nn.Linear(width, out_features)
        self.fate, self.nan_step, self.tell, self.hold, self.steps = fate, nan_step, tell, hold, 0

    def forward(self, x):
        x = self.fc(self.norm(self.hidden(x)))
        if not self.training:
            return x
        if self.steps == 0 and self.tell is not None:
            with open(self.tell, "a") as file:
                file.write(f"{self.fate}\\n")
        if self.steps == 0:
            if self.hold is not None and os.path.exists(self.hold):
                wait_for_the_end()
            FATES[self.fate]()
        self.steps += 1
        return x * float("nan") if self.steps == self.nan_step else x


@DATA.register("table")
class Table(DataSet):
    """Rows of random features."""

    kind: str = "features"
    target: str = "class"
    source: str = "made"

    def __init__(self, *, num_train: int = 32, num_val: int = 8, num_test: int = 8, in_features: int = 4):
        self.sizes = {"train": num_train, "val": num_val, "test": num_test}
        self.in_features = in_features

    @property
    def spec(self):
        return DataSpec(kind="features", target="class", in_features=self.in_features, out_features=3)

    def load(self):
        generator = torch.Generator().manual_seed(0)
        parts = {}
        for name, size in self.sizes.items():
            inputs = torch.randn(size, self.in_features, generator=generator)
            parts[name] = TensorPart((inputs,), torch.randint(0, 3, (size,), generator=generator))
        return parts
'''


@contextlib.contextmanager
def plugged_in(path, text=MODEL):
    """Writes the plug-in file `path` and lets DLRUN_PLUGINS name it; takes it all back at the end."""
    path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLRUN_PLUGINS", str(path))
        for entries in registry.registries().values():
            patch.setattr(entries, "_targets", dict(entries._targets))
        Plugins.instance()  # fills the store on first use
        patch.setattr(ConfigStore.instance(), "repo", copy.deepcopy(ConfigStore.instance().repo))
        patch.setattr(registry, "_loaded_plugins", dict(registry._loaded_plugins))
        yield path
