"""Linear and logistic regression: one linear layer (notes, chapters 1 to 5).

Letters: B examples, F features, K outputs (`out_features`).
"""

from torch import Tensor, nn

from dlrun.config.schema import PositiveInt


class Linear(nn.Module):
    """Linear regression: one linear layer."""

    accepts: tuple = ("features",)

    def __init__(
        self, *, in_features: PositiveInt, out_features: PositiveInt, bias: bool = True, weight: float | None = None
    ):
        """**Arguments:**

        - `in_features`: F, features of an example.
        - `out_features`: K, logits or values of an answer.
        - `bias`: whether there is a bias.
        - `weight`: the value of every weight at the start, with a bias of 0; None: torch's random weights.
        """
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        if weight is not None:
            nn.init.constant_(self.linear.weight, weight)
            if bias:
                nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)  # (B, F) -> (B, K)


class Logistic(Linear):
    """Logistic regression: a linear layer to one logit; the loss takes the sigmoid, which is numerically more exact."""

    def __init__(self, *, in_features: PositiveInt, out_features: PositiveInt):
        """**Arguments:**

        - `in_features`: F, features of an example.
        - `out_features`: K; must be 1.

        **Raises:** `ValueError` if the data have more than one output.
        """
        if out_features != 1:
            raise ValueError(f"gives one logit, the data have {out_features} outputs; use model=linear or model=mlp")
        super().__init__(in_features=in_features, out_features=out_features)
