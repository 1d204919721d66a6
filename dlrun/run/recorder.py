"""Where training reports to: metrics.csv, the loggers and the console, in this order of trust."""

import time
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from dlrun.engine.interrupt import Pruned
from dlrun.engine.state import State
from dlrun.run.loggers.loggers import Loggers
from dlrun.store.run_folder import RunFolder
from dlrun.terminal.console import Console

Judge = Callable[[dict[str, float]], bool]


class Recorder:
    """Records steps and epochs of one run.

    metrics.csv holds only what the same seed gives again; times go to the loggers and summary. Behind the `with` block
    the loggers know how the run has ended.

    `sample` is what the task shows of a model after an epoch: a text, a picture (C, H, W) in 0..1, or nothing.
    `judge` is a search that hears of each epoch, and says whether the run is hopeless.
    """

    def __init__(
        self, folder: RunFolder, loggers: Loggers, console: Console,
        sample: Callable[[nn.Module], str | Tensor | None], *, histograms: bool = False, judge: Judge | None = None,
    ):  # fmt: skip
        self.folder, self.loggers, self.console = folder, loggers, console
        self.histograms, self.sample, self.judge = histograms, sample, judge
        self.started = time.perf_counter()
        self.throughputs: list[float] = []

    def go_on(self, state: State) -> None:
        """Of a run that goes on: the epochs before, which a logger may have lost in a kill or never heard of."""
        for row in state.history:
            self.loggers.again(_scalars(row), int(row["step"]))

    def step(self, state: State, loss: float, gradient_norm: float) -> None:
        """A point of the loss curve."""
        self.console.progress(state.epoch, state.batch, loss)
        points = {"step/loss": loss, "step/lr": state.lr, "step/gradient_norm": gradient_norm}
        self.loggers.scalars(points, state.step)

    def epoch(self, state: State, row: dict[str, float], examples_per_second: float) -> bool:
        """A finished epoch, already in `state.history` and in a checkpoint; returns whether a search gives it up."""
        self.throughputs.append(examples_per_second)
        self.folder.append_metrics(state.history)
        self.console.progress(state.epoch, 0)
        self.console.epoch(row, examples_per_second, is_best=state.best_epoch == state.epoch)
        with torch.inference_mode():
            sample = self.sample(state.eval_model.eval())
        speed = {"train/examples_per_second": examples_per_second}
        self.loggers.scalars(_scalars(row) | speed, state.step)
        if isinstance(sample, str):
            self.console.say(f"      {' '.join(sample.splitlines())}")
            self.loggers.each(lambda logger: logger.text("sample", sample, state.step))
        elif sample is not None:
            path = self.folder.write_sample(state.epoch, sample)
            self.loggers.each(lambda logger: logger.picture("sample", path, state.step))
        if self.histograms:
            self.loggers.each(lambda logger: logger.histograms(state.model, state.step))
        self.loggers.each(lambda logger: logger.flush())
        return self.judge is not None and self.judge(row)

    def seconds(self) -> float:
        """Wall-clock time since the recorder was made."""
        return time.perf_counter() - self.started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.console.close()
        self.loggers.close(_state(error))


def _scalars(row: dict[str, float]) -> dict[str, float]:
    """What loggers hear of an epoch."""
    return {name: value for name, value in row.items() if "/" in name} | {"train/lr": row["lr"]}


def _state(error: BaseException | None) -> str:
    """How a run has ended that `error` left, as status.json says it."""
    if error is None:
        return "done"
    if isinstance(error, Pruned):
        return "pruned"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
