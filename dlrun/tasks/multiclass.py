"""One class of many: softmax and cross-entropy (notes, chapter 8)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.config.schema import ProperFraction
from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch, Findings, Metric, Task
from dlrun.engine.metrics import Sums

SHOWN_CLASSES = 3  # of an answer
SHOWN_IMAGES = 25


class Multiclass(Task):
    """Cross-entropy on logits (B, K) against class indices (B,), or against shares (B, K) of the classes."""

    learns: str = "class"
    is_default: bool = True
    watch: str = "accuracy"
    mode: str = "max"

    def __init__(self, spec: DataSpec, *, label_smoothing: ProperFraction = 0.0):
        super().__init__(spec)
        self.label_smoothing = label_smoothing
        self.class_names = spec.class_names or tuple(str(k) for k in range(spec.out_features or 0))

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The mean cross-entropy in float32, whatever format the logits came in."""
        return {"loss": F.cross_entropy(output.float(), batch.target, label_smoothing=self.label_smoothing)}

    def metrics(self) -> list[Metric]:
        return [Accuracy(), MacroAverages(len(self.class_names))]

    def predict(self, output: Tensor) -> Tensor:
        """Probabilities (B, K)."""
        return output.float().softmax(dim=1)

    def answers(self, output: Tensor) -> dict[str, list[str]]:
        """The likeliest classes, each with its probability."""
        values, classes = self.predict(output).topk(min(SHOWN_CLASSES, output.shape[1]))
        columns = zip(values.T.tolist(), classes.T.tolist(), strict=True)
        texts = [[f"{self.class_names[k]} {value:.1%}" for value, k in zip(*column, strict=True)] for column in columns]
        return dict(zip(("predicted", "then", "and then"), texts, strict=False))

    def values(self, output: Tensor) -> dict[str, list[Any]]:
        """The likeliest class, its probability, and that of each class."""
        probabilities = self.predict(output)
        highest, guess = probabilities.max(dim=1)
        each = zip(self.class_names, probabilities.T.tolist(), strict=True)
        found = self._named({"predicted": guess}) | {"probability": highest.tolist()}
        return found | {f"probability {name}": column for name, column in each}

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """The true class, the predicted one and its probability."""
        probability, guess = self.predict(output).max(dim=1)
        return self._named({"true": target, "predicted": guess}) | {"probability": probability.tolist()}

    def _named(self, columns: Mapping[str, Tensor]) -> dict[str, list[Any]]:
        return {key: [self.class_names[k] for k in classes.tolist()] for key, classes in columns.items()}

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Confusion matrix, accuracy of each class, and a grid where the inputs are images."""
        from dlrun.plots import classes, images

        output, target = findings.outputs, findings.target
        matrix = confusion(output.argmax(dim=1), target, len(self.class_names)).numpy()
        figures = {
            "confusion_matrix": classes.confusion_matrix(matrix, self.class_names),
            "per_class_accuracy": classes.per_class_accuracy(matrix, self.class_names),
        }
        if findings.is_image:
            shown = torch.linspace(0, len(target) - 1, min(SHOWN_IMAGES, len(target))).long()
            probability, guess = self.predict(output[shown]).max(dim=1)
            named = self._named({"true": target[shown], "predicted": guess})
            pixels = findings.raw(shown).float() / 255
            figures["predictions"] = images.predictions_grid(
                pixels, named["true"], named["predicted"], probability.tolist()
            )
        return figures


class OneVsRest(Multiclass):
    """K classes as K binary problems: a sigmoid and binary cross-entropy for each (notes, chapter 8).

    The probabilities of an example need not sum to 1; the largest wins.
    """

    def __init__(self, spec: DataSpec):
        super().__init__(spec)

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The binary cross-entropy, summed over the classes, its mean over the batch."""
        shares = batch.target
        if not shares.is_floating_point():
            shares = F.one_hot(shares, output.shape[1]).float()
        total = F.binary_cross_entropy_with_logits(output.float(), shares, reduction="sum")
        return {"loss": total / len(output)}

    def predict(self, output: Tensor) -> Tensor:
        """One probability a class (B, K), each by itself."""
        return output.float().sigmoid()


class Accuracy(Sums):
    """The share of examples whose largest output is their class; of a soft target, the share of that class."""

    better: ClassVar[Mapping[str, str]] = {"accuracy": "max"}

    def sums(self, output: Tensor, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        guess = output.detach().argmax(dim=1)
        if batch.target.is_floating_point():
            return {"correct": batch.target.gather(1, guess[:, None]).sum()}
        return {"correct": (guess == batch.target).sum()}

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        return {"accuracy": totals["correct"] / examples}


class MacroAverages(Sums):
    """Precision, recall and F1 score, each the plain mean over the `num_classes` classes that occur.

    A class that was never predicted has precision 0, as in scikit-learn's macro average.
    """

    better: ClassVar[Mapping[str, str]] = {"precision_macro": "max", "recall_macro": "max", "f1_macro": "max"}
    each_epoch: ClassVar[bool] = False
    in_training: ClassVar[bool] = False

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes

    def sums(self, output: Tensor, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"confusion": confusion(output.argmax(dim=1), batch.target, self.num_classes)}

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        matrix = totals["confusion"].double()
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


def confusion(guess: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Counts (K, K) of classes (N,): row the true class, column the predicted one."""
    # torch's bincount asks the device for the largest number.
    counts = torch.zeros(num_classes**2, dtype=torch.int64, device=guess.device)
    pairs = target * num_classes + guess
    return counts.index_add_(0, pairs, torch.ones_like(pairs)).view(num_classes, num_classes)
