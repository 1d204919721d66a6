"""Recurrent networks: plain, LSTM and GRU, over tokens or a series.

Elman 1990; Hochreiter and Schmidhuber, "Long short-term memory", 1997; Cho et al., "Learning phrase representations
using RNN encoder-decoder", 2014. The notes' name classifier is the default: embedding 100, two bidirectional layers
of 100, rows packed by their length, the last hidden states into a linear layer.

Departures: the states of the two directions are joined forward first, in the notes' listing backward first, which
permutes the columns of the linear layer.

Letters: B examples, T steps, D features of a vector, H hidden features, K outputs (`out_features`).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from dlrun.config.schema import PositiveInt, ProperFraction
from dlrun.models.parts.sequence import State, vectors


class Recurrent(nn.Module):
    """Vectors of the input -> `torch_module`, packed by length -> linear layer."""

    accepts: tuple = ("tokens", "series")
    torch_module: type[nn.RNN | nn.LSTM | nn.GRU]
    layer: Callable  # what one layer in one direction computes, torch's function

    def __init__(
        self, *, vocab_size: PositiveInt | None = None, in_features: PositiveInt | None = None,
        embedding_size: PositiveInt | None = 100, hidden_size: PositiveInt | None = 100, num_layers: PositiveInt = 2,
        bidirectional: bool | None = None, dropout: ProperFraction = 0.0, per_step: bool, causal: bool,
        out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `vocab_size`: V, number of different tokens; None: the input is a series.
        - `in_features`: F, values of a series at each step; None: the input is tokens. One of the two is given.
        - `embedding_size`: features of the vector of a token; None: one-hot, of V features.
        - `hidden_size`: H, features of the hidden state of a direction; None: the hidden state of `out_features` is the
          answer, and there is no linear layer (notes, "RNN-Seq2Seq").
        - `num_layers`: recurrent layers on top of each other.
        - `bidirectional`: whether a second network reads from the end; None: unless `causal`.
        - `dropout`: share of values set to zero between the layers, in training.
        - `per_step`: whether to answer at every step (B, T, K) or once (B, K), from the last hidden state of each
          direction.
        - `causal`: whether an answer may depend on no later step.
        - `out_features`: K, logits or values of an answer.

        **Raises:** `ValueError` if keys contradict each other.
        """
        super().__init__()
        if bidirectional and causal:
            raise ValueError("bidirectional=true reads ahead, found causal=true; use bidirectional=false or null")
        bidirectional = not causal if bidirectional is None else bidirectional
        if bidirectional and hidden_size is None:
            raise ValueError(
                f"hidden_size=null makes the hidden state the {out_features} outputs, and there are two directions "
                "of it; use bidirectional=false or a hidden_size"
            )
        if dropout and num_layers == 1:
            raise ValueError(f"dropout={dropout:g} acts between layers, found num_layers=1")
        self.per_step = per_step
        self.num_directions = 2 if bidirectional else 1
        self.embed, size = vectors(vocab_size, in_features, embedding_size)
        self.rnn = self.torch_module(
            size,
            hidden_size or out_features,
            num_layers,
            batch_first=True,
            dropout=dropout,
            bidirectional=bidirectional,
        )
        self.fc = nn.Linear(self.num_directions * hidden_size, out_features) if hidden_size else nn.Identity()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            y, state = self.rnn(self.embed(x))  # (B, T, directions * H)
        elif torch.compiler.is_exporting():
            y, state = self._unpacked(self.embed(x), lengths)
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            # Embedded after it is packed: no vector is made of padding, and none is moved.
            y, state = self.rnn(PackedSequence(self.embed(packed.data), *packed[1:]))
        if self.per_step:
            if isinstance(y, PackedSequence):
                y, _ = pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
            return self.fc(y)  # (B, T, K)
        hidden = _as_tuple(state)[0][-self.num_directions :]  # of the last layer: (directions, B, H)
        return self.fc(hidden.transpose(0, 1).flatten(1))  # (B, directions * H) -> (B, K)

    def _unpacked(self, y: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What rows y (B, T, D) packed by length give, without packing, which no exported graph holds.

        (The outputs (B, T, directions * H), 0 in padding; the last hidden states (directions, B, H) of the last layer.)
        Read forward, padding at the end changes nothing; read backward, each row is turned round within its length.
        """
        steps = torch.arange(y.shape[1], device=y.device)
        is_valid = steps < lengths[:, None]  # (B, T)
        turned = torch.where(is_valid, lengths[:, None] - 1 - steps, steps)[:, :, None]
        directions = []
        for number in range(self.rnn.num_layers):
            directions = []
            for suffix in ("", "_reverse")[: self.num_directions]:
                names = (f"{name}_l{number}{suffix}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
                weights = [self.rnn.get_parameter(name) for name in names]
                start = y.new_zeros(1, y.shape[0], self.rnn.hidden_size)
                seen = y.gather(1, turned.expand_as(y)) if suffix else y
                found = type(self).layer(
                    seen, (start, start) if self.rnn.mode == "LSTM" else start, weights,
                    has_biases=True, num_layers=1, dropout=0.0, train=False, bidirectional=False, batch_first=True,
                )[0]  # fmt: skip
                directions.append(found)
            turned_back = (value.gather(1, turned.expand_as(value)) for value in directions[1:])
            y = torch.cat([directions[0], *turned_back], dim=2)
        last = (lengths - 1)[:, None, None].expand(-1, 1, self.rnn.hidden_size)
        hidden = torch.stack([value.gather(1, last).squeeze(1) for value in directions])
        return y * is_valid[:, :, None], hidden

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if self.num_directions == 2:
            raise ValueError("a bidirectional network reads ahead and cannot go step by step; use bidirectional=false")
        before = state[0] if state and len(state) == 1 else state
        y, after = self.rnn(self.embed(x)[:, None], before)  # (B, 1, H)
        return self.fc(y[:, 0]), _as_tuple(after)


def _as_tuple(state: Tensor | tuple[Tensor, Tensor]) -> State:
    """The hidden state (layers * directions, B, H), of an LSTM with its cell state."""
    return state if isinstance(state, tuple) else (state,)


class RNN(Recurrent):
    """A plain recurrent network (Elman 1990): h_t = tanh(W x_t + U h_{t-1} + b)."""

    torch_module = nn.RNN
    layer = torch.rnn_tanh


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997): a cell state behind input, forget and output gates."""

    torch_module = nn.LSTM
    layer = torch.lstm


class GRU(Recurrent):
    """Gated recurrent units (Cho et al. 2014): a reset and an update gate. The notes' name classifier."""

    torch_module = nn.GRU
    layer = torch.gru
