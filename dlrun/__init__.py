"""dlrun: one command trains, compares and shows any model of a deep-learning course.

In Python and in notebooks: `dlrun.train`, `sweep`, `load`, `load_model`, `build`, `compare`, `models` (dlrun/api.py).
They are imported on first use, so that `import dlrun` costs nothing; `__init__.pyi` tells type checkers of them.
"""

import importlib
import os
import sys
import types
from typing import Any

__version__ = "0.1.0"

# Before torch is imported, which reads it once: how often a thread looks for work before it sleeps. By default threads
# spin so long that two programs on the same cores stop each other: a run then takes 9 to 60 times as long, with this
# about 4 times; alone it takes 1.04 times as long, with 1,000 turns 1.15 times (medians of 6, benchmarks.shared).
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
    os.environ["GOMP_SPINCOUNT"] = "10000"

_API = {
    **dict.fromkeys(
        ("train", "sweep", "load", "load_model", "build", "compare", "Run", "Sweep", "Comparison"), "dlrun.api"
    ),
    "TrainedModel": "dlrun.run.answers",
}
_MODULES = ("errors", "models")


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(importlib.import_module(_API[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"dlrun.{name}")
    raise AttributeError(f"module 'dlrun' has no attribute {name!r}")


class _Package(types.ModuleType):
    """This package, of which `sweep` is the function even where the package of that name has been imported."""

    @property
    def sweep(self) -> Any:
        return __getattr__("sweep")

    @sweep.setter
    def sweep(self, package: types.ModuleType) -> None:
        """What an import does: `dlrun.sweep` stands in `sys.modules`, where `from dlrun.sweep import x` looks."""


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *_API, *_MODULES})
