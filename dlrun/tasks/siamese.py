"""A siamese network: two pictures through one encoder, and a loss on their distance (notes, faces).

Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping", 2006; the logistic unit on the
difference: Taigman et al., "DeepFace", 2014.
"""

from typing import Any, Literal, Protocol, cast

import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveFloat, PositiveInt
from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch
from dlrun.tasks.verification import Taught, Verification, manhattan, pairs


class Unit(Protocol):
    """dlrun/models/parts/embedding.py says what it is."""

    bias: Tensor

    def __call__(self, embedding: Tensor) -> Tensor: ...


class Embedding(Protocol):
    """What the task asks of the model beside its embeddings."""

    @property
    def unit(self) -> Unit | None: ...


class Siamese(Verification):
    """All pairs of a batch: those of the same near, those of different ones at least a margin apart."""

    def __init__(
        self, spec: DataSpec, *, loss: Literal["contrastive", "logistic"] = "contrastive",
        margin: PositiveFloat = 1.0, ways: PositiveInt = 5,
    ):  # fmt: skip
        """**Arguments:**

        - `spec`: what the data offer.
        - `loss`: `contrastive`, or `logistic`: a unit on |difference| says whether two are the same; the model needs
          `pair_unit=true`.
        - `margin`: of the contrastive loss: the distance, not squared, up to which different ones are pushed apart.
        - `ways`: people among whom one is looked for, one picture of each.
        """
        super().__init__(spec, ways)
        self.loss, self.margin = loss, margin
        if loss == "logistic":
            self.distance = manhattan

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        if self.loss == "contrastive":
            return super().forward(model, batch)
        unit = cast(Embedding, model).unit
        if unit is None:
            raise ValueError("has no unit for pairs, which task.loss=logistic learns: set model.pair_unit=true")
        embedding = unit(model(*batch.inputs))
        return Taught(embedding, unit.bias) if model.training else embedding

    def losses(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """`loss`, the mean of `same` and `different`: the means over pairs of the same and of different ones."""
        if not isinstance(output, Taught):
            return {}
        is_same, is_pair = pairs(batch.target)
        distance = self.distance(output.embedding.float(), output.embedding.float())
        if output.bias is not None:
            pulled, pushed = F.softplus(distance - output.bias), F.softplus(output.bias - distance)
        else:
            # The root has no gradient at 0, where two different pictures are one point.
            pulled, pushed = distance, (self.margin - (distance + 1e-12).sqrt()).clamp(min=0).square()
        same = (pulled * is_pair).sum() / is_pair.sum().clamp(min=1)
        different = (pushed * ~is_same).sum() / (~is_same).sum().clamp(min=1)
        return {"loss": (same + different) / 2, "same": same, "different": different}
