"""Tensors in tuples, lists and dicts, as targets and outputs come: mapped, gathered from batches, picked by index.

A tensor (N, ...) and a list of N items hold one entry an example; a tuple or a dict holds several of these.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Nested: TypeAlias = Any  # Tensor, or tuple, list or dict of Nested


def mapped(value: Nested, change: Callable[[Tensor], Tensor]) -> Nested:
    """`value` with `change` made to every tensor in it."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(mapped(inner, change) for inner in value)
    return value


def gathered(chunks: Sequence[Nested]) -> Nested:
    """The entries of all batches, one after another. **Raises:** `TypeError` for what has no entry an example."""
    first = chunks[0]
    if isinstance(first, Tensor):
        return torch.cat(list(chunks))
    if isinstance(first, list):
        return [item for chunk in chunks for item in chunk]
    if isinstance(first, tuple):
        return tuple(gathered(column) for column in zip(*chunks, strict=True))
    if isinstance(first, dict):
        return {key: gathered([chunk[key] for chunk in chunks]) for key in first}
    raise TypeError(f"an output is a tensor, or a tuple, list or dict of tensors, not {type(first).__name__}")


def picked(value: Nested, index: Tensor) -> Nested:
    """The entries `index` (M,) of the examples, in that order."""
    if isinstance(value, Tensor):
        return value[index]
    if isinstance(value, list):
        return [value[position] for position in index.tolist()]
    if isinstance(value, tuple):
        return tuple(picked(inner, index) for inner in value)
    return {key: picked(inner, index) for key, inner in value.items()}


def on_host(value: Nested) -> Nested:
    """`value` on the CPU, floating-point tensors as float32."""
    return mapped(value, lambda tensor: (tensor.float() if tensor.is_floating_point() else tensor).cpu())
