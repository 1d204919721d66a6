"""MLP: a stack of linear layers with a non-linearity between them.

The notes' chapter 8 trains 784-512-256-128-64-10 with ReLU on MNIST, chapter 6 10-6-4-1 with sigmoid.
The back-propagation that trains it: Rumelhart, Hinton and Williams 1986.

Departures: dropout and batch normalisation can be switched on; the notes' network has neither.

Letters: B examples, F features, K outputs (`out_features`).
"""

from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt, ProperFraction


class MLP(nn.Module):
    """Multilayer perceptron: linear layers of `hidden_sizes`, each followed by the activation, and a linear one."""

    accepts: tuple = ("features",)

    def __init__(
        self, *, in_features: PositiveInt, hidden_sizes: tuple[PositiveInt, ...] = (512, 256, 128, 64),
        activation: Literal[
            "relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "relu6", "hardswish", "softplus",
            "sigmoid", "logsigmoid", "hardsigmoid", "tanh", "hardtanh", "softsign", "tanhshrink",
        ] = "relu",
        dropout: ProperFraction = 0.0, batch_norm: bool = False, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_features`: F, features of an example.
        - `hidden_sizes`: features after each hidden layer; none: linear or softmax regression.
        - `activation`: a function of `torch.nn.functional`.
        - `dropout`: share of values set to zero after each activation, in training.
        - `batch_norm`: whether a batch normalisation precedes each activation.
        - `out_features`: K, logits or values of an answer.
        """
        super().__init__()
        sizes = (in_features, *hidden_sizes)
        self.linears = nn.ModuleList(nn.Linear(size, next_size) for size, next_size in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) if batch_norm else nn.Identity() for size in hidden_sizes)
        self.activation = getattr(F, activation)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(sizes[-1], out_features)

    def forward(self, x: Tensor) -> Tensor:
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = self.dropout(self.activation(norm(linear(x))))  # (B, F) -> (B, next F)
        return self.fc(x)  # (B, K)
