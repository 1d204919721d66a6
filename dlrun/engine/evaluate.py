"""One pass over a part without learning: every example counted once."""

import contextlib
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Task(Protocol):
    """What the engine asks of a task; sums and counts stay on the device."""

    watch: str
    mode: str

    def loss(self, output: Any, batch: Any) -> Tensor:
        """The mean loss of a batch, a scalar."""
        ...

    def measure(self, output: Any, batch: Any) -> dict[str, Tensor]:
        """Sums over the batch that `summarize` turns into metrics."""
        ...

    def summarize(self, sums: dict[str, float], examples: int) -> dict[str, float]:
        """Metrics from the sums over a whole part, `loss` (times examples) among them."""
        ...


@dataclass
class Evaluation:
    """`metrics` of a part and, on the CPU, what they come from.

    `index` (N,) says which samples of the part were seen, rising; `outputs` (N, ...) and
    `target` (N, ...) are in that order. They are empty if they were not asked for.
    """

    metrics: dict[str, float]
    outputs: Tensor
    target: Tensor
    index: Tensor


def add_up(sums: dict[str, Tensor], task: Task, output: Any, batch: Any, loss: Tensor) -> None:
    """Adds one batch to the running `sums`, in place and without waiting for the device."""
    for name, value in {"loss": loss.detach() * len(batch), **task.measure(output, batch)}.items():
        sums[name] = sums[name].add_(value) if name in sums else value.clone()


def read_out(sums: dict[str, Tensor], task: Task, examples: int) -> dict[str, float]:
    """The metrics of a part from its sums; this is where the host waits for the device."""
    values = {name: value.item() for name, value in sums.items()}
    return {"loss": values["loss"] / examples, **task.summarize(values, examples)}


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    task: Task,
    loader: Any,
    autocast: contextlib.AbstractContextManager[Any],
    *,
    stop: Any = None,
    keep_outputs: bool = False,
) -> Evaluation | None:
    """The metrics of `model` on all batches of `loader`; None if `stop` was requested meanwhile."""
    model.eval()
    sums: dict[str, Tensor] = {}
    examples, kept = 0, []
    for batch in loader.batches():
        if stop is not None and stop.requested:
            return None
        with autocast:
            output = model(*batch.inputs)
        add_up(sums, task, output, batch, task.loss(output, batch))
        examples += len(batch)
        if keep_outputs:
            kept.append((output.float(), batch.target, batch.index))
    metrics = read_out(sums, task, examples)
    if not kept:
        return Evaluation(metrics, *[torch.empty(0)] * 3)
    outputs, target, index = (torch.cat(column).cpu() for column in zip(*kept, strict=True))
    order = index.argsort()
    return Evaluation(metrics, outputs[order], target[order], index[order])
