"""An answer at every step of a sequence: a class a step, and the next character of a text."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.spec import NOT_COUNTED, DataSpec
from dlrun.engine.contracts import Batch, Findings, Loader, Metric, Task
from dlrun.engine.metrics import Sums
from dlrun.tasks import generation
from dlrun.tasks.multiclass import confusion

SAMPLE_LENGTH = 200  # characters
PROMPT_LENGTH = 20


class StepClass(Task):
    """Cross-entropy on logits (B, T, K) against class indices (B, T), where -100 is not counted.

    `reduction` takes the mean over the counted steps, or sums them and takes the mean over the sequences
    (notes, RNNCell: the loss is added up in the loop over the steps).
    """

    learns: str = "step_class"
    is_default: bool = True
    watch: str = "accuracy"
    mode: str = "max"

    def __init__(self, spec: DataSpec, *, reduction: Literal["mean", "sum"] = "mean"):
        super().__init__(spec)
        self.reduction = reduction
        self.class_names = spec.class_names or tuple(str(k) for k in range(spec.out_features or 0))

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The mean over steps, or over sequences the sum of their steps, in float32."""
        total = F.cross_entropy(
            output.float().flatten(0, 1), batch.target.flatten(), ignore_index=NOT_COUNTED, reduction="sum"
        )
        return {"loss": total / (len(output) if self.reduction == "sum" else (batch.target != NOT_COUNTED).sum())}

    def metrics(self) -> list[Metric]:
        return [StepAccuracy()]

    def predict(self, output: Tensor) -> Tensor:
        """Probabilities (B, T, K)."""
        return output.float().softmax(dim=2)

    def answers(self, output: Tensor) -> dict[str, list[str]]:
        """The likeliest class of each step, side by side."""
        guess = output.argmax(dim=2).cpu()
        return {"predicted": [self._text(each, each) for each in guess]}

    def sample(self, model: nn.Module, loader: Loader) -> str:
        """What `model` makes of the first example of `loader`, beside what is right."""
        batch = loader.example()
        guess, true = self.forward(model, batch)[0].argmax(dim=1).cpu(), batch.target[0].cpu()
        return f"{self._text(guess, true)} (right: {self._text(true, true)})"

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """The counted steps of each sequence, written side by side."""
        guess = output.argmax(dim=2)
        return {
            "true": [self._text(each, each) for each in target],
            "predicted": [self._text(each, true) for each, true in zip(guess, target, strict=True)],
        }

    def _text(self, classes: Tensor, true: Tensor) -> str:
        names = [self.class_names[k] for k in classes[true != NOT_COUNTED].tolist()]
        return ("" if all(len(name) == 1 for name in self.class_names) else " ").join(names)

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """The share of right answers at each step, and the confusion matrix of all steps."""
        from dlrun.plots import classes, sequences

        guess, true = findings.outputs.argmax(dim=2), findings.target
        counted = true != NOT_COUNTED
        matrix = confusion(guess[counted], true[counted], len(self.class_names)).numpy()
        share = ((guess == true) & counted).sum(dim=0) / counted.sum(dim=0)
        return {
            "step_accuracy": sequences.step_accuracy(share.numpy()),
            "confusion_matrix": classes.confusion_matrix(matrix, self.class_names),
        }


class NextToken(StepClass):
    """The next character of a text: cross-entropy on logits (B, T, V) against tokens (B, T)."""

    learns: str = "next_token"
    is_default: bool = True
    watch: str = "loss"
    mode: str = "min"

    def __init__(self, spec: DataSpec):
        super().__init__(spec)
        self.class_names = spec.vocabulary or self.class_names

    def metrics(self) -> list[Metric]:
        return [Perplexity()]

    def sample(self, model: nn.Module, loader: Loader) -> str:
        """A text that `model` goes on with after the first characters of `loader`'s part."""
        prompt = loader.example().inputs[0][0, :PROMPT_LENGTH]
        return generation.continue_text(model, self.class_names, prompt, SAMPLE_LENGTH)

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """The share of right answers at each step, which grows with what was read."""
        return {"step_accuracy": super().pictures(findings)["step_accuracy"]}


class StepAccuracy(Sums):
    """The share of right steps and of sequences that are right throughout."""

    better: ClassVar[Mapping[str, str]] = {"accuracy": "max", "sequence_accuracy": "max"}

    def sums(self, output: Tensor, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        counted = batch.target != NOT_COUNTED
        right = (output.detach().argmax(dim=2) == batch.target) & counted
        exact = (right | ~counted).all(dim=1)
        return {"steps": counted.sum(), "right": right.sum(), "exact": exact.sum()}

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        return {"accuracy": totals["right"] / totals["steps"], "sequence_accuracy": totals["exact"] / examples}


class Perplexity(StepAccuracy):
    """Perplexity, bits per character, and the share of characters that were the likeliest."""

    better: ClassVar[Mapping[str, str]] = {"perplexity": "min", "bits_per_character": "min", "accuracy": "max"}

    def sums(self, output: Tensor, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return super().sums(output, batch, losses) | {"loss": losses["loss"].detach() * len(batch)}

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        loss = totals["loss"] / examples
        return {
            "perplexity": math.exp(min(loss, 700.0)),
            "bits_per_character": loss / math.log(2),
            "accuracy": totals["right"] / totals["steps"],
        }
