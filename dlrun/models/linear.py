"""Linear and logistic regression: one linear layer (notes, chapters 1 to 5).

Letters: B examples, F features, K outputs (`out_features`).
"""

from torch import Tensor, nn

from dlrun.schema import PositiveInt


class Linear(nn.Module):
    """A linear map. `weight` sets every weight to that value at the start, and the bias to 0."""

    accepts: tuple = ("features",)

    def __init__(
        self, *, in_features: PositiveInt, out_features: PositiveInt, bias: bool = True, weight: float | None = None
    ):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        if weight is not None:
            nn.init.constant_(self.linear.weight, weight)
            if bias:
                nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)  # (B, F) -> (B, K)


class Logistic(Linear):
    """A linear map to one logit: the sigmoid belongs to the loss, which is more exact with it inside."""

    accepts: tuple = ("features",)

    def __init__(self, *, in_features: PositiveInt, out_features: PositiveInt):
        if out_features != 1:
            raise ValueError(f"gives one logit, the data have {out_features} outputs; use model=linear or model=mlp")
        super().__init__(in_features=in_features, out_features=out_features)
