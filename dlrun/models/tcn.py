"""TCN: a stack of causal convolutions whose dilation doubles from block to block.

Bai, Kolter and Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling",
2018; the defaults are their sizes for sequential MNIST. The last step of `num_layers` blocks sees
1 + 2 (kernel_size - 1) (2^num_layers - 1) steps: choose them so that this covers T.

Departures: torch's own initialisation. The authors' N(0, 0.01) is undone by their weight norm, except in the 1x1
convolutions. Tokens come in one-hot where `embedding_size` is None; theirs are embedded or numbers.

Letters: B examples, T steps, C channels, k kernel size, d dilation, K outputs (`out_features`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from dlrun.config.schema import PositiveInt, ProperFraction
from dlrun.models.parts.sequence import State, pool, vectors


class CausalConv(nn.Module):
    """A weight-normed convolution over a step and (k - 1) d steps before it, zeros before the first."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int):
        super().__init__()
        self.memory = (kernel_size - 1) * dilation
        self.conv = weight_norm(nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation))

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, C, T) and the (k - 1) d steps before it; gives (B, next C, T) and those before what comes next."""
        x = F.pad(x, (self.memory, 0)) if past is None else torch.cat([past, x], dim=2)
        return self.conv(x), x[:, :, x.shape[2] - self.memory :]


class Block(nn.Module):
    """relu(x + f(x)), f twice convolution -> ReLU -> dropout; a 1x1 convolution of x where the channels change."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int, dropout: float):
        super().__init__()
        self.conv1 = CausalConv(in_channels, out_channels, kernel_size, dilation)
        self.conv2 = CausalConv(out_channels, out_channels, kernel_size, dilation)
        self.dropout = nn.Dropout(dropout)
        is_same = in_channels == out_channels
        self.residual = nn.Identity() if is_same else nn.Conv1d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor, state: State = ()) -> tuple[Tensor, State]:
        past1, past2 = state or (None, None)
        y, past1 = self.conv1(x, past1)
        y, past2 = self.conv2(self.dropout(F.relu(y)), past2)
        y = self.dropout(F.relu(y))  # (B, next C, T)
        return F.relu(y + self.residual(x)), (past1, past2)


class TCN(nn.Module):
    """Temporal convolutional network: `num_layers` blocks, dilation 1, 2, 4, ..., and a linear layer.

    The state of `step` holds, for each convolution, the inputs that later steps still need.
    """

    accepts: tuple = ("tokens", "series")

    def __init__(
        self, *, vocab_size: PositiveInt | None = None, in_features: PositiveInt | None = None,
        embedding_size: PositiveInt | None = None, hidden_size: PositiveInt = 25, num_layers: PositiveInt = 8,
        kernel_size: PositiveInt = 7, dropout: ProperFraction = 0.05, per_step: bool, causal: bool,
        out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `vocab_size`: V, number of different tokens; None: the input is a series.
        - `in_features`: F, values of a series at each step; None: the input is tokens. One of the two is given.
        - `embedding_size`: features of the vector of a token; None: one-hot, of V features.
        - `hidden_size`: C, channels of each block.
        - `num_layers`: blocks; the dilation of block i is 2^i steps, i from 0.
        - `kernel_size`: k, steps that each convolution multiplies.
        - `dropout`: share of values set to zero after each convolution, in training.
        - `per_step`: whether to answer at every step (B, T, K) or once (B, K), from the last valid step.
        - `causal`: whether an answer may depend on no later step; this model is causal either way.
        - `out_features`: K, logits or values of an answer.

        **Raises:** `ValueError` unless exactly one of `vocab_size` and `in_features` is given.
        """
        super().__init__()
        self.per_step = per_step
        self.embed, size = vectors(vocab_size, in_features, embedding_size)
        self.blocks = nn.ModuleList(
            Block(size if i == 0 else hidden_size, hidden_size, kernel_size, 2**i, dropout) for i in range(num_layers)
        )
        self.fc = nn.Linear(hidden_size, out_features)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        y = self.embed(x).transpose(1, 2)  # (B, C, T), as convolutions want it
        for block in self.blocks:
            y, _ = block(y)
        y = y.transpose(1, 2)
        return self.fc(y if self.per_step else pool(y, lengths))  # (B, T, K) or (B, K)

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        y, after = self.embed(x)[:, :, None], ()  # (B, C, 1)
        for i, block in enumerate(self.blocks):
            y, own = block(y, state[2 * i : 2 * i + 2] if state else ())
            after += own
        return self.fc(y[:, :, 0]), after
