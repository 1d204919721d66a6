"""A scheduler: a linear rise, then a fall by the square root of the step, as the Transformer was trained.

DLRUN_PLUGINS=examples/plugins/scheduler.py dlrun model=mlp data=digits scheduler=inverse_sqrt scheduler.rise=50
"""

from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from dlrun.config.schema import PositiveInt, says
from dlrun.optim import SCHEDULERS


@SCHEDULERS.register("inverse_sqrt")
@says(warms_up="rise")
def inverse_sqrt(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, watch_mode: Literal["min", "max"], *,
    rise: PositiveInt = 100,
) -> LRScheduler:  # fmt: skip
    """The optimizer's lr after `rise` steps, half of it after four times as many (Vaswani et al. 2017)."""
    return LambdaLR(optimizer, lambda step: min((step + 1) / rise, (rise / (step + 1)) ** 0.5))
