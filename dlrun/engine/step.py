"""One step of training: the only zero_grad, backward, clipping and optimizer step of the package."""

import contextlib
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from dlrun.engine.contracts import Batch, Loader, Task
from dlrun.engine.finite import FiniteGuard
from dlrun.engine.state import State


class Step:
    """What is done with a batch: forward, loss, backward and, if it is the last of its step, the update.

    **Attributes** of the last batch:

    - `output`, `losses`: what the model and the task made of it.
    - `is_complete`: whether the weights were updated; else the next batch adds to the gradients.
    - `gradient_norm`: the L2 norm of all gradients before clipping; nan unless it was asked for.
    """

    def __init__(
        self, state: State, task: Task, train: Loader, *, accumulate: int, clip_grad_norm: float | None,
        autocast: contextlib.AbstractContextManager[Any],
    ):  # fmt: skip
        self.state, self.task, self.train = state, task, train
        self.accumulate, self.clip_grad_norm, self.autocast = accumulate, clip_grad_norm, autocast
        self.guard = FiniteGuard(state.optimizer, state.device, state.scaler.is_enabled())
        self.output: Any = None
        self.losses: dict[str, Tensor] = {}
        self.is_complete, self.gradient_norm = False, float("nan")

    def __call__(self, model: nn.Module, batch: Batch, wants_norm: bool = False) -> None:
        """Takes `batch` at the position where the state stands.

        **Raises:** `NonFiniteLoss` before an update with a loss that is not a number, if that can be seen already.
        """
        state, optimizer, scaler = self.state, self.state.optimizer, self.state.scaler
        with self.autocast:
            self.output = self.task.forward(model, batch)
        self.losses = self.task.losses(self.output, batch)
        loss = self.losses["loss"]
        self.guard.check(loss, state.step + 1)
        if state.batch % self.accumulate == 0:
            optimizer.zero_grad(set_to_none=True)  # not after the step: the recorder shows the last gradients
        share = self._share(state.batch)
        scaler.scale(loss if share == 1 else loss * share).backward()
        state.batch += 1
        self.is_complete = state.batch % self.accumulate == 0 or state.batch == self.train.num_batches
        if not self.is_complete:
            return
        self.gradient_norm = self._clip(model, wants_norm)
        if state.needs_closure:
            optimizer.step(self._again(model, batch))
        else:
            scaler.step(optimizer)
            scaler.update()
        state.advance()

    def _share(self, batch: int) -> float:
        """The weight of a batch's mean loss in its step, so that every example counts the same."""
        if self.accumulate == 1:
            return 1
        first = batch - batch % self.accumulate
        last = min(first + self.accumulate, self.train.num_batches)
        return self.train.num_in(batch, batch + 1) / self.train.num_in(first, last)

    def _clip(self, model: nn.Module, wants_norm: bool) -> float:
        if self.clip_grad_norm is None and not wants_norm:
            return float("nan")
        self.state.scaler.unscale_(self.state.optimizer)
        if self.clip_grad_norm is not None:
            norm = nn.utils.clip_grad_norm_(model.parameters(), self.clip_grad_norm)
        else:
            norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        return norm.item() if wants_norm else float("nan")

    def _again(self, model: nn.Module, batch: Batch) -> Callable[[], Any]:
        """For an optimizer that evaluates a batch several times a step (L-BFGS)."""

        def closure() -> Any:
            self.state.optimizer.zero_grad()
            with self.autocast:
                output = self.task.forward(model, batch)
            loss = self.task.losses(output, batch)["loss"]
            loss.backward()
            return loss

        return closure
