"""What a logger is told of a run, and when."""

import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dlrun.engine.contracts import Embedded

LONGEST_NAME = 100  # of a run, where many stand in a list


@dataclass(frozen=True)
class About:
    """A run that begins or goes on.

    **Fields:**

    - `folder`: its own; `outputs`: that of all runs, absolute.
    - `name`, and `group`: the name of its sweep.
    - `changed`: what sets it apart from the other jobs of its sweep.
    - `config`: the keys that say what it is; `command`: the line that repeats it.
    - `purge_step`: of a run that goes on, the first optimizer step that is made again.
    """

    folder: pathlib.Path
    outputs: pathlib.Path
    name: str
    group: str | None
    changed: Mapping[str, str]
    config: dict[str, Any]
    command: str
    purge_step: int | None


class Logger:
    """A place that a run reports to. What one has no place for it leaves out.

    `title` is its name for people; `look` a line on how to look at what it was told.
    """

    title: str
    look: str | None = None

    def scalars(self, values: dict[str, float], step: int) -> None:
        """One point for each of `values`, none of them nan, at optimizer step `step`."""

    def again(self, values: dict[str, float], step: int) -> None:
        """Points of before the run went on, which may be there already."""

    def text(self, name: str, words: str, step: int) -> None:
        """What a model says."""

    def picture(self, name: str, path: pathlib.Path, step: int) -> None:
        """A PNG file of the run's folder."""

    def histograms(self, model: "nn.Module", step: int) -> None:
        """How the values of each parameter, and of its gradient in the last step, are spread."""

    def graph(self, model: "nn.Module", inputs: "tuple[Tensor, ...]") -> None:
        """The model's graph."""

    def points(self, embedded: "Callable[[], Embedded | None]") -> None:
        """Examples as points, for a look around among them, where the task has such."""

    def conclude(self, settings: dict[str, Any], metrics: dict[str, float], step: int) -> None:
        """The final metrics, none of them nan, with the settings that a table of many runs shows."""

    def flush(self) -> None:
        """To disk, so that a kill loses nothing that a checkpoint knows of."""

    def close(self, state: str) -> None:
        """The run has ended: `done`, `failed`, `interrupted` or `pruned`."""


def told(changed: Mapping[str, str]) -> str:
    """`hidden_sizes=[16],lr=0.1`: what sets a job apart from others, without the groups where nothing is lost by it."""
    last = [key.rpartition(".")[2] for key in changed]
    names = [short if last.count(short) == 1 else key for key, short in zip(changed, last, strict=True)]
    return ",".join(f"{name}={value}" for name, value in zip(names, changed.values(), strict=True))


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys as `group.key`; what is a list on the command line is one."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}.{key}" if prefix else key
        plain = list(value) if isinstance(value, tuple) else value
        flat |= flatten(value, name) if isinstance(value, dict) else {name: plain}
    return flat
