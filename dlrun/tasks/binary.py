"""Yes or no: one logit, binary cross-entropy (notes, chapters 5 to 7)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.data.spec import DataSpec
from dlrun.tasks.findings import Findings


class Binary:
    """Binary cross-entropy on logits (B, 1) against 0 or 1 (B,)."""

    target: str = "binary"
    watch: str = "accuracy"
    mode: str = "max"

    def __init__(self, spec: DataSpec):
        self.spec = spec
        self.class_names = spec.class_names or ("0", "1")

    def loss(self, output: Tensor, batch: Any) -> Tensor:
        """The mean binary cross-entropy; the sigmoid is part of it, so that no logit overflows."""
        return F.binary_cross_entropy_with_logits(output.float().squeeze(1), batch.target.float())

    def predict(self, output: Tensor) -> Tensor:
        """Probabilities (B, 2) of class 0 and class 1."""
        positive = output.float().squeeze(1).sigmoid()
        return torch.stack([1 - positive, positive], dim=1)

    def measure(self, output: Tensor, batch: Any) -> dict[str, Tensor]:
        """The number of correct predictions at probability 0.5."""
        return {"correct": ((output.detach().squeeze(1) > 0) == batch.target.bool()).sum()}

    def summarize(self, sums: dict[str, float], examples: int) -> dict[str, float]:
        """Accuracy, a fraction."""
        return {"accuracy": sums["correct"] / examples}

    def report(self, output: Tensor, target: Tensor) -> dict[str, float]:
        """Precision, recall, F1 of class 1, and the ROC's area where both classes occur, by scikit-learn."""
        from sklearn import metrics

        true, score = target.numpy(), output.float().squeeze(1).numpy()
        guess = score > 0
        of_none: Any = {"zero_division": 0}  # where nothing was called positive
        found = {
            "precision": metrics.precision_score(true, guess, **of_none),
            "recall": metrics.recall_score(true, guess, **of_none),
            "f1": metrics.f1_score(true, guess, **of_none),
        }
        if len(set(true.tolist())) == 2:
            found["roc_auc"] = metrics.roc_auc_score(true, score)
        return {name: float(value) for name, value in found.items()}

    def predictions(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """The columns of predictions.csv: the true class, the predicted one, and the probability of class 1."""
        positive = self.predict(output)[:, 1]
        named = {"true": target, "predicted": (output.squeeze(1) > 0).long()}
        columns: dict[str, list[Any]] = {
            key: [self.class_names[k] for k in each.tolist()] for key, each in named.items()
        }
        return columns | {"probability": positive.tolist()}

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Figures by name: confusion, ROC and precision-recall curves; curve or regions for one or two features."""
        from dlrun.plots import binary as figures
        from dlrun.plots import classes

        true, score = findings.target, findings.outputs.float().squeeze(1)
        guess = (score > 0).long()
        matrix = torch.bincount(true * 2 + guess, minlength=4).reshape(2, 2).numpy()
        found = {"confusion_matrix": classes.confusion_matrix(matrix, self.class_names)}
        probability = score.sigmoid().numpy()
        if len(set(true.tolist())) == 2:
            found["roc"] = figures.roc_curve(true.numpy(), probability)
            found["precision_recall"] = figures.precision_recall_curve(true.numpy(), probability)
        names = self.spec.feature_names or tuple(f"x{k}" for k in range(self.spec.in_features or 0))
        if self.spec.kind == "features" and self.spec.in_features in (1, 2):
            points = torch.stack([findings.part.read(i)[0].flatten() for i in range(len(true))])
            grid = findings.grid()
            on_grid = findings.forward(grid).float().squeeze(1).sigmoid().numpy()
            draw = figures.probability_curve if self.spec.in_features == 1 else figures.decision_regions
            found[draw.__name__] = draw(points.numpy(), true.numpy(), grid.numpy(), on_grid, names, self.class_names[1])
        return found
