"""Tensors in tuples, lists and dicts, as targets and outputs come: mapped, gathered from batches, picked by index.

A tensor (N, ...) and a list of N items hold one entry an example; a tuple or a dict holds several of these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

Nested: TypeAlias = Any  # Tensor or None, or tuple, named tuple, list or dict of Nested


@dataclass(frozen=True)
class Packed:
    """A list of tensors (n, ...) as one, `sizes` rows for each: it crosses to a process or a device in one piece."""

    rows: Tensor
    sizes: list[int]


def mapped(value: Nested, change: Callable[[Tensor], Tensor]) -> Nested:
    """`value` with `change` made to every tensor in it."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Packed):
        return Packed(change(value.rows), value.sizes)
    if isinstance(value, dict):
        return {key: mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [mapped(inner, change) for inner in value]
    if isinstance(value, tuple):
        return like(value, [mapped(inner, change) for inner in value])
    return value


def packed(value: Nested) -> Nested:
    """`value` with each list of tensors that differ in their first size alone as one tensor."""
    if isinstance(value, tuple):
        return like(value, [packed(inner) for inner in value])
    if not isinstance(value, list) or not all(isinstance(item, Tensor) and item.ndim for item in value):
        return value
    is_even = len({(item.shape[1:], item.dtype) for item in value}) == 1
    return Packed(torch.cat(value), [len(item) for item in value]) if is_even else value


def unpacked(value: Nested) -> Nested:
    """The inverse of `packed`."""
    if isinstance(value, Packed):
        return list(value.rows.split(value.sizes))
    return like(value, [unpacked(inner) for inner in value]) if isinstance(value, tuple) else value


def like(value: tuple[Any, ...], items: Sequence[Any]) -> tuple[Any, ...]:
    """A tuple of `items`; if `value` has named fields, one of its kind."""
    return tuple(items) if type(value) is tuple else type(value)(*items)


def gathered(chunks: Sequence[Nested]) -> Nested:
    """The entries of all batches, one after another. **Raises:** `TypeError` for what has no entry an example."""
    first = chunks[0]
    if isinstance(first, Tensor):
        return torch.cat(list(chunks))
    if isinstance(first, list):
        return [item for chunk in chunks for item in chunk]
    if isinstance(first, tuple):
        columns = zip(*chunks, strict=True)
        return like(first, [None if column[0] is None else gathered(column) for column in columns])
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
        return like(value, [picked(inner, index) for inner in value])
    if value is None:
        return None
    return {key: picked(inner, index) for key, inner in value.items()}


def on_host(value: Nested) -> Nested:
    """`value` on the CPU, floating-point tensors as float32."""
    return mapped(value, lambda tensor: (tensor.float() if tensor.is_floating_point() else tensor).cpu())
