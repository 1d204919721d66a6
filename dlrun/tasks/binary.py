"""Yes or no: one logit, binary cross-entropy (notes, chapters 5 to 7)."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch, Findings, Metric, Part, Task
from dlrun.engine.metrics import Gathered, Sums
from dlrun.tasks.multiclass import confusion

SURE = 0.98  # a probability at which the curve is seen to flatten
MOST_BEYOND = 4.0  # ranges of the data that a curve goes on for on each side


class Binary(Task):
    """Binary cross-entropy on logits (B, 1) against 0 or 1 (B,), or what lies between them."""

    learns: str = "binary"
    is_default: bool = True
    watch: str = "accuracy"
    mode: str = "max"

    def __init__(self, spec: DataSpec):
        super().__init__(spec)
        self.class_names = spec.class_names or ("0", "1")

    def begin(self, model: nn.Module, train: Part) -> list[str]:
        """Which class precision, recall and probabilities are about."""
        return [f"classes {self.class_names[0]}, and as the positive one {self.class_names[1]}"]

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The mean binary cross-entropy; the sigmoid is part of it, so that no logit overflows."""
        return {"loss": F.binary_cross_entropy_with_logits(output.float().squeeze(1), batch.target.float())}

    def metrics(self) -> list[Metric]:
        return [Accuracy(), Scores()]

    def predict(self, output: Tensor) -> Tensor:
        """Probabilities (B, 2) of class 0 and class 1."""
        positive = output.float().squeeze(1).sigmoid()
        return torch.stack([1 - positive, positive], dim=1)

    def answers(self, output: Tensor) -> dict[str, list[str]]:
        """Both classes, the likelier first, each with its probability."""
        values, classes = self.predict(output).sort(dim=1, descending=True, stable=True)
        first, second = (
            [f"{self.class_names[k]} {value:.1%}" for k, value in zip(ks, column, strict=True)]
            for ks, column in zip(classes.T.tolist(), values.T.tolist(), strict=True)
        )
        return {"predicted": first, "then": second}

    def values(self, output: Tensor) -> dict[str, list[Any]]:
        """The likelier class, its probability, and that of both."""
        probabilities = self.predict(output)
        guess = (output.squeeze(1) > 0).long()
        each = zip(self.class_names, probabilities.T.tolist(), strict=True)
        highest = probabilities.gather(1, guess[:, None]).squeeze(1)
        found = {"predicted": [self.class_names[k] for k in guess.tolist()], "probability": highest.tolist()}
        return found | {f"probability {name}": column for name, column in each}

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """The true class, the predicted one, and the probability of class 1."""
        columns = {"true": target, "predicted": (output.squeeze(1) > 0).long()}
        named = {key: [self.class_names[k] for k in classes.tolist()] for key, classes in columns.items()}
        return {**named, "probability": self.predict(output)[:, 1].tolist()}

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Confusion, ROC and precision-recall curves; probability or regions for one or two features."""
        from dlrun.plots import binary as figures
        from dlrun.plots import classes

        true, score = findings.target, findings.outputs.squeeze(1)
        matrix = confusion((score > 0).long(), true, 2).numpy()
        found = {"confusion_matrix": classes.confusion_matrix(matrix, self.class_names)}
        if len(set(true.tolist())) == 2:
            # By the logit, as the table's area: of large ones the sigmoid is 1 and their order lost.
            found["roc"] = figures.roc_curve(true.numpy(), score.numpy())
            found["precision_recall"] = figures.precision_recall_curve(true.numpy(), score.numpy())
        names = self.spec.feature_names or tuple(f"x{k}" for k in range(self.spec.in_features or 0))
        if self.spec.kind == "features" and self.spec.in_features in (1, 2):
            is_curve = self.spec.in_features == 1
            points, grid = findings.features().numpy(), _wide(findings) if is_curve else findings.grid()
            on_grid = findings.forward(grid).float().squeeze(1).sigmoid().numpy()
            draw = figures.probability_curve if is_curve else figures.decision_regions
            found[draw.__name__] = draw(points, true.numpy(), grid.numpy(), on_grid, names, self.class_names[1])
        return found


def _wide(findings: Findings) -> Tensor:
    """A grid (M, 1) over one feature, so far beyond the data that the curve is seen to flatten.

    Each side ends where the model is sure of a class, or at `MOST_BEYOND`; of values with one sign it stays on their
    side of zero.
    """
    tight, features = findings.grid(), findings.features()
    wide = findings.grid(points=1000, beyond=MOST_BEYOND)
    if features.min() >= 0:
        tight, wide = tight.clamp(min=0), wide.clamp(min=0)
    if features.max() <= 0:
        tight, wide = tight.clamp(max=0), wide.clamp(max=0)
    is_sure = (findings.forward(wide).float().sigmoid() - 0.5).abs() > SURE - 0.5
    below, above = wide[is_sure & (wide < tight.min())], wide[is_sure & (wide > tight.max())]
    low, high = (below.max() if len(below) else wide.min()), (above.min() if len(above) else wide.max())
    return torch.linspace(low.item(), high.item(), len(tight))[:, None]


class Accuracy(Sums):
    """The share of correct predictions at probability 0.5; of a soft target, the share of the predicted class."""

    better: ClassVar[Mapping[str, str]] = {"accuracy": "max"}

    def sums(self, output: Tensor, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        is_positive = output.detach().squeeze(1) > 0
        if batch.target.is_floating_point():
            return {"correct": torch.where(is_positive, batch.target, 1 - batch.target).sum()}
        return {"correct": (is_positive == batch.target.bool()).sum()}

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        return {"accuracy": totals["correct"] / examples}


class Scores(Gathered):
    """Precision, recall, F1 of class 1, and the ROC's area, by scikit-learn.

    They are undefined (nan) where there is nothing to take a share of: precision if nothing was called positive, recall
    if nothing is, F1 if neither, the area if there is one class alone.
    """

    better: ClassVar[Mapping[str, str]] = {"precision": "max", "recall": "max", "f1": "max", "roc_auc": "max"}
    each_epoch: ClassVar[bool] = False

    def value(self, output: Tensor, target: Tensor) -> dict[str, float]:
        from sklearn import metrics

        true, score = target.numpy(), output.squeeze(1).numpy()
        guess = score > 0
        undefined: Any = {"zero_division": math.nan}
        found = {
            "precision": metrics.precision_score(true, guess, **undefined),
            "recall": metrics.recall_score(true, guess, **undefined),
            "f1": metrics.f1_score(true, guess, **undefined),
            "roc_auc": metrics.roc_auc_score(true, score) if len(set(true.tolist())) == 2 else math.nan,
        }
        return {name: float(value) for name, value in found.items()}
