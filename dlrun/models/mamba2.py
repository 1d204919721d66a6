"""Mamba-2: a state space whose decay is one number a head, computed as attention within chunks of the sequence.

Dao and Gu, "Transformers are SSMs: generalized models and efficient algorithms through structured state space duality",
2024. A head has P channels of N numbers each and one decay a_t = exp(dt_t A):

    h_t = a_t h_{t-1} + dt_t x_t B_t^T          y_t = h_t C_t + D x_t

Without the recurrence this is y = (L * C B^T) (dt x), attention with no softmax and the mask
L_ts = a_t a_{t-1} ... a_{s+1} for s <= t. `chunked` takes the second form inside chunks and the first between them.

Departures: sizes for a small network (the paper's head_dim is 64, its d_state 128, its chunk 256); torch's
initialisation of the linear and embedding layers, the paper's of dt, A and D.

Letters: B examples, T steps, D = `d_model`, E = expand * D channels, H heads, P = `head_dim`, G groups of R = H / G
heads that share B and C, N = `d_state`, M chunks of Q steps, K outputs (`out_features`).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt, ProperFraction
from dlrun.models.mamba import CausalDepthwiseConv, ResidualStack, dt_bias
from dlrun.models.parts.sequence import State, embedding

# Of both forms: `x` (B, T, G, R, P), already times dt; `log_a` (B, T, G, R), dt A; `B`, `C` (B, T, G, N);
# `h` (B, G, R, N, P), before the first step. They give y (B, T, G, R, P) and h after the last step.


def recurrent(x: Tensor, log_a: Tensor, B: Tensor, C: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """The definition, step by step."""
    y = []
    for t in range(x.shape[1]):
        decay = log_a[:, t, :, :, None, None].exp()
        h = decay * h + B[:, t, :, None, :, None] * x[:, t, :, :, None]
        y.append((C[:, t, :, None, None] @ h).squeeze(-2))  # (B, G, R, P)
    return torch.stack(y, dim=1), h


def chunked(x: Tensor, log_a: Tensor, B: Tensor, C: Tensor, h: Tensor, chunk_size: int = 64) -> tuple[Tensor, Tensor]:
    """Attention within chunks, the state from chunk to chunk (the paper's section 6)."""
    num_steps, size = x.shape[1], min(chunk_size, x.shape[1])
    # A step of padding has no input and a decay of exp(0) = 1: the last state stays what it was.
    x, log_a, B, C = (_in_chunks(value, size) for value in (x, log_a.unsqueeze(-1), B.unsqueeze(3), C.unsqueeze(3)))
    log_a = log_a.squeeze(-1)  # (B, G, R, M, Q); x (B, G, R, M, Q, P); B, C (B, G, 1, M, Q, N)
    segments = segment_sums(log_a)
    # 1. What steps of a chunk give to later ones of it.
    y = ((C @ B.mT) * segments.exp()) @ x
    # 2. What each chunk leaves behind at its end.
    left = B.mT @ (x * segments[..., -1, :, None].exp())  # (B, G, R, M, N, P)
    # 3. The state before each chunk, and after the last: the same recurrence, over chunks.
    states = torch.cat([h[:, :, :, None], left], dim=3)
    within = log_a.cumsum(dim=-1)
    between = segment_sums(F.pad(within[..., -1], (1, 0))).exp()  # (B, G, R, M + 1, M + 1)
    states = (between @ states.flatten(4)).unflatten(4, h.shape[3:])
    # 4. What the state before a chunk gives to its steps.
    y = y + (C @ states[:, :, :, :-1]) * within.exp()[..., None]
    y = y.movedim((3, 4), (1, 2)).flatten(1, 2)[:, :num_steps]  # (B, T, G, R, P)
    return y, states[:, :, :, -1]


def segment_sums(log_a: Tensor) -> Tensor:
    """(..., Q) -> (..., Q, Q): at (t, s) the sum over s < i <= t, -inf above the diagonal.

    By masked sums: a difference of two running sums would lose the digits of short segments.
    """
    ones = torch.ones(log_a.shape[-1], log_a.shape[-1], dtype=torch.bool, device=log_a.device)
    terms = log_a[..., None].expand(*log_a.shape, log_a.shape[-1]).masked_fill(~ones.tril(-1), 0)
    return terms.cumsum(dim=-2).masked_fill(~ones.tril(), -torch.inf)


def _in_chunks(value: Tensor, size: int) -> Tensor:
    """(B, T, G, R, ...) -> (B, G, R, M, Q, ...), filled up with zeros."""
    value = F.pad(value, (0, 0, 0, 0, 0, 0, 0, -value.shape[1] % size))
    return value.unflatten(1, (-1, size)).movedim((1, 2), (3, 4))


class Mixer(nn.Module):
    """in -> convolution of x, B and C -> `chunked` -> gate and norm -> out (the paper's figure 6, parallel block)."""

    def __init__(
        self, d_model: int, d_state: int, expand: int, head_dim: int, num_groups: int, d_conv: int, chunk_size: int
    ):
        super().__init__()
        channels = expand * d_model
        num_heads, rest = divmod(channels, head_dim)
        if rest or num_heads % num_groups:
            raise ValueError(
                "expand * d_model must be a multiple of head_dim, and the heads of num_groups, "
                f"found {channels}, {head_dim} and {num_groups}"
            )
        self.heads, self.chunk_size = (num_groups, num_heads // num_groups), chunk_size
        self.state_shape = (*self.heads, d_state, head_dim)
        self.sizes = (channels, num_groups * d_state, num_groups * d_state)
        self.in_proj = nn.Linear(d_model, channels + sum(self.sizes) + num_heads, bias=False)
        self.conv = CausalDepthwiseConv(sum(self.sizes), d_conv)
        self.dt_bias = nn.Parameter(dt_bias(num_heads))
        self.A_log = nn.Parameter(torch.empty(num_heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(num_heads))
        self.norm = nn.RMSNorm(channels, eps=1e-5)
        self.out_proj = nn.Linear(channels, d_model, bias=False)

    def forward(self, x: Tensor, state: State = ()) -> tuple[Tensor, State]:
        past, h = state or (None, x.new_zeros(x.shape[0], *self.state_shape))
        gate, x, dt = self.in_proj(x).split((self.sizes[0], sum(self.sizes), len(self.D)), dim=2)
        x, past = self.conv(x, past)
        x, B, C = F.silu(x).split(self.sizes, dim=2)  # (B, T, E), (B, T, G N), (B, T, G N)
        B, C = (value.unflatten(2, (self.heads[0], -1)) for value in (B, C))
        x = x.unflatten(2, (*self.heads, -1))  # (B, T, G, R, P)
        dt = F.softplus(dt + self.dt_bias)  # (B, T, H)
        log_a = (dt * -self.A_log.exp()).unflatten(2, self.heads)
        inputs = x * dt.unflatten(2, self.heads)[..., None]
        if state:
            y, h = recurrent(inputs, log_a, B, C, h)
        else:
            y, h = chunked(inputs, log_a, B, C, h, self.chunk_size)
        y = (y + self.D.view(*self.heads, 1) * x).flatten(2)  # (B, T, E)
        # The gate before the norm, which then sees what leaves the block.
        return self.out_proj(self.norm(y * F.silu(gate))), (past, h)


class Mamba2(ResidualStack):
    """Mamba-2, by state space duality: `num_layers` mixers with a residual sum around each, and a linear layer.

    The state of `step` holds, of each layer, `d_conv` - 1 inputs and h.
    """

    def __init__(
        self, *, vocab_size: PositiveInt | None = None, in_features: PositiveInt | None = None,
        d_model: PositiveInt = 64, num_layers: PositiveInt = 2, d_state: PositiveInt = 64, expand: PositiveInt = 2,
        head_dim: PositiveInt = 32, num_groups: PositiveInt = 1, d_conv: PositiveInt = 4,
        chunk_size: PositiveInt = 64, dropout: ProperFraction = 0.0, pooling: Literal["last", "mean"] = "last",
        per_step: bool, causal: bool, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `vocab_size`: V, number of different tokens; None: the input is a series.
        - `in_features`: F, values of a series at each step; None: the input is tokens. One of the two is given.
        - `d_model`: D, features of the vector of a step.
        - `num_layers`: mixers.
        - `d_state`: N, numbers of the state of a channel.
        - `expand`: E / D, channels inside a mixer for each of the D features.
        - `head_dim`: P, channels of a head.
        - `num_groups`: G, groups of heads that share B and C.
        - `d_conv`: steps that the convolution in a mixer multiplies.
        - `chunk_size`: Q, steps of a chunk; it changes the time and memory alone.
        - `dropout`: share of values set to zero of what a mixer adds, in training.
        - `pooling`: what one answer is read from: the `last` valid step or the `mean` of all valid ones.
        - `per_step`: whether to answer at every step (B, T, K) or once (B, K).
        - `causal`: whether an answer may depend on no later step; this model is causal either way.
        - `out_features`: K, logits or values of an answer.

        **Raises:** `ValueError` if E is no multiple of `head_dim` or the number of heads no multiple of `num_groups`,
        or unless exactly one of `vocab_size` and `in_features` is given.
        """
        embed = embedding(vocab_size, in_features, d_model)
        sizes = (d_model, d_state, expand, head_dim, num_groups, d_conv, chunk_size)
        mixers = [Mixer(*sizes) for _ in range(num_layers)]
        super().__init__(embed, mixers, d_model, dropout, pooling, per_step, out_features)
