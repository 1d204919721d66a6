"""What a task draws its pictures from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.data.parts import Part


@dataclass(frozen=True)
class Findings:
    """The evaluated part and the model behind it.

    **Fields:**

    - `outputs` (N, ...), `target` (N, ...): of the whole part, on the CPU.
    - `part`: the raw samples.
    - `forward`: from raw inputs (M, ...) to the model's outputs (M, ...), on the CPU.
    - `model`: on its device, not training; `batches`: what it gets of the part, batch after batch.
    """

    outputs: Tensor
    target: Tensor
    part: Part
    forward: Callable[[Tensor], Tensor]
    model: nn.Module = field(default_factory=nn.Identity)
    batches: Callable[[], Iterable[Any]] = tuple

    @property
    def is_image(self) -> bool:
        """Whether the raw samples can be shown as pictures."""
        raw = self.part.read(0)[0]
        return raw.dtype == torch.uint8 and raw.ndim == 3

    def grid(self, points: int = 200) -> Tensor:
        """Raw feature values that cover the part and a tenth more on each side.

        (points, 1) for one feature, (points², 2) for two, the second turning fastest.
        """
        features = torch.stack([self.part.read(i)[0].flatten() for i in range(len(self.part))])
        low, high = features.min(dim=0).values, features.max(dim=0).values
        margin = (high - low).clamp(min=1e-6) * 0.1
        axes = [
            torch.linspace(a, b, points) for a, b in zip((low - margin).tolist(), (high + margin).tolist(), strict=True)
        ]
        return torch.cartesian_prod(*axes).reshape(-1, len(axes))
