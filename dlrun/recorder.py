"""Where training reports to: metrics.csv, TensorBoard and the console, in this order of trust."""

import time
from collections.abc import Callable

import torch
from torch import nn

from dlrun.console import Console
from dlrun.engine.state import State
from dlrun.events import Events
from dlrun.folder import RunFolder

Judge = Callable[[dict[str, float]], bool]


class Recorder:
    """Records steps and epochs of one run.

    metrics.csv holds only what the same seed gives again; times go to TensorBoard and summary.
    `judge` is a search that hears of each epoch, and says whether the run is hopeless.
    """

    def __init__(
        self,
        folder: RunFolder,
        events: Events | None,
        console: Console,
        *,
        histograms: bool = False,
        sample: Callable[[nn.Module], str] | None = None,
        judge: Judge | None = None,
    ):
        self.folder, self.events, self.console = folder, events, console
        self.histograms, self.sample, self.judge = histograms, sample, judge
        self.started = time.perf_counter()
        self.throughputs: list[float] = []

    def step(self, state: State, loss: float, gradient_norm: float) -> None:
        """A point of the loss curve."""
        self.console.progress(state.epoch, state.batch, loss)
        if self.events is not None:
            self.events.scalars(
                {"step/loss": loss, "step/lr": state.lr, "step/gradient_norm": gradient_norm}, state.step
            )

    def epoch(self, state: State, row: dict[str, float], examples_per_second: float) -> bool:
        """A finished epoch, already in `state.history` and in a checkpoint; returns whether a search gives it up."""
        self.throughputs.append(examples_per_second)
        self.folder.append_metrics(state.history)
        self.console.progress(state.epoch, 0)
        self.console.epoch(row, examples_per_second, is_best=state.best_epoch == state.epoch)
        sample = self._sample(state)
        if sample is not None:
            self.console.say(f"      {' '.join(sample.splitlines())}")
        if self.events is not None:
            scalars = {name: value for name, value in row.items() if "/" in name}
            scalars |= {"lr": row["lr"], "examples_per_second": examples_per_second}
            self.events.scalars(scalars, state.step)
            if sample is not None:
                self.events.text("sample", sample, state.step)
            if self.histograms:
                self.events.histograms(state.model, state.step)
            self.events.flush()
        return self.judge is not None and self.judge(row)

    def _sample(self, state: State) -> str | None:
        """What the model says now, where the task can tell it in words."""
        if self.sample is None:
            return None
        with torch.inference_mode():
            return self.sample(state.eval_model.eval())

    def seconds(self) -> float:
        """Wall-clock time since the recorder was made."""
        return time.perf_counter() - self.started

    def close(self) -> None:
        self.console.close()
        if self.events is not None:
            self.events.close()
