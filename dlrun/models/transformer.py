"""Transformer: an encoder of self-attention, or a decoder of it where the answer is causal.

Vaswani et al., "Attention is all you need", 2017; the notes' listing: sinusoidal positions, multi-head attention,
normalisation after each residual sum. The defaults are small enough for a CPU; the notes' sizes (19 million
parameters) are model.d_model=512 model.num_heads=8 model.dim_feedforward=2048 model.num_layers=6.

Departures: the embedding is not scaled by sqrt(d_model), as torch starts it at unit size; positions are computed, not
looked up, so that no sequence is too long. Causal attention looks back over `window` steps (Beltagy et al. 2020).

Letters: B examples, T steps, D = `d_model`, H heads, W = `window`, K outputs (`out_features`).
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt, ProperFraction
from dlrun.models.parts.sequence import State, embedding, is_valid, pool


def sinusoids(positions: Tensor, d_model: int) -> Tensor:
    """(T,) -> (T, D): sin and cos, in turn, of position / 10000^(2i / D)."""
    even = torch.arange(0, d_model, 2, device=positions.device)
    angles = positions[:, None] * torch.exp(even * (-math.log(10000) / d_model))
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :d_model]


class MultiHeadAttention(nn.Module):
    """softmax(Q K^T / sqrt(D / H)) V in `num_heads` heads side by side, and a linear map of their outputs."""

    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.wq = nn.Linear(d_model, d_model)
        self.wk = nn.Linear(d_model, d_model)
        self.wv = nn.Linear(d_model, d_model)
        self.fc_out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, mask: Tensor | None, is_causal: bool, past: State = ()) -> tuple[Tensor, State]:
        """`mask`, true where a step (dimension -2) may look at another (-1), fits (B, H, T, T).

        The keys and values (B, H, W, D / H) of a window in the `past` are joined by those of x (B, 1, D); the oldest
        ones leave it. Gives (B, T, D) and the keys and values.
        """
        q, k, v = self._heads(self.wq(x)), self._heads(self.wk(x)), self._heads(self.wv(x))
        if past:
            k, v = torch.cat([past[0][:, :, 1:], k], dim=2), torch.cat([past[1][:, :, 1:], v], dim=2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)  # (B, H, T, D / H)
        return self.fc_out(y.transpose(1, 2).flatten(2)), (k, v)

    def shares(self, x: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        """How much each step of x (B, T, D) takes from each step, in each head: softmax(Q K^T / sqrt(D / H))."""
        q, k = self._heads(self.wq(x)), self._heads(self.wk(x))
        if is_causal:
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        return (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(dim=3)  # (B, H, T, T)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, H, T, D / H)


class EncoderLayer(nn.Module):
    """x = norm(x + attention(x)), then x = norm(x + feed-forward(x)), with dropout on what is added."""

    def __init__(self, d_model: int, num_heads: int, dim_feedforward: int, dropout: float):
        super().__init__()
        self.self_attn = MultiHeadAttention(d_model, num_heads)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.dropout = nn.Dropout(dropout)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, is_causal: bool = False, past: State = ()
    ) -> tuple[Tensor, State]:
        y, past = self.self_attn(x, mask, is_causal, past)
        x = self.norm1(x + self.dropout(y))
        y = self.linear2(self.dropout(F.relu(self.linear1(x))))  # (B, T, dim_feedforward) between the two
        return self.norm2(x + self.dropout(y)), past


class Transformer(nn.Module):
    """Transformer encoder: embedding + positions -> `num_layers` encoder layers -> linear layer.

    The state of `step` holds the keys and values of the last `window` steps of each layer.
    """

    accepts: tuple = ("tokens", "series")

    def __init__(
        self, *, vocab_size: PositiveInt | None = None, in_features: PositiveInt | None = None,
        d_model: PositiveInt = 64, num_heads: PositiveInt = 4, dim_feedforward: PositiveInt = 128,
        num_layers: PositiveInt = 2, dropout: ProperFraction = 0.1, window: PositiveInt = 256,
        pooling: Literal["last", "mean"] = "mean", per_step: bool, causal: bool, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `vocab_size`: V, number of different tokens; None: the input is a series.
        - `in_features`: F, values of a series at each step; None: the input is tokens. One of the two is given.
        - `d_model`: D, features of the vector of a step.
        - `num_heads`: H, attention heads of each layer, of D / H features.
        - `dim_feedforward`: features between the two linear layers that follow the attention.
        - `num_layers`: encoder layers.
        - `dropout`: share of values set to zero of the input, after the ReLU and of what each half of a layer adds, in
          training.
        - `window`: W, steps that a causal step attends to, itself included.
        - `pooling`: what one answer is read from: the `last` valid step or the `mean` of all valid ones.
        - `per_step`: whether to answer at every step (B, T, K) or once (B, K).
        - `causal`: whether a step attends to itself and earlier steps alone.
        - `out_features`: K, logits or values of an answer.

        **Raises:** `ValueError` if `d_model` is no multiple of `num_heads`, or unless exactly one of `vocab_size` and
        `in_features` is given.
        """
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model must be a multiple of num_heads, found {d_model} and {num_heads}")
        self.per_step, self.causal = per_step, causal
        self.pooling: Literal["last", "mean"] = pooling
        self.window, self.head_shape = window, (num_heads, window, d_model // num_heads)
        self.embed = embedding(vocab_size, in_features, d_model)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(d_model, num_heads, dim_feedforward, dropout) for _ in range(num_layers)
        )
        self.fc = nn.Linear(d_model, out_features)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        y, mask, is_causal = self._start(x, lengths)
        for layer in self.layers:
            y, _ = layer(y, mask, is_causal)
        return self.fc(y if self.per_step else pool(y, lengths, self.pooling))  # (B, T, K) or (B, K)

    def attention(self, x: Tensor, lengths: Tensor | None = None) -> list[Tensor]:
        """What each layer attends to, (B, H, T, T): the share that a step (dimension 2) takes from each step."""
        y, mask, is_causal = self._start(x, lengths)
        found = []
        for layer in self.layers:
            assert isinstance(layer, EncoderLayer)
            found.append(layer.self_attn.shares(y, mask, is_causal))
            y, _ = layer(y, mask, is_causal)
        return found

    def positions(self, num_steps: int) -> Tensor:
        """What is added to the first steps, (T, D)."""
        return sinusoids(torch.arange(num_steps), self.fc.in_features)

    def _start(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None, bool]:
        """The steps (B, T, D) with their positions, and `_mask`."""
        y = self.embed(x)
        steps = torch.arange(y.shape[1], device=y.device)
        y = self.dropout(y + sinusoids(steps, y.shape[2]).to(y.dtype))
        return y, *self._mask(steps, y, lengths)

    def _mask(self, steps: Tensor, y: Tensor, lengths: Tensor | None) -> tuple[Tensor | None, bool]:
        """(which step attends to which, None: each to all; whether to use torch's causal mask instead).

        Padding stands at the end, where a causal step does not look anyway.
        """
        if not self.causal:
            return None if lengths is None else is_valid(y, lengths)[:, None, None], False  # (B, 1, 1, T)
        if len(steps) <= self.window:
            return None, True
        distance = steps[:, None] - steps
        return (distance >= 0) & (distance < self.window), False  # (T, T)

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if not self.causal:
            raise ValueError("attention over the whole sequence cannot go step by step; use causal=true")
        y = self.embed(x)[:, None]  # (B, 1, D)
        position, *windows = state or self._empty(y)
        y = self.dropout(y + sinusoids(position[None], y.shape[2]).to(y.dtype))
        age = torch.arange(self.window - 1, -1, -1, device=y.device)
        mask = (age <= position)[None]  # (1, W): a window that is not full yet begins with blanks
        after = [position + 1]
        for i, layer in enumerate(self.layers):
            y, own = layer(y, mask, False, windows[2 * i : 2 * i + 2])
            after += own
        return self.fc(y[:, 0]), tuple(after)

    def _empty(self, y: Tensor) -> State:
        blank = y.new_zeros(len(y), *self.head_shape)
        return (torch.zeros((), dtype=torch.int64, device=y.device), *[blank] * (2 * len(self.layers)))
