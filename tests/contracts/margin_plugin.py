"""Vectors of people: a triplet loss on batches of P x K, and recall@1 over the whole part. Written with nothing but the
public contracts."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.spec import DataSpec
from dlrun.data import DATA
from dlrun.engine.contracts import Batch, DataSet, Metric, Part, Task
from dlrun.engine.metrics import Gathered
from dlrun.engine.parts import TensorPart
from dlrun.models import MODELS
from dlrun.tasks import TASKS


@DATA.register("people")
class People(DataSet):
    """Twelve people, six measurements of each; those of val and test are never seen in training."""

    kind: str = "features"
    target: str = "class"
    source: str = "made"

    @property
    def spec(self) -> DataSpec:
        return DataSpec(kind="features", target="class", in_features=6, out_features=12)

    def load(self) -> dict[str, Part]:
        chance = torch.Generator().manual_seed(0)
        faces = torch.randn(12, 1, 6, generator=chance) + 0.6 * torch.randn(12, 6, 6, generator=chance)
        people = {"train": range(6), "val": range(6, 9), "test": range(9, 12)}
        return {
            name: TensorPart((faces[list(own)].flatten(0, 1),), torch.tensor(own).repeat_interleave(6))
            for name, own in people.items()
        }


@MODELS.register("person_embedder")
class Embedder(nn.Module):
    """Vectors of length 1."""

    accepts: tuple = ("features",)
    answers: tuple = ("embedding",)

    def __init__(self, *, in_features: int, size: int = 4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_features, 16), nn.ReLU(), nn.Linear(16, size))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.layers(x), dim=1)


@TASKS.register("a_margin")
class Margin(Task):
    """The hardest positive and negative of each example in its batch, a margin apart (Hermans et al. 2017)."""

    learns: str = "class"
    needs: str = "embedding"
    watch: str = "recall_at_1"
    mode: str = "max"

    def __init__(self, spec: DataSpec, *, margin: float = 0.3):
        super().__init__(spec)
        self.margin = margin

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        distance = (output[:, None] - output[None]).square().sum(dim=2)
        is_same = batch.target[:, None] == batch.target[None]
        hardest = (distance * is_same).amax(dim=1) - distance.masked_fill(is_same, 9.0).amin(dim=1)
        loss = (hardest + self.margin).relu()
        return {"loss": loss.mean(), "active": (loss > 0).float().mean()}

    def metrics(self) -> list[Metric]:
        return [RecallAt1()]

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        return {"person": target.tolist(), "nearest": target[nearest(output)].tolist()}

    def answers(self, output: Tensor) -> dict[str, list[str]]:
        return {"embedding": [" ".join(f"{value:.2f}" for value in row) for row in output.tolist()]}


class RecallAt1(Gathered):
    """The share of examples whose nearest other one in the part is of the same person."""

    better: ClassVar = {"recall_at_1": "max"}

    def value(self, output: Tensor, target: Tensor) -> dict[str, float]:
        return {"recall_at_1": (target[nearest(output)] == target).double().mean().item()}


def nearest(output: Tensor) -> Tensor:
    return torch.cdist(output, output).fill_diagonal_(torch.inf).argmin(dim=1)
