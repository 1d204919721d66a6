"""What the models of sequences share: the first layer (of tokens or a series) and the answer (at every step or one).

All of them are called `model(x, lengths=None)`. `x` is tokens (B, T) int64 or a series (B, T, F); `lengths`
(B,) counts the valid steps of each row, `None`: all. The steps after them are padding, on which no answer at a valid
step depends. The answer is (B, T, K) with `per_step`, else (B, K). With `causal` the answer at a step depends on that
step and earlier ones alone; a model that is always causal takes the key too, so that all have the same keys.

`step(x, state=None)` takes one step, (B,) tokens or (B, F), and gives the logits (B, K) and the state that the next
step needs: a tuple of tensors whose sizes never change, so that every step costs the same.

Letters: B examples, T steps, F features of a series, D features of a vector inside, K outputs (`out_features`).
"""

from typing import Literal

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


class OneHot(nn.Module):
    """Tokens (B, T) as vectors (B, T, V) that hold a single 1."""

    rows: Tensor

    def __init__(self, vocab_size: int):
        super().__init__()
        self.register_buffer("rows", torch.eye(vocab_size), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.embedding(x, self.rows)


def vectors(vocab_size: int | None, in_features: int | None, embedding_size: int | None) -> tuple[nn.Module, int]:
    """The layer that makes vectors of the input, and their size: an embedding of tokens, one-hot if
    `embedding_size` is `None`; a series is vectors already.

    **Raises:** `ValueError` unless exactly one of `vocab_size` and `in_features` is given.
    """
    _check_one(vocab_size, in_features)
    if in_features is not None:
        return nn.Identity(), in_features
    assert vocab_size is not None
    if embedding_size is None:
        return OneHot(vocab_size), vocab_size
    return nn.Embedding(vocab_size, embedding_size), embedding_size


def embedding(vocab_size: int | None, in_features: int | None, d_model: int) -> nn.Module:
    """The layer from the input to vectors of `d_model`: an embedding of tokens, a linear map of a series.

    **Raises:** `ValueError` unless exactly one of `vocab_size` and `in_features` is given.
    """
    _check_one(vocab_size, in_features)
    if in_features is not None:
        return nn.Linear(in_features, d_model)
    assert vocab_size is not None
    return nn.Embedding(vocab_size, d_model)


def pool(x: Tensor, lengths: Tensor | None, pooling: Literal["last", "mean"] = "last") -> Tensor:
    """One vector a row (B, D) from the valid steps of `x` (B, T, D): the last of them, or their mean."""
    if lengths is None:
        return x[:, -1] if pooling == "last" else x.mean(dim=1)
    if pooling == "last":
        return x[torch.arange(x.shape[0], device=x.device), lengths - 1]
    return x.masked_fill(~is_valid(x, lengths)[:, :, None], 0).sum(dim=1) / lengths[:, None]


def is_valid(x: Tensor, lengths: Tensor) -> Tensor:
    """(B, T): which steps of `x` (B, T, ...) stand before the end of their row."""
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]


def _check_one(vocab_size: int | None, in_features: int | None) -> None:
    if (vocab_size is None) == (in_features is None):
        raise ValueError(
            "takes tokens or a series: exactly one of vocab_size and in_features is a number, "
            f"found vocab_size={vocab_size} and in_features={in_features}"
        )
