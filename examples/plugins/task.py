"""A task: a quantile in place of the mean. With 0.9, nine of ten true values are to lie below the prediction.

DLRUN_PLUGINS=examples/plugins/task.py dlrun model=mlp data=diabetes task=quantile task.level=0.9
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from dlrun.config.schema import ProperFraction
from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch, Metric, Task
from dlrun.engine.metrics import Sums
from dlrun.tasks import TASKS


@TASKS.register("quantile")
class Quantile(Task):
    """The pinball loss (Koenker and Bassett 1978) on values (B, K): too low costs `level`, too high 1 - `level`."""

    learns: str = "value"
    watch: str = "loss"
    mode: str = "min"

    def __init__(self, spec: DataSpec, *, level: ProperFraction = 0.5):
        super().__init__(spec)
        self.level = level
        # The model learns in units of the target's own deviation, where the data say it.
        self.mean = torch.tensor(spec.target_mean if spec.target_mean is not None else (0.0,))
        self.std = torch.tensor(spec.target_std if spec.target_std is not None else (1.0,))

    def to(self, device: torch.device) -> None:
        self.mean, self.std = self.mean.to(device), self.std.to(device)

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        missing = (batch.target - self.mean) / self.std - output.float()
        return {"loss": torch.maximum(self.level * missing, (self.level - 1) * missing).mean()}

    def metrics(self) -> list[Metric]:
        return [Coverage(self)]

    def predict(self, output: Tensor) -> Tensor:
        """The values in the target's units."""
        return output.float() * self.std + self.mean

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        return {"true": target[:, 0].tolist(), "predicted": self.predict(output)[:, 0].tolist()}

    def answers(self, output: Tensor) -> dict[str, list[str]]:
        return {f"quantile {self.level:g}": [f"{value:.4g}" for value in self.predict(output)[:, 0].tolist()]}


class Coverage(Sums):
    """The share of true values that are not above the prediction; it should be the level."""

    better: ClassVar[Mapping[str, str]] = {"coverage": "max"}

    def __init__(self, task: Quantile):
        super().__init__()
        self.task = task

    def sums(self, output: Tensor, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"covered": (batch.target <= self.task.predict(output)).float().mean(dim=1).sum()}

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        return {"coverage": totals["covered"] / examples}
