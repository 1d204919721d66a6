"""What a task draws its pictures from."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlrun.engine.contracts import Part
from dlrun.engine.loading import Loader
from dlrun.engine.nested import Nested


@dataclass(frozen=True)
class Findings:
    """The evaluated part and the model behind it.

    **Fields:**

    - `outputs`, `target`: of the whole part, an entry an example, on the CPU.
    - `part`: the raw examples, in the same order.
    - `forward`: from raw inputs (M, ...) to the model's outputs (M, ...), on the CPU.
    - `model`: on its device, not training; `loader`: what it got of the part, batch after batch.
    """

    outputs: Nested
    target: Nested
    part: Part
    forward: Callable[[Tensor], Tensor]
    model: nn.Module
    loader: Loader

    def raw(self, index: Tensor) -> Tensor:
        """The first raw input (M, ...) of the examples `index` (M,), on the CPU."""
        return self.part.take(index).inputs[0].cpu()

    @property
    def is_image(self) -> bool:
        """Whether the raw examples can be shown as pictures."""
        raw = self.raw(torch.zeros(1, dtype=torch.int64))
        return raw.dtype == torch.uint8 and raw.ndim == 4

    def features(self) -> Tensor:
        """The raw features (N, F) of all examples."""
        return self.raw(torch.arange(len(self.part))).flatten(1)

    def grid(self, points: int = 200) -> Tensor:
        """Raw feature values that cover the part and a tenth more on each side.

        (points, 1) for one feature, (points², 2) for two, the second turning fastest.
        """
        features = self.features()
        low, high = features.min(dim=0).values, features.max(dim=0).values
        margin = (high - low).clamp(min=1e-6) * 0.1
        axes = [
            torch.linspace(a, b, points) for a, b in zip((low - margin).tolist(), (high + margin).tolist(), strict=True)
        ]
        return torch.cartesian_prod(*axes).reshape(-1, len(axes))
