"""A model: a highway network (Srivastava et al. 2015), whose layers decide how much of their input goes on as it is.

DLRUN_PLUGINS=examples/plugins/model.py dlrun model=highway data=digits model.num_layers=8
"""

from torch import Tensor, nn

from dlrun.config.schema import PositiveInt
from dlrun.models import MODELS


class HighwayLayer(nn.Module):
    """t * relu(W x + b) + (1 - t) * x, with the gate t = sigmoid(V x + c)."""

    def __init__(self, width: int):
        super().__init__()
        self.change, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -1.0)  # at first most of the input goes on

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x).sigmoid()
        return gate * self.change(x).relu() + (1 - gate) * x


@MODELS.register("highway")
class Highway(nn.Module):
    """Features, or images laid flat -> `num_layers` highway layers -> numbers (B, K)."""

    accepts: tuple = ("features",)

    def __init__(
        self, *, in_features: PositiveInt, width: PositiveInt = 32, num_layers: PositiveInt = 4,
        out_features: PositiveInt,
    ):  # fmt: skip
        super().__init__()
        layers = [HighwayLayer(width) for _ in range(num_layers)]
        self.layers = nn.Sequential(nn.Linear(in_features, width), *layers, nn.Linear(width, out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
