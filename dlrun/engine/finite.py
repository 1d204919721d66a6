"""The guard against a loss that is not a number: no update is made with it."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class NonFiniteLoss(Exception):
    """The loss of optimizer step `step` is nan or infinite; what is saved are weights of before it."""

    def __init__(self, step: int, lr: float):
        super().__init__(step, lr)
        self.step, self.lr = step, lr


class FiniteGuard:
    """Checks every loss before its update.

    On a CPU the value is read. On a GPU reading would stall the device at each step, so the verdict stays there:
    a fused optimizer skips every update from the first bad loss on (`found_inf`, the road that gradient scalers use).
    One that cannot skip goes on with it; `raise_if_bad`, which is called before anything is recorded or saved, reads
    the verdict where the host waits for the device anyway.
    """

    def __init__(self, optimizer: Optimizer, device: torch.device, scaled: bool):
        self.optimizer: Any = optimizer
        self.deferred = device.type != "cpu"
        self.skips = all(group.get("fused") for group in optimizer.param_groups) and not scaled
        self.first_bad = torch.full((), -1, device=device)

    def check(self, loss: Tensor, step: int) -> None:
        """**Raises:** `NonFiniteLoss` if the value can be read without stalling."""
        if not self.deferred:
            if not math.isfinite(loss.item()):
                raise NonFiniteLoss(step, self.optimizer.param_groups[0]["lr"])
            return
        is_new = (self.first_bad < 0) & ~torch.isfinite(loss.detach())
        self.first_bad = torch.where(is_new, step, self.first_bad)
        if self.skips:
            self.optimizer.found_inf = (self.first_bad >= 0).float()

    def raise_if_bad(self) -> None:
        """**Raises:** `NonFiniteLoss` for the first bad loss so far."""
        if self.deferred and (step := int(self.first_bad)) >= 0:
            raise NonFiniteLoss(step, self.optimizer.param_groups[0]["lr"])
