"""Numbers to be hit: regression (notes, chapters 1 to 4 and 7)."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.data.spec import DataSpec
from dlrun.schema import PositiveFloat
from dlrun.tasks.findings import Findings

LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}


class Regression:
    """Squared, absolute or Huber loss on values (B, K)."""

    target: str = "value"
    watch: str = "loss"
    mode: str = "min"

    def __init__(
        self, spec: DataSpec, *, loss: Literal["mse", "l1", "huber"] = "mse", huber_delta: PositiveFloat = 1.0
    ):
        self.criterion, self.options = LOSSES[loss], {"delta": huber_delta} if loss == "huber" else {}
        self.spec = spec

    def loss(self, output: Tensor, batch: Any) -> Tensor:
        """The mean over all values of the batch, in float32. **Raises:** `ValueError` for unequal shapes."""
        if output.shape != batch.target.shape:
            # torch would broadcast (B,) against (B, 1) to (B, B), and train on nonsense.
            raise ValueError(f"the model gives {tuple(output.shape)}, the target is {tuple(batch.target.shape)}")
        return self.criterion(output.float(), batch.target, **self.options)

    def predict(self, output: Tensor) -> Tensor:
        """The values (B, K)."""
        return output.float()

    def measure(self, output: Tensor, batch: Any) -> dict[str, Tensor]:
        """Sums of squared and absolute errors, a mean over the K values each."""
        error = output.detach().float() - batch.target
        return {"squared": error.square().mean(dim=1).sum(), "absolute": error.abs().mean(dim=1).sum()}

    def summarize(self, sums: dict[str, float], examples: int) -> dict[str, float]:
        """Root mean squared error and mean absolute error, in units of the target."""
        return {"rmse": (sums["squared"] / examples) ** 0.5, "mae": sums["absolute"] / examples}

    def report(self, output: Tensor, target: Tensor) -> dict[str, float]:
        """MSE, RMSE, MAE and R2 by scikit-learn, in float64; R2 needs two examples."""
        from sklearn import metrics

        guess, true = output.double().numpy(), target.double().numpy()
        mse = float(metrics.mean_squared_error(true, guess))
        found = {"mse": mse, "rmse": mse**0.5, "mae": float(metrics.mean_absolute_error(true, guess))}
        return found | ({"r2": float(metrics.r2_score(true, guess))} if len(true) > 1 else {})

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Figures by name: predicted against true values, residuals, and the curve where there is one feature."""
        from dlrun.plots import regression as figures

        name = self.spec.target_name or "value"
        guess, true = findings.outputs[:, 0].numpy(), findings.target[:, 0].numpy()
        found = {
            "predicted_against_true": figures.predicted_against_true(true, guess, name),
            "residuals": figures.residuals(true, guess, name),
        }
        if self.spec.in_features == 1:
            grid = findings.grid()
            feature = (self.spec.feature_names or ("x",))[0]
            line = findings.forward(grid)[:, 0].numpy()
            points = torch.cat([findings.part.read(i)[0].reshape(1) for i in range(len(true))]).numpy()
            found["fit"] = figures.fitted_curve(points, true, grid[:, 0].numpy(), line, feature, name)
        return found
