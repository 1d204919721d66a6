"""Numbers to be hit: regression (notes, chapters 1 to 4 and 7)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.config.schema import PositiveFloat
from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch, Findings, Metric, Task
from dlrun.engine.metrics import Gathered, Sums

LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}


class Regression(Task):
    """Squared, absolute or Huber loss on values (B, K).

    Where the data give the target's mean and standard deviation, the model's output and the loss are in units of
    that deviation, so that any learning rate that suits one target suits another; what is reported is in the
    target's own.
    """

    learns: str = "value"
    is_default: bool = True
    watch: str = "loss"
    mode: str = "min"

    def __init__(
        self, spec: DataSpec, *, loss: Literal["mse", "l1", "huber"] = "mse", huber_delta: PositiveFloat = 1.0
    ):
        super().__init__(spec)
        self.criterion, self.options = LOSSES[loss], {"delta": huber_delta} if loss == "huber" else {}
        self.mean = torch.tensor(spec.target_mean) if spec.target_mean is not None else None
        self.std = torch.tensor(spec.target_std) if spec.target_std is not None else None

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The mean over all values of the batch, in float32. **Raises:** `ValueError` for unequal shapes."""
        self.check(output, batch)
        target = batch.target
        if self.mean is not None and self.std is not None:
            target = (target - self.mean.to(output.device)) / self.std.to(output.device)
        return {"loss": self.criterion(output.float(), target, **self.options)}

    def metrics(self) -> list[Metric]:
        return [Errors(self), Scores(self)]

    def check(self, output: Tensor, batch: Batch) -> None:
        """**Raises:** `ValueError` with both shapes if they differ."""
        if output.shape != batch.target.shape:
            # torch would broadcast (B,) against (B, 1) to (B, B), and train on nonsense.
            raise ValueError(f"the model gives {tuple(output.shape)}, the target is {tuple(batch.target.shape)}")

    def predict(self, output: Tensor) -> Tensor:
        """The values (B, K), in the target's units."""
        if self.mean is None or self.std is None:
            return output.float()
        return output.float() * self.std.to(output.device) + self.mean.to(output.device)

    def answers(self, output: Tensor) -> dict[str, list[str]]:
        """The values, numbered from 0 where there are several."""
        from dlrun.terminal.console import number

        return {name: list(map(number, column)) for name, column in self.values(output).items()}

    def values(self, output: Tensor) -> dict[str, list[Any]]:
        """The same as numbers."""
        name, values = self.spec.target_name or "value", self.predict(output).T.tolist()
        names = [name] if len(values) == 1 else [f"{name} {k}" for k in range(len(values))]
        return dict(zip(names, values, strict=True))

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """True and predicted values, numbered from 0 where there are several."""
        guess = self.predict(output)
        columns = {}
        for k in range(target.shape[1]):
            mark = f"_{k}" if target.shape[1] > 1 else ""
            columns |= {f"true{mark}": target[:, k].tolist(), f"predicted{mark}": guess[:, k].tolist()}
        return columns

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Predicted against true values, residuals, and the curve where there is one feature."""
        from dlrun.plots import regression as figures

        name = self.spec.target_name or "value"
        guess, true = self.predict(findings.outputs)[:, 0].numpy(), findings.target[:, 0].numpy()
        found = {
            "predicted_against_true": figures.predicted_against_true(true, guess, name),
            "residuals": figures.residuals(true, guess, name),
        }
        if self.spec.kind == "features" and self.spec.in_features == 1:
            grid = findings.grid()
            feature = (self.spec.feature_names or ("x",))[0]
            line = self.predict(findings.forward(grid))[:, 0].numpy()
            points = findings.features()[:, 0].numpy()
            found["fit"] = figures.fitted_curve(points, true, grid[:, 0].numpy(), line, feature, name)
        return found


class Errors(Sums):
    """Root mean squared error and mean absolute error, in units of the target."""

    better: ClassVar[Mapping[str, str]] = {"rmse": "min", "mae": "min"}

    def __init__(self, task: Regression):
        super().__init__()
        self.task = task

    def sums(self, output: Tensor, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        error = self.task.predict(output.detach()) - batch.target
        return {"squared": error.square().sum(), "absolute": error.abs().sum()}

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        values = examples * (self.task.spec.out_features or 1)
        return {"rmse": (totals["squared"] / values) ** 0.5, "mae": totals["absolute"] / values}


class Scores(Gathered):
    """MSE, RMSE, MAE and R2, in float64; R2, a mean over the K values, needs two examples.

    As scikit-learn has them, whose import would cost more than most regressions here: of a constant target R2 is
    1 where it was hit and 0 where not.
    """

    better: ClassVar[Mapping[str, str]] = {"mse": "min", "rmse": "min", "mae": "min", "r2": "max"}
    each_epoch: ClassVar[bool] = False

    def __init__(self, task: Regression):
        super().__init__()
        self.task = task

    def value(self, output: Tensor, target: Tensor) -> dict[str, float]:
        error, true = self.task.predict(output).double() - target.double(), target.double()
        mse = error.square().mean().item()
        found = {"mse": mse, "rmse": mse**0.5, "mae": error.abs().mean().item()}
        if len(true) < 2:
            return found
        unexplained, spread = error.square().sum(dim=0), (true - true.mean(dim=0)).square().sum(dim=0)
        r2 = torch.where(spread > 0, 1 - unexplained / spread, (unexplained == 0).double())
        return found | {"r2": r2.mean().item()}
