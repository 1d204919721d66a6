"""An image to be hit, pixel by pixel (notes, computer vision: edges)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.engine.contracts import Batch, Findings, Metric
from dlrun.engine.metrics import Sums
from dlrun.tasks.regression import Regression


class ImageRegression(Regression):
    """Squared, absolute or Huber loss on images (B, C', H', W'), each pixel counted the same.

    Where the data say under which kernel an image is the target, the kernel that a model of one convolution has found
    is set beside it.
    """

    learns: str = "image"
    needs: str = "image"
    is_default: bool = True

    def check(self, output: Tensor, batch: Batch) -> None:
        """**Raises:** `ValueError` with both shapes, and what decides on them, if they differ."""
        try:
            super().check(output, batch)
        except ValueError as error:
            rule = "a convolution leaves floor((n + 2 padding - kernel_size) / stride) + 1 of n pixels"
            raise ValueError(f"{error}; {rule}: change padding or stride, here or of the data") from None

    def metrics(self) -> list[Metric]:
        return [PixelErrors(self)]

    def values(self, output: Tensor) -> dict[str, list[Any]]:
        raise ValueError("this run answers with images, and a table has none; plots/answers.png shows some")

    def examine(self, model: nn.Module) -> dict[str, float]:
        """The cosine between the model's kernel and the one behind the target, the least of all channels."""
        found = self._kernels(model)
        return {} if found is None else {"kernel_cosine": F.cosine_similarity(*found, dim=1).min().item()}

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """The errors of each image."""
        error = (self.predict(output) - target).flatten(1)
        return {"mse": error.square().mean(dim=1).tolist(), "mae": error.abs().mean(dim=1).tolist()}

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Input, target and answer of some examples, and both kernels with what they make of one."""
        from dlrun.plots import filters

        name, output = self.spec.target_name or "image", self.predict(findings.outputs)
        if not findings.is_image:
            return {}
        shown = findings.target.flatten(1).std(dim=1).argsort(descending=True)[:4]  # where there is most to see
        images = findings.raw(shown).float() / 255
        figures = {"answers": filters.answers(images, findings.target[shown], output[shown], name)}
        kernels = self._kernels(findings.model)
        if kernels is not None:
            ours, wanted = (flat[0].reshape(int(flat.shape[1] ** 0.5), -1).cpu() for flat in kernels)
            is_learned = any(parameter.requires_grad for parameter in findings.model.parameters())
            cosine = self.examine(findings.model)["kernel_cosine"]
            title = f"{'learned' if is_learned else 'the model'}: cosine {cosine:.4f} with {name}"
            first = int(shown[0])
            rows = [(f"fixed: {name}", wanted, findings.target[first]), (title, ours, output[first])]
            figures["edges"] = filters.edges(images[0], rows)
        return figures

    def _kernels(self, model: nn.Module) -> tuple[Tensor, Tensor] | None:
        """(The model's kernels (C, f * f), the wanted one as often), None if the model is not one convolution.

        A smaller wanted kernel gets a rim of zeros.
        """
        learned = [module for module in model.modules() if next(module.parameters(recurse=False), None) is not None]
        if self.spec.target_kernel is None or len(learned) != 1 or not isinstance(learned[0], nn.Conv2d):
            return None
        wanted = torch.tensor(self.spec.target_kernel, dtype=torch.float32)
        weight = learned[0].weight.detach().float()  # (C', C / groups, f, f)
        rim = [(size - len(wanted)) / 2 for size in weight.shape[2:]]
        if weight.shape[1] != 1 or rim[0] != rim[1] or rim[0] < 0 or rim[0] % 1:
            return None
        wanted = F.pad(wanted, [int(rim[0])] * 4).to(weight.device).flatten()
        return weight.flatten(1), wanted.expand(len(weight), -1)


class PixelErrors(Sums):
    """Mean squared and mean absolute error of a pixel."""

    better: ClassVar[Mapping[str, str]] = {"mse": "min", "mae": "min"}

    def __init__(self, task: ImageRegression):
        super().__init__()
        self.task = task

    def sums(self, output: Tensor, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        error = self.task.predict(output.detach()) - batch.target
        pixels = error[0].numel()
        return {"squared": error.square().sum() / pixels, "absolute": error.abs().sum() / pixels}

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        return {"mse": totals["squared"] / examples, "mae": totals["absolute"] / examples}
