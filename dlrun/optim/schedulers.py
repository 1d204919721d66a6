"""Learning-rate schedules: those of torch, in epochs for the user and in optimizer steps inside.

Every function takes the optimizer, `total_steps` of the run, `steps_per_epoch`, and `watch_mode`
(`min` or `max`: which values of the watched metric are better). What it returns is stepped once
after every optimizer step, but `plateau`: once after every evaluation, with the watched metric.
Every function **raises** `ValueError` for values that contradict each other.

What others must know of one, it `says`: `spans_run`, its curve reaches to the end of the run, and cannot be stretched
half-way; `warms_up`, it rises by itself at the start, by the key of this name; `one_rate`, it sets one rate for all
parameters; `watches`, it is stepped with the watched metric.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from dlrun.config.schema import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ProperFraction, says


def none(optimizer: Optimizer, total_steps: int, steps_per_epoch: int, watch_mode: Literal["min", "max"]) -> None:
    """A constant learning rate."""


def step(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, watch_mode: Literal["min", "max"], *,
    step_size: PositiveInt = 5, gamma: PositiveFloat = 0.1,
) -> LRScheduler:  # fmt: skip
    """The learning rate times `gamma` every `step_size` epochs."""
    return StepLR(optimizer, step_size=step_size * steps_per_epoch, gamma=gamma)


@says(spans_run=True)
def cosine(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, watch_mode: Literal["min", "max"], *,
    min_lr: NonNegativeFloat = 0.0,
) -> LRScheduler:  # fmt: skip
    """Half a cosine from the optimizer's lr down to `min_lr` (Loshchilov and Hutter 2016)."""
    _check_falls(optimizer, min_lr)
    return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=min_lr)


@says(spans_run=True, warms_up="pct_start", one_rate=True)
def onecycle(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, watch_mode: Literal["min", "max"], *,
    max_lr: PositiveFloat = 0.01, pct_start: ProperFraction = 0.3,
) -> LRScheduler:  # fmt: skip
    """Up to `max_lr` in the share `pct_start` of the steps, then down (Smith and Topin 2018).

    It starts at max_lr / 25 and ends at max_lr / 250000, along cosines; the optimizer's own lr is
    not used. It sets the rate, so a `warmup` before it is of no effect. The momentum stays as
    configured, unlike in the paper.
    """
    if pct_start * total_steps == 1:
        raise ValueError(f"pct_start {pct_start:g} of {total_steps} steps is one step: too short to rise")
    return OneCycleLR(optimizer, max_lr=max_lr, total_steps=total_steps, pct_start=pct_start, cycle_momentum=False)


def multistep(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, watch_mode: Literal["min", "max"], *,
    milestones: tuple[PositiveInt, ...] = (5, 8), gamma: PositiveFloat = 0.1,
) -> LRScheduler:  # fmt: skip
    """The learning rate times `gamma` after each of the epochs `milestones`."""
    if list(milestones) != sorted(set(milestones)):
        raise ValueError(f"milestones must rise, found {list(milestones)}")
    return MultiStepLR(optimizer, [epoch * steps_per_epoch for epoch in milestones], gamma=gamma)


def exponential(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, watch_mode: Literal["min", "max"], *,
    gamma: PositiveFloat = 0.9,
) -> LRScheduler:  # fmt: skip
    """The learning rate times `gamma` an epoch, in equal factors a step."""
    return ExponentialLR(optimizer, gamma=gamma ** (1 / steps_per_epoch))


@says(spans_run=True, warms_up="warmup_fraction")
def warmup_cosine(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, watch_mode: Literal["min", "max"], *,
    warmup_fraction: ProperFraction = 0.1, min_lr: NonNegativeFloat = 0.0,
) -> LRScheduler:  # fmt: skip
    """A linear rise over `warmup_fraction` of the steps, then half a cosine down to `min_lr`."""
    _check_falls(optimizer, min_lr)
    rising = round(total_steps * warmup_fraction)
    falling = CosineAnnealingLR(optimizer, T_max=max(1, total_steps - rising), eta_min=min_lr)
    if rising == 0:
        return falling
    first = LinearLR(optimizer, start_factor=1 / (rising + 1), total_iters=rising)
    return SequentialLR(optimizer, [first, falling], milestones=[rising])


def _check_falls(optimizer: Optimizer, min_lr: float) -> None:
    for group in optimizer.param_groups:
        if min_lr > group["lr"]:
            raise ValueError(f"min_lr {min_lr:g} is above the optimizer's lr {group['lr']:g}")


@says(watches=True)
def plateau(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, watch_mode: Literal["min", "max"], *,
    factor: ProperFraction = 0.1, patience: NonNegativeInt = 3, min_lr: NonNegativeFloat = 0.0,
) -> LRScheduler:  # fmt: skip
    """The learning rate times `factor` after more than `patience` evaluations without a better metric."""
    # torch's relative threshold would take any value as better where the metric is negative.
    return ReduceLROnPlateau(optimizer, mode=watch_mode, factor=factor, patience=patience, min_lr=min_lr, threshold=0.0)


class Warmup:
    """A factor on the learning rate: step k of the first `steps` uses k / `steps` of it, then all of it.

    It is made after the scheduler, which steps `aside` of it: torch's schedules go on from the rate that they find, and
    from one that is warmed up they would go elsewhere.
    """

    def __init__(self, optimizer: Optimizer, steps: int):
        """**Arguments:** `optimizer`: whose rates these are; `steps`: at least 1."""
        self.optimizer, self.steps, self.taken = optimizer, steps, 0
        self.whole = [group["lr"] for group in optimizer.param_groups]
        self._apply()

    def step(self) -> None:
        """After every optimizer step."""
        self.taken += 1
        self._apply()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Within it the rates are those of the schedule alone, and may be changed."""
        for group, lr in zip(self.optimizer.param_groups, self.whole, strict=True):
            group["lr"] = lr
        yield
        self.whole = [group["lr"] for group in self.optimizer.param_groups]
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        return {"taken": self.taken, "whole": self.whole}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """After the optimizer's. Older runs have that of torch's `LinearLR`."""
        self.taken = state["taken"] if "taken" in state else state["last_epoch"]
        found = [group["lr"] / self._factor for group in self.optimizer.param_groups]
        self.whole = state.get("whole", found)

    @property
    def _factor(self) -> float:
        return min(1.0, (self.taken + 1) / self.steps)

    def _apply(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.whole, strict=True):
            group["lr"] = lr * self._factor
