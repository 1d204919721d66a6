"""An answer at every step of a sequence: a class a step, and the next character of a text."""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.data.spec import NOT_COUNTED, DataSpec
from dlrun.tasks import generation
from dlrun.tasks.findings import Findings

SAMPLE_LENGTH = 200  # characters
PROMPT_LENGTH = 20


class StepClass:
    """Cross-entropy on logits (B, T, K) against class indices (B, T), where -100 is not counted.

    `reduction` takes the mean over the counted steps, or sums them and takes the mean over the sequences
    (notes, RNNCell: the loss is added up in the loop over the steps).
    """

    target: str = "step_class"
    watch: str = "accuracy"
    mode: str = "max"

    def __init__(self, spec: DataSpec, *, reduction: Literal["mean", "sum"] = "mean"):
        self.spec, self.reduction = spec, reduction
        self.class_names = spec.class_names or tuple(str(k) for k in range(spec.out_features or 0))

    def loss(self, output: Tensor, batch: Any) -> Tensor:
        """The mean over steps, or over sequences the sum of their steps, in float32."""
        total = F.cross_entropy(
            output.float().flatten(0, 1), batch.target.flatten(), ignore_index=NOT_COUNTED, reduction="sum"
        )
        return total / (len(output) if self.reduction == "sum" else (batch.target != NOT_COUNTED).sum())

    def predict(self, output: Tensor) -> Tensor:
        """Probabilities (B, T, K)."""
        return output.float().softmax(dim=2)

    def measure(self, output: Tensor, batch: Any) -> dict[str, Tensor]:
        """The number of counted steps, of those that are right, and of sequences that are right throughout."""
        counted = batch.target != NOT_COUNTED
        right = (output.detach().argmax(dim=2) == batch.target) & counted
        exact = (right | ~counted).all(dim=1)
        return {"steps": counted.sum(), "right": right.sum(), "exact": exact.sum()}

    def summarize(self, sums: dict[str, float], examples: int) -> dict[str, float]:
        """The share of right steps and of sequences that are right throughout."""
        return {"accuracy": sums["right"] / sums["steps"], "sequence_accuracy": sums["exact"] / examples}

    def report(self, output: Tensor, target: Tensor) -> dict[str, float]:
        """Nothing beyond the running metrics."""
        return {}

    def sample(self, model: nn.Module, loader: Any) -> str:
        """What `model` makes of the first example of `loader`, beside what is right."""
        guess, true = model(*loader.example())[0].argmax(dim=1).cpu(), loader.part.target[0].cpu()
        return f"{self._text(guess, true)} (right: {self._text(true, true)})"

    def predictions(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """The columns of predictions.csv: the counted steps of each sequence, written side by side."""
        guess = output.argmax(dim=2)
        return {
            "true": [self._text(each, each) for each in target],
            "predicted": [self._text(each, true) for each, true in zip(guess, target, strict=True)],
        }

    def _text(self, classes: Tensor, true: Tensor) -> str:
        names = [self.class_names[k] for k in classes[true != NOT_COUNTED].tolist()]
        return ("" if all(len(name) == 1 for name in self.class_names) else " ").join(names)

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Figures by name: the share of right answers at each step, and the confusion matrix of all steps."""
        from dlrun.plots import classes, sequences

        guess, true = findings.outputs.argmax(dim=2), findings.target
        counted = true != NOT_COUNTED
        num_classes = len(self.class_names)
        pairs = true[counted] * num_classes + guess[counted]
        matrix = torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes).numpy()
        share = ((guess == true) & counted).sum(dim=0) / counted.sum(dim=0)
        return {
            "step_accuracy": sequences.step_accuracy(share.numpy()),
            "confusion_matrix": classes.confusion_matrix(matrix, self.class_names),
        }


class NextToken(StepClass):
    """The next character of a text: cross-entropy on logits (B, T, V) against tokens (B, T)."""

    target: str = "next_token"
    watch: str = "loss"
    mode: str = "min"

    def __init__(self, spec: DataSpec):
        super().__init__(spec)
        self.class_names = spec.vocabulary or self.class_names

    def summarize(self, sums: dict[str, float], examples: int) -> dict[str, float]:
        """Perplexity, bits per character, and the share of characters that were the likeliest."""
        loss = sums["loss"] / examples
        return {
            "perplexity": math.exp(min(loss, 700.0)),
            "bits_per_character": loss / math.log(2),
            "accuracy": sums["right"] / sums["steps"],
        }

    def sample(self, model: nn.Module, loader: Any) -> str:
        """A text that `model` goes on with after the first characters of `loader`'s part."""
        prompt = loader.part.read(0)[0][:PROMPT_LENGTH].long()
        return generation.continue_text(model, self.class_names, prompt.to(loader.device), SAMPLE_LENGTH)

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """The figure by its name: the share of right answers at each step, which grows with what was read."""
        return {"step_accuracy": super().pictures(findings)["step_accuracy"]}
