"""The training loop. Each feature is a key, an `if` here or in `Step`, and a test."""

import contextlib
import math
import time
from typing import Any, Literal, Protocol

from dlrun.engine.contracts import Loader, Task
from dlrun.engine.evaluate import evaluate
from dlrun.engine.interrupt import Stop
from dlrun.engine.metrics import Meter, chosen
from dlrun.engine.state import State
from dlrun.engine.step import Step

Outcome = Literal["done", "stopped early", "interrupted", "pruned", "nothing to learn"]


class Options(Protocol):
    """The keys of `trainer` that the loop reads; conf/trainer/default.yaml gives their meaning."""

    @property
    def epochs(self) -> int: ...
    @property
    def accumulate(self) -> int: ...
    @property
    def clip_grad_norm(self) -> float | None: ...
    @property
    def patience(self) -> int | None: ...
    @property
    def log_every(self) -> int: ...
    @property
    def eval_every(self) -> int: ...
    @property
    def save_every(self) -> int: ...


class Recorder(Protocol):
    """Where the loop reports to; `epoch` answers whether the run is not worth going on with."""

    def step(self, state: State, loss: float, gradient_norm: float) -> None: ...
    def epoch(self, state: State, row: dict[str, float], examples_per_second: float) -> bool: ...


class Keeper(Protocol):
    """Where the loop saves to."""

    def last(self, state: State) -> None: ...
    def best(self, state: State) -> None: ...


def fit(
    state: State, task: Task, train: Loader, val: Loader | None, options: Options, *,
    autocast: contextlib.AbstractContextManager[Any], recorder: Recorder, keeper: Keeper, stop: Stop,
    profiler: Any = None, beside: Loader | None = None,
) -> Outcome:  # fmt: skip
    """Trains `state` to `options.epochs`, from wherever it stands; what has no weight that learns is only evaluated.

    Without `val` the last weights are the best. `beside` is the test part where it is to be measured each epoch too:
    it is recorded, and nothing is chosen by it.

    **Raises:** `NonFiniteLoss` before an update with a loss that is not a number, or before anything is saved after it.
    """
    if not any(parameter.requires_grad for parameter in state.model.parameters()):
        return _only_evaluate(state, task, train, val, autocast, recorder, keeper, stop)
    step = Step(
        state, task, train, accumulate=options.accumulate, clip_grad_norm=options.clip_grad_norm, autocast=autocast
    )
    while state.epoch < options.epochs and not _is_exhausted(state, options):
        model, started, first = state.training_model(), time.perf_counter(), state.batch
        meter = Meter(chosen(task.metrics(), state.watch, in_training=True), state.sums)
        for batch in train.batches(state.epoch, state.batch):
            is_logged = (state.step + 1) % options.log_every == 0
            step(model, batch, wants_norm=is_logged)
            meter.update(step.output, batch, step.losses)
            if not step.is_complete:
                continue
            if is_logged:
                step.guard.raise_if_bad()
                recorder.step(state, step.losses["loss"].item(), step.gradient_norm)
            if profiler is not None:
                profiler.step()
            if stop.takes_save():
                step.guard.raise_if_bad()
                keeper.last(state)
            if stop.requested:
                break
        step.guard.raise_if_bad()
        examples_per_second = train.num_in(first, state.batch) / (time.perf_counter() - started)
        if stop.requested or not _close_epoch(state, task, meter, train, val, beside, options, autocast, keeper, stop):
            return _break_off(keeper, state, "interrupted")
        if _was_measured(state) and recorder.epoch(state, state.history[-1], examples_per_second):
            return _break_off(keeper, state, "pruned")
    return "done" if state.epoch >= options.epochs else "stopped early"


def _only_evaluate(
    state: State,
    task: Task,
    train: Loader,
    val: Loader | None,
    autocast: contextlib.AbstractContextManager[Any],
    recorder: Recorder,
    keeper: Keeper,
    stop: Stop,
) -> Outcome:
    """Measures and keeps weights that stay as they are, as epoch 0."""
    started, part, loader = time.perf_counter(), *(("val", val) if val is not None else ("train", train))
    metrics = chosen(task.metrics(), state.watch)
    evaluation = evaluate(state.eval_model, task, loader, metrics, autocast, stop=stop)
    if evaluation is None:
        return _break_off(keeper, state, "interrupted")
    state.history = [{"epoch": 0, "step": 0, "lr": 0.0, **_named(part, evaluation.metrics)}]
    keeper.best(state)
    keeper.last(state)
    recorder.epoch(state, state.history[-1], loader.num_in(0, loader.num_batches) / (time.perf_counter() - started))
    return "nothing to learn"


def _close_epoch(
    state: State,
    task: Task,
    meter: Meter,
    train: Loader,
    val: Loader | None,
    beside: Loader | None,
    options: Options,
    autocast: contextlib.AbstractContextManager[Any],
    keeper: Keeper,
    stop: Stop,
) -> bool:
    """Counts the epoch, evaluates and saves in their periods; False if a signal came before that."""
    epoch, is_final = state.epoch + 1, state.epoch + 1 == options.epochs
    is_best = val is None and is_final
    if epoch % options.eval_every == 0 or is_final:
        row = {"epoch": epoch, "step": state.step, "lr": state.lr}
        row |= _named("train", meter.compute(train.num_in(0, train.num_batches)))
        if val is not None:
            metrics = chosen(task.metrics(), state.watch)
            evaluation = evaluate(state.eval_model, task, val, metrics, autocast, stop=stop)
            if evaluation is None:
                return False
            row |= _named("val", evaluation.metrics)
            task.settle(state.eval_model, evaluation.metrics)
            is_best = _judge(state, evaluation.metrics)
        if beside is not None:
            evaluation = evaluate(state.eval_model, task, beside, chosen(task.metrics(), ""), autocast, stop=stop)
            if evaluation is None:
                return False
            row |= _named("test", evaluation.metrics)
        state.history.append(row)
    state.epoch, state.batch, state.sums = epoch, 0, {}
    if is_best:
        state.best_epoch = epoch
        keeper.best(state)
    if epoch % options.save_every == 0 or is_final or _is_exhausted(state, options):
        keeper.last(state)
    return True


def _break_off(keeper: Keeper, state: State, outcome: Outcome) -> Outcome:
    """Saves where a run stands that could be gone on with."""
    keeper.last(state)
    return outcome


def _was_measured(state: State) -> bool:
    """Whether the epoch that has just ended was evaluated."""
    return bool(state.history) and state.history[-1]["epoch"] == state.epoch


def _judge(state: State, metrics: dict[str, float]) -> bool:
    """Whether this evaluation is the best so far; a schedule that waits for the metric hears of it.

    Small val parts give the same value again and again: among equals the lower loss is better.
    """
    value = metrics[state.watch]
    if state.scheduler is not None and state.scheduler_watches:
        state.schedule(value)
    sign = 1 if state.mode == "max" else -1
    # What is undefined is worse than anything.
    rank = (-math.inf if math.isnan(value) else sign * value, -metrics.get("loss", 0.0))
    if state.best_rank is None or rank > state.best_rank:
        state.best_rank = rank
        return True
    return False


def _is_exhausted(state: State, options: Options) -> bool:
    return options.patience is not None and state.epoch - state.best_epoch >= options.patience


def _named(part: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{part}/{name}": value for name, value in metrics.items()}
