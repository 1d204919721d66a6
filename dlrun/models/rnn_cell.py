"""RNN cell: a recurrent network with the loop over time written out.

Elman, "Finding structure in time", 1990; notes 11, "RNNCell-Seq2Seq": 4 letters one-hot, 4 hidden features, which are
the logits themselves.

Departures: none. The loop costs a call a step; `model=rnn` is the same network without it.

Letters: B examples, T steps, H hidden features, K outputs (`out_features`).
"""

import torch
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt
from dlrun.models.parts.sequence import State, pool, vectors


class RNNCell(nn.Module):
    """A plain RNN in a loop: h_t = tanh(W x_t + U h_{t-1} + b), one call of the cell a step; tokens come in one-hot."""

    accepts: tuple = ("tokens", "series")

    def __init__(
        self, *, vocab_size: PositiveInt | None = None, in_features: PositiveInt | None = None,
        hidden_size: PositiveInt | None = None, per_step: bool, causal: bool, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `vocab_size`: V, number of different tokens; None: the input is a series.
        - `in_features`: F, values of a series at each step; None: the input is tokens. One of the two is given.
        - `hidden_size`: H, features of the hidden state, which a linear layer reads; None: the hidden state of
          `out_features` is the answer, as in the notes.
        - `per_step`: whether to answer at every step (B, T, K) or once (B, K), from the last valid step.
        - `causal`: whether an answer may depend on no later step; this model is causal either way.
        - `out_features`: K, logits or values of an answer.

        **Raises:** `ValueError` unless exactly one of `vocab_size` and `in_features` is given.
        """
        super().__init__()
        self.per_step = per_step
        self.embed, size = vectors(vocab_size, in_features, embedding_size=None)
        self.cell = nn.RNNCell(size, hidden_size or out_features)
        self.fc = nn.Linear(hidden_size, out_features) if hidden_size else nn.Identity()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        hidden, outputs = None, []
        for x_t in self.embed(x).unbind(dim=1):  # each (B, V) or (B, F)
            hidden = self.cell(x_t, hidden)  # (B, H)
            outputs.append(hidden)
        y = torch.stack(outputs, dim=1)  # (B, T, H)
        return self.fc(y if self.per_step else pool(y, lengths))  # (B, T, K) or (B, K)

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        hidden = self.cell(self.embed(x), state[0] if state else None)
        return self.fc(hidden), (hidden,)
