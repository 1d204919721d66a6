"""One class of many: softmax and cross-entropy (notes, chapter 8)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.data.spec import DataSpec
from dlrun.schema import ProperFraction
from dlrun.tasks.findings import Findings


class Multiclass:
    """Cross-entropy on logits (B, K) against class indices (B,), or against shares of two classes."""

    target: str = "class"
    watch: str = "accuracy"
    mode: str = "max"
    takes_mixed: bool = True

    def __init__(self, spec: DataSpec, *, label_smoothing: ProperFraction = 0.0):
        self.label_smoothing = label_smoothing
        self.class_names = spec.class_names or tuple(str(k) for k in range(spec.out_features or 0))

    def loss(self, output: Tensor, batch: Any) -> Tensor:
        """The mean cross-entropy in float32, whatever format the logits came in."""
        target = batch.target if batch.share is None else _shares(batch, output.shape[1])
        return F.cross_entropy(output.float(), target, label_smoothing=self.label_smoothing)

    def predict(self, output: Tensor) -> Tensor:
        """Probabilities (B, K)."""
        return output.float().softmax(dim=1)

    def measure(self, output: Tensor, batch: Any) -> dict[str, Tensor]:
        """The number of correct predictions; of a mixed sample, the share of the class that was predicted."""
        guess = output.detach().argmax(dim=1)
        if batch.share is None:
            return {"correct": (guess == batch.target).sum()}
        return {"correct": _shares(batch, output.shape[1]).gather(1, guess[:, None]).sum()}

    def summarize(self, sums: dict[str, float], examples: int) -> dict[str, float]:
        """Accuracy, a fraction."""
        return {"accuracy": sums["correct"] / examples}

    def confusion(self, output: Tensor, target: Tensor) -> Tensor:
        """Counts (K, K): row the true class, column the predicted one."""
        classes = len(self.class_names)
        return torch.bincount(target * classes + output.argmax(dim=1), minlength=classes**2).reshape(classes, classes)

    def report(self, output: Tensor, target: Tensor) -> dict[str, float]:
        """Precision, recall and F1 score, each the plain mean over the classes that occur.

        A class that was never predicted has precision 0, as in scikit-learn's macro average.
        """
        matrix = self.confusion(output, target).double()
        hits, true, predicted = matrix.diagonal(), matrix.sum(dim=1), matrix.sum(dim=0)
        occurs = (true + predicted) > 0
        precision = (hits / predicted.clamp(min=1))[occurs]
        recall = (hits / true.clamp(min=1))[occurs]
        f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-300)
        return {
            "precision_macro": precision.mean().item(),
            "recall_macro": recall.mean().item(),
            "f1_macro": f1.mean().item(),
        }

    def predictions(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """The columns of predictions.csv: the true class, the predicted one and its probability."""
        probability, guess = self.predict(output).max(dim=1)
        named = {"true": target, "predicted": guess}
        columns: dict[str, list[Any]] = {
            key: [self.class_names[k] for k in each.tolist()] for key, each in named.items()
        }
        return columns | {"probability": probability.tolist()}

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Figures by name: confusion matrix, accuracy of each class, and a grid where the inputs are images."""
        from dlrun.plots import classes, images

        output, target = findings.outputs, findings.target
        matrix = self.confusion(output, target)
        figures = {
            "confusion_matrix": classes.confusion_matrix(matrix.numpy(), self.class_names),
            "per_class_accuracy": classes.per_class_accuracy(matrix.numpy(), self.class_names),
        }
        if findings.is_image:
            shown = torch.linspace(0, len(target) - 1, min(25, len(target))).long()
            probability, guess = self.predict(output[shown]).max(dim=1)
            pixels = torch.stack([findings.part.read(int(index))[0] for index in shown]).float() / 255
            figures["predictions"] = images.predictions_grid(
                pixels,
                [self.class_names[k] for k in target[shown].tolist()],
                [self.class_names[k] for k in guess.tolist()],
                probability.tolist(),
            )
        return figures


class OneVsRest(Multiclass):
    """K classes as K binary problems: a sigmoid and binary cross-entropy for each (notes, chapter 8).

    The probabilities of an example need not sum to 1; the largest wins.
    """

    target: str = "class"
    watch: str = "accuracy"
    mode: str = "max"
    takes_mixed: bool = True

    def __init__(self, spec: DataSpec):
        super().__init__(spec)

    def loss(self, output: Tensor, batch: Any) -> Tensor:
        """The binary cross-entropy, summed over the classes, its mean over the batch."""
        shares = _shares(batch, output.shape[1])
        return F.binary_cross_entropy_with_logits(output.float(), shares, reduction="sum") / len(output)

    def predict(self, output: Tensor) -> Tensor:
        """One probability a class (B, K), each by itself."""
        return output.float().sigmoid()


def _shares(batch: Any, num_classes: int) -> Tensor:
    """How much of each sample is of each class (B, K): all, or what a mixture of two has of them."""
    own = F.one_hot(batch.target, num_classes).float()
    if batch.share is None:
        return own
    return torch.lerp(F.one_hot(batch.partner, num_classes).float(), own, batch.share[:, None])
