"""Mamba: a selective state space. How fast a channel forgets, what enters it and what is read depend on the input.

Gu and Dao, "Mamba: linear-time sequence modeling with selective state spaces", 2023. With E = expand * D channels of
N numbers each, all of them with their own decay:

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        y_t = C_t h_t + D x_t

Departures: torch's initialisation of the linear and embedding layers, the paper's of dt, A and D. The decays `A_log`
are stored in one dimension, because optimizers take a parameter of two for a matrix: Muon makes it orthogonal, and
weight decay pulls it to zero even with `optimizer.decay_all=false`.

Letters: B examples, T steps, D = `d_model`, E channels, N = `d_state`, R rank of dt, K outputs (`out_features`).
"""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dlrun.config.schema import PositiveInt, ProperFraction
from dlrun.models.parts.sequence import State, embedding, pool

# Numbers of the state that are worked on at once: on a processor what its cache holds.
CHUNK_NUMBERS = {"cpu": 2**18, "cuda": 2**24}


def scan_(a: Tensor, b: Tensor, *, reverse: bool = False) -> Tensor:
    """h_t = a_t h_{t-1} + b_t from h_{-1} = 0, over dimension 1 (T), in the place of `b`; `a` is used up.

    In 2 log2(T) sweeps over ever fewer steps (Blelloch 1990), by (a1, b1), (a2, b2) -> (a1 a2, a2 b1 + b2) alone:
    a quotient of products of `a` would underflow. `reverse`: h_t = a_t h_{t+1} + b_t.
    """
    num_steps = b.shape[1]

    def pairs(first: int, distance: int) -> tuple[slice, slice]:
        """(every 2 * `distance`-th step from `first` on, the steps `distance` before them), reversed if asked."""
        if not reverse:
            return slice(first, None, 2 * distance), slice(first - distance, num_steps - distance, 2 * distance)
        start = (num_steps - 1 - first) % (2 * distance)
        return slice(start, num_steps - first, 2 * distance), slice(start + distance, None, 2 * distance)

    distances = [2**i for i in range(int(num_steps).bit_length())]
    for distance in distances:
        if 2 * distance <= num_steps:
            later, earlier = pairs(2 * distance - 1, distance)
            b[:, later].addcmul_(a[:, later], b[:, earlier])
            a[:, later].mul_(a[:, earlier])
    for distance in reversed(distances):
        if 3 * distance <= num_steps:
            later, earlier = pairs(3 * distance - 1, distance)
            b[:, later].addcmul_(a[:, later], b[:, earlier])
    return b


def selective_scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """y_t = C_t h_t with h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t, all steps of a chunk at once.

    `x`, `dt` (B, T, E), `A` (N, E), `B`, `C` (B, T, N), `h` (B, N, E) before the first step. Gives y (B, T, E) and h
    after the last step. The states (B, T, N, E) are never stored: the backward pass computes them again.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, dt, B, C, h = (value.to(A.dtype) for value in (x, dt, B, C, h))
        return _SelectiveScan.apply(x, dt, A, B, C, h)  # type: ignore[return-value]


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        # The number of examples is open in an exported graph, where one chunk is all.
        is_open = torch.compiler.is_exporting()
        size = x.shape[1] if is_open else max(1, CHUNK_NUMBERS.get(x.device.type, 2**24) // h.numel())
        ctx.chunks = [slice(start, start + size) for start in range(0, x.shape[1], size)]
        y, starts = torch.empty_like(x), []
        for chunk in ctx.chunks:
            starts.append(h)
            decays, states = _enter(x[:, chunk], dt[:, chunk], A, B[:, chunk], h)
            states = scan_(decays, states)  # (B, t, N, E)
            y[:, chunk] = (C[:, chunk, None] @ states).squeeze(2)
            h = states[:, -1].clone()
        ctx.save_for_backward(x, dt, A, B, C, *starts)
        return y, h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dh: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        x, dt, A, B, C, *starts = ctx.saved_tensors
        dx, ddt, dA, dB, dC = (torch.zeros_like(value) for value in (x, dt, A, B, C))
        for t, start in zip(reversed(ctx.chunks), reversed(starts), strict=True):
            decays, states = _enter(x[:, t], dt[:, t], A, B[:, t], start)
            states = scan_(decays.clone(), states)
            # dL/dh_t = C_t dy_t + decay_{t+1} dL/dh_{t+1}: the same scan from the end.
            dstates = C[:, t, :, None] * dy[:, t, None]
            dstates[:, -1] += dh
            dstates = scan_(decays.roll(-1, dims=1), dstates, reverse=True)
            dh = decays[:, 0] * dstates[:, 0]
            dC[:, t] = (states @ dy[:, t, :, None]).squeeze(3)
            dB[:, t] = (dstates @ (dt[:, t] * x[:, t])[..., None]).squeeze(3)
            dinput = (B[:, t, None] @ dstates).squeeze(2)  # of dt x: (B, t, E)
            dexponents = decays.mul_(dstates)  # of dt A: decay_t dL/dh_t h_{t-1}
            dexponents[:, 1:] *= states[:, :-1]
            dexponents[:, 0] *= start
            dx[:, t] = dinput * dt[:, t]
            ddt[:, t] = dinput * x[:, t] + (dexponents * A).sum(dim=2)
            dA += (dexponents * dt[:, t, None]).sum(dim=(0, 1))
        return dx, ddt, dA, dB, dC, dh


def _enter(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """exp(dt A) and dt B x, (B, t, N, E) each; the first step's inputs include exp(dt A) h."""
    decays = torch.exp_(dt[:, :, None] * A)
    inputs = (dt * x)[:, :, None] * B[..., None]
    inputs[:, 0].addcmul_(decays[:, 0], h)
    return decays, inputs


class CausalDepthwiseConv(nn.Module):
    """Each channel by itself convolved over `kernel_size` steps, the last of them the present one."""

    def __init__(self, channels: int, kernel_size: int):
        super().__init__()
        self.memory = kernel_size - 1
        self.conv = nn.Conv1d(channels, channels, kernel_size, groups=channels)

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, E) and the kernel_size - 1 steps before it (zeros); gives (B, T, E) and those before the next."""
        x = F.pad(x, (0, 0, self.memory, 0)) if past is None else torch.cat([past, x], dim=1)
        y = self.conv(x.transpose(1, 2)).transpose(1, 2).contiguous()
        return y, x[:, x.shape[1] - self.memory :]


class Mixer(nn.Module):
    """in -> convolution -> selective scan -> gate -> out: what mixes the steps of a sequence (the paper's figure 3)."""

    def __init__(self, d_model: int, d_state: int, expand: int, d_conv: int):
        super().__init__()
        channels, rank = expand * d_model, math.ceil(d_model / 16)
        self.sizes = (rank, d_state, d_state)
        self.in_proj = nn.Linear(d_model, 2 * channels, bias=False)
        self.conv = CausalDepthwiseConv(channels, d_conv)
        self.x_proj = nn.Linear(channels, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(rank, channels)
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        self.dt_proj.bias = nn.Parameter(dt_bias(channels))
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat_interleave(channels))  # (N * E,)
        self.D = nn.Parameter(torch.ones(channels))
        self.out_proj = nn.Linear(channels, d_model, bias=False)

    def forward(self, x: Tensor, state: State = ()) -> tuple[Tensor, State]:
        past, h = state or (None, x.new_zeros(x.shape[0], self.sizes[1], len(self.D)))  # h (B, N, E)
        x, gate = self.in_proj(x).chunk(2, dim=2)  # (B, T, D) -> (B, T, E) each
        x, past = self.conv(x, past)
        x = F.silu(x)
        rank, B, C = self.x_proj(x).split(self.sizes, dim=2)  # (B, T, R), (B, T, N), (B, T, N)
        dt = F.softplus(self.dt_proj(rank))  # (B, T, E)
        A = -self.A_log.exp().view(self.sizes[1], -1)  # (N, E)
        y, h = selective_scan(x, dt, A, B, C, h)
        y = (y + self.D * x) * F.silu(gate)
        return self.out_proj(y), (past, h)  # (B, T, D)


def dt_bias(size: int) -> Tensor:
    """softplus of it is log-uniform in 0.001..0.1: a step forgets little at the start (the paper's section 3.6)."""
    dt = torch.exp(torch.empty(size).uniform_(math.log(0.001), math.log(0.1)))
    return dt + torch.log(-torch.expm1(-dt))


class ResidualStack(nn.Module):
    """Embedding -> x + dropout(mixer(norm(x))) of each mixer -> norm -> linear layer.

    A mixer maps (B, T, D) and its state to (B, T, D) and the state after it, two tensors.
    """

    accepts: tuple = ("tokens", "series")

    def __init__(
        self,
        embed: nn.Module,
        mixers: Iterable[nn.Module],
        d_model: int,
        dropout: float,
        pooling: Literal["last", "mean"],
        per_step: bool,
        out_features: int,
    ):
        super().__init__()
        self.per_step = per_step
        self.pooling: Literal["last", "mean"] = pooling
        self.embed = embed
        self.mixers = nn.ModuleList(mixers)
        self.norms = nn.ModuleList(nn.RMSNorm(d_model, eps=1e-5) for _ in self.mixers)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.RMSNorm(d_model, eps=1e-5)
        self.fc = nn.Linear(d_model, out_features)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        y, _ = self._mix(self.embed(x), None)  # (B, T, D)
        return self.fc(y if self.per_step else pool(y, lengths, self.pooling))  # (B, T, K) or (B, K)

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        y, state = self._mix(self.embed(x)[:, None], state)  # (B, 1, D)
        return self.fc(y[:, 0]), state

    def _mix(self, y: Tensor, state: State | None) -> tuple[Tensor, State]:
        after: State = ()
        for i, (norm, mixer) in enumerate(zip(self.norms, self.mixers, strict=True)):
            mixed, own = mixer(norm(y), state[2 * i : 2 * i + 2] if state else ())
            y, after = y + self.dropout(mixed), after + own
        return self.norm(y), after


class Mamba(ResidualStack):
    """Mamba, a selective state space model: `num_layers` mixers with a residual sum around each, and a linear layer.

    The state of `step` holds, of each layer, `d_conv` - 1 inputs and h.
    """

    def __init__(
        self, *, vocab_size: PositiveInt | None = None, in_features: PositiveInt | None = None,
        d_model: PositiveInt = 64, num_layers: PositiveInt = 2, d_state: PositiveInt = 16, expand: PositiveInt = 2,
        d_conv: PositiveInt = 4, dropout: ProperFraction = 0.0, pooling: Literal["last", "mean"] = "last",
        per_step: bool, causal: bool, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `vocab_size`: V, number of different tokens; None: the input is a series.
        - `in_features`: F, values of a series at each step; None: the input is tokens. One of the two is given.
        - `d_model`: D, features of the vector of a step.
        - `num_layers`: mixers.
        - `d_state`: N, numbers of the state of a channel.
        - `expand`: E / D, channels inside a mixer for each of the D features.
        - `d_conv`: steps that the convolution in a mixer multiplies.
        - `dropout`: share of values set to zero of what a mixer adds, in training.
        - `pooling`: what one answer is read from: the `last` valid step or the `mean` of all valid ones.
        - `per_step`: whether to answer at every step (B, T, K) or once (B, K).
        - `causal`: whether an answer may depend on no later step; this model is causal either way.
        - `out_features`: K, logits or values of an answer.

        **Raises:** `ValueError` unless exactly one of `vocab_size` and `in_features` is given.
        """
        embed = embedding(vocab_size, in_features, d_model)
        mixers = [Mixer(d_model, d_state, expand, d_conv) for _ in range(num_layers)]
        super().__init__(embed, mixers, d_model, dropout, pooling, per_step, out_features)
