"""The two parts of a Transformer that have no counterpart elsewhere: attention, and positions."""

import math
from typing import Annotated

import torch

from dlrun.config.schema import Range, Seed, says
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step, seeded, size
from dlrun.models.transformer import MultiHeadAttention, sinusoids
from dlrun.plots import attention as figures
from dlrun.plots import grids

SHOWN = 6  # positions that are printed
SPREAD = 3.0  # standard deviation of the inputs of attention


@says(chapter="Transformer")
def attention(
    *, num_steps: Annotated[int, Range(1, 8)] = 3, d_model: Annotated[int, Range(1, 12)] = 4,
    num_heads: Annotated[int, Range(1, 4)] = 2, causal: bool = False, seed: Seed = 0,
) -> Lesson:  # fmt: skip
    """Every step asks all steps: its query meets their keys, and it takes their values in those shares.

    **Arguments:**

    - `num_steps`: T, steps of the sequence.
    - `d_model`: D, numbers of a step.
    - `num_heads`: H, attentions side by side, each with D / H of the numbers.
    - `causal`: whether a step sees itself and earlier steps alone.
    - `seed`: of the random weights and inputs.
    """
    if d_model % num_heads:
        raise UserError(f"d_model: must be a multiple of num_heads, found {d_model} and {num_heads}")
    with seeded(seed):
        # Far apart, so that the shares differ.
        layer, x = MultiHeadAttention(d_model, num_heads), SPREAD * torch.randn(1, num_steps, d_model)
    with torch.no_grad():
        projected = {"Q": layer.wq(x)[0], "K": layer.wk(x)[0], "V": layer.wv(x)[0]}
        # (T, D) -> (H, T, D / H)
        q, k, v = (value.unflatten(1, (num_heads, -1)).transpose(0, 1) for value in projected.values())
        scores = q @ k.transpose(1, 2) / math.sqrt(d_model // num_heads)
        shares = layer.shares(x, None, causal)[0]
        taken = shares @ v
        output = layer(x, None, causal)[0][0]
    heads = [f"head {head}" for head in range(1, num_heads + 1)]
    times = [f"step {t}" for t in range(1, num_steps + 1)]
    later = " Later steps get a share of 0: their scores count as minus infinity." if causal else ""
    each = f"each head has {d_model // num_heads} of the {d_model} numbers"
    steps = [
        Step(f"The sequence x, {num_steps} steps of {d_model} numbers.", values=x[0], rows=times),
        *(
            Step(
                f"{name}: {what} of the steps, by a linear layer.",
                f"{name} = x W_{name}^T + b_{name}",
                value,
                rows=times,
            )
            for (name, value), what in zip(projected.items(), ("queries", "keys", "values"), strict=True)
        ),
        Step(
            f"Scores, head by head ({each}): query of the row times key of the column.",
            f"Q K^T / sqrt({d_model // num_heads})",
            scores,
            tables=heads,
            rows=times,
            columns=times,
        ),
        Step(
            f"Shares, head by head: how much a row takes from each column; a row adds up to 1.{later}",
            "softmax of each row",
            shares,
            tables=heads,
            rows=times,
            columns=times,
        ),
        Step("What each head takes: the values, in these shares.", "shares V", taken, tables=heads, rows=times),
        Step(
            f"The heads side by side, and a linear layer over them: {size(output)}, as large as x.",
            "[head 1, head 2, ...] W_out^T + b_out",
            output,
            rows=times,
        ),
    ]
    numbers = [str(t) for t in range(1, num_steps + 1)]
    panels = [grids.Grid(head, share, rows=numbers, columns=numbers) for head, share in zip(heads, shares, strict=True)]
    return Lesson(steps, grids.grids(panels, "How much a step (row) takes from each step (column)"))


@says(chapter="Transformer")
def positional_encoding(
    *, num_steps: Annotated[int, Range(2, 256)] = 32, d_model: Annotated[int, Range(2, 64)] = 8
) -> Lesson:
    """Attention does not see order: each position gets numbers of its own, sines and cosines of many wavelengths.

    **Arguments:**

    - `num_steps`: T, positions.
    - `d_model`: D, numbers of a position; even.
    """
    if d_model % 2:
        raise UserError(f"d_model: must be even, a sine and a cosine of each wavelength, found {d_model}")
    encoding = sinusoids(torch.arange(num_steps), d_model)
    shown = encoding[:SHOWN]
    rates = 10000 ** (-torch.arange(0, d_model, 2) / d_model)
    positions = [f"position {t}" for t in range(len(shown))]
    pairs = [f"2i = {2 * i}" for i in range(d_model // 2)]
    steps = [
        Step(
            "Each pair of numbers turns at a rate of its own; its wavelength is the number of positions of one turn.",
            "rate = 1 / 10000^(2i / D),  wavelength = 2 pi / rate",
            torch.stack([rates, 2 * math.pi / rates]),
            rows=("rate", "wavelength"),
            columns=pairs,
        ),
        Step(
            f"The first {len(shown)} positions; these numbers are added to the vectors of the steps.",
            "PE[t, 2i] = sin(t rate),  PE[t, 2i + 1] = cos(t rate)",
            shown,
            rows=positions,
        ),
        Step(
            "The product of two positions depends on how far apart they are, not on where they are: along each "
            "diagonal it is the same.",
            "PE[s] . PE[t] = sum over i of cos((s - t) rate)",
            shown @ shown.T,
            rows=positions,
            columns=positions,
        ),
    ]
    return Lesson(steps, figures.positions(encoding))
