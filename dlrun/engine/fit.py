"""The training loop. Each feature is a key, an `if` here, and a test."""

import contextlib
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
from torch import nn

from dlrun.engine.evaluate import Task, add_up, evaluate, read_out
from dlrun.engine.finite import FiniteGuard
from dlrun.engine.interrupt import Stop
from dlrun.engine.state import State

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
    state: State,
    task: Task,
    train: Any,
    val: Any,
    options: Options,
    *,
    autocast: contextlib.AbstractContextManager[Any],
    recorder: Recorder,
    keeper: Keeper,
    stop: Stop,
    profiler: Any = None,
) -> Outcome:
    """Trains `state` to `options.epochs`, from wherever it stands; what has no weight that learns is only evaluated.

    `train` and `val` are loaders (`val` may be None: then the last weights are the best).

    **Raises:** `NonFiniteLoss` before an update with a loss that is not a number.
    """
    if not any(parameter.requires_grad for parameter in state.model.parameters()):
        return _only_evaluate(state, task, train, val, autocast, recorder, keeper, stop)
    optimizer, scaler = state.optimizer, state.scaler
    guard = FiniteGuard(optimizer, next(state.model.parameters()).device, scaler.is_enabled())
    while state.epoch < options.epochs and not _is_exhausted(state, options):
        model, started, first = state.training_model(), time.perf_counter(), state.batch
        for batch in train.batches(state.epoch, state.batch):
            with autocast:
                output = model(*batch.inputs)
            loss = task.loss(output, batch)
            guard.check(loss, state.step + 1)
            share = _share_of_step(train, state.batch, options.accumulate)
            if state.batch % options.accumulate == 0:
                optimizer.zero_grad(set_to_none=True)  # not after the step: the recorder shows the last gradients
            scaler.scale(loss if share == 1 else loss * share).backward()
            add_up(state.sums, task, output, batch, loss)
            state.batch += 1
            if state.batch % options.accumulate and state.batch < train.num_batches:
                continue
            is_logged = (state.step + 1) % options.log_every == 0
            norm = _clip(model, optimizer, scaler, options.clip_grad_norm, is_logged)
            if takes_closure(optimizer):
                optimizer.step(_closure(model, task, batch, optimizer, autocast))
            else:
                scaler.step(optimizer)
                scaler.update()
            _advance(state)
            if is_logged:
                guard.raise_if_bad()
                recorder.step(state, loss.item(), norm)
            if profiler is not None:
                profiler.step()
            if stop.requested:
                break
        guard.raise_if_bad()
        examples_per_second = train.num_in(first, state.batch) / (time.perf_counter() - started)
        if stop.requested or not _close_epoch(state, task, train, val, options, autocast, keeper, stop):
            return _break_off(keeper, state, "interrupted")
        if _was_measured(state) and recorder.epoch(state, state.history[-1], examples_per_second):
            return _break_off(keeper, state, "pruned")
    return "done" if state.epoch >= options.epochs else "stopped early"


def _only_evaluate(
    state: State,
    task: Task,
    train: Any,
    val: Any,
    autocast: contextlib.AbstractContextManager[Any],
    recorder: Recorder,
    keeper: Keeper,
    stop: Stop,
) -> Outcome:
    """Measures and keeps weights that stay as they are, as epoch 0."""
    started, part, loader = time.perf_counter(), *(("val", val) if val is not None else ("train", train))
    evaluation = evaluate(state.eval_model, task, loader, autocast, stop=stop)
    if evaluation is None:
        return _break_off(keeper, state, "interrupted")
    state.history = [{"epoch": 0, "step": 0, "lr": 0.0, **_named(part, evaluation.metrics)}]
    keeper.best(state)
    keeper.last(state)
    recorder.epoch(state, state.history[-1], loader.num_in(0, loader.num_batches) / (time.perf_counter() - started))
    return "nothing to learn"


def takes_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimizer evaluates the loss several times a step (L-BFGS)."""
    return isinstance(optimizer, torch.optim.LBFGS)


def _closure(model: nn.Module, task: Task, batch: Any, optimizer: Any, autocast: Any) -> Callable[[], Any]:
    def evaluate_again() -> Any:
        optimizer.zero_grad()
        with autocast:
            output = model(*batch.inputs)
        loss = task.loss(output, batch)
        loss.backward()
        return loss

    return evaluate_again


def _advance(state: State) -> None:
    """What follows an optimizer step: its rate is noted; the averaged weights, the next learning rate, the count."""
    state.lr = state.optimizer.param_groups[0]["lr"]
    if state.ema is not None:
        state.ema.update_parameters(state.model)
    if state.warmup is not None:
        state.warmup.step()
    if state.scheduler is not None and not _waits_for_metric(state.scheduler):
        state.scheduler.step()
    state.step += 1


def _close_epoch(
    state: State,
    task: Task,
    train: Any,
    val: Any,
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
        row |= _named("train", read_out(state.sums, task, train.num_in(0, train.num_batches)))
        if val is not None:
            evaluation = evaluate(state.eval_model, task, val, autocast, stop=stop)
            if evaluation is None:
                return False
            row |= _named("val", evaluation.metrics)
            is_best = _judge(state, task, evaluation.metrics)
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


def _share_of_step(loader: Any, batch: int, accumulate: int) -> float:
    """The weight of a batch's mean loss in its step, so that every example counts the same."""
    if accumulate == 1:
        return 1
    first = batch - batch % accumulate
    return loader.num_in(batch, batch + 1) / loader.num_in(first, min(first + accumulate, loader.num_batches))


def _clip(model: nn.Module, optimizer: Any, scaler: Any, max_norm: float | None, is_wanted: bool) -> float:
    """The L2 norm of all gradients before clipping; nan where nobody asked for it."""
    if max_norm is None and not is_wanted:
        return float("nan")
    scaler.unscale_(optimizer)
    if max_norm is not None:
        norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    else:
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    return norm.item() if is_wanted else float("nan")


def _judge(state: State, task: Task, metrics: dict[str, float]) -> bool:
    """Whether this evaluation is the best so far; a plateau schedule hears of it.

    Small val parts give the same value again and again: among equals the lower loss is better.
    """
    value, loss = metrics[task.watch], metrics["loss"]
    if state.scheduler is not None and _waits_for_metric(state.scheduler):
        state.scheduler.step(value)
    sign = 1 if task.mode == "max" else -1
    rank = (sign * value, -loss)
    if state.best_rank is None or rank > state.best_rank:
        state.best_rank = rank
        return True
    return False


def _is_exhausted(state: State, options: Options) -> bool:
    return options.patience is not None and state.epoch - state.best_epoch >= options.patience


def _waits_for_metric(scheduler: Any) -> bool:
    return isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)


def _named(part: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{part}/{name}": value for name, value in metrics.items()}
