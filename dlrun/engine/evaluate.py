"""One pass over a part without learning: every example counted once."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.engine import nested
from dlrun.engine.contracts import Loader, Metric, Task
from dlrun.engine.interrupt import Stop
from dlrun.engine.metrics import Meter
from dlrun.engine.nested import Nested


@dataclass
class Evaluation:
    """`metrics` of a part and, on the CPU, what they come from.

    `index` (N,) says which examples of the part were seen, rising; `outputs` and `target` have an entry for each, in
    that order. They are None if they were not asked for.
    """

    metrics: dict[str, float]
    outputs: Nested = None
    target: Nested = None
    index: Tensor | None = None


@torch.inference_mode()
def evaluate(
    model: nn.Module, task: Task, loader: Loader, metrics: Sequence[Metric],
    autocast: contextlib.AbstractContextManager[Any], *, stop: Stop | None = None, keep_outputs: bool = False,
) -> Evaluation | None:  # fmt: skip
    """The `metrics` of `model` on all batches of `loader`; None if `stop` was requested meanwhile."""
    model.eval()
    meter, examples, kept = Meter(metrics), 0, []
    for batch in loader.batches():
        if stop is not None and stop.requested:
            return None
        with autocast:
            output = task.forward(model, batch)
        meter.update(output, batch, task.losses(output, batch))
        examples += len(batch)
        if keep_outputs:
            kept.append((output, batch.target, batch.index))
    found = meter.compute(examples)
    if not kept:
        return Evaluation(found)
    outputs, target, index = nested.on_host(nested.gathered(kept))
    order = index.argsort()
    return Evaluation(found, nested.picked(outputs, order), nested.picked(target, order), index[order])
