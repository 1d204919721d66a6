"""An optimizer: Lion (Chen et al. 2023), which steps by the sign of a running average of the gradient.

DLRUN_PLUGINS=examples/plugins/optimizer.py dlrun model=mlp data=digits optimizer=lion optimizer.lr=0.0003
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from dlrun.config.schema import NonNegativeFloat, ProperFraction
from dlrun.optim import OPTIMIZERS


@OPTIMIZERS.register("lion")
def lion(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 1e-4,
    betas: tuple[ProperFraction, ProperFraction] = (0.9, 0.99), weight_decay: NonNegativeFloat = 0.0,
) -> Optimizer:  # fmt: skip
    """Steps of one size, the learning rate, in each direction; a third to a tenth of Adam's rate suits it."""
    return Lion(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay})


class Lion(Optimizer):
    """All that it remembers is in `state`, so a checkpoint holds it, and a run goes on to the same bits."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            short, long = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                average = self.state[parameter].setdefault("average", torch.zeros_like(parameter))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(group["lr"] * average.lerp(parameter.grad, 1 - short).sign())
                average.lerp_(parameter.grad, 1 - long)
