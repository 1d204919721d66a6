"""What an example gives: steps that can be read one after another, and a picture."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlrun.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PRODUCTS = 9  # that are written out


@dataclass(frozen=True)
class Step:
    """One step of a calculation.

    - `says`: what is done, in a sentence or two.
    - `formula`: how, or empty.
    - `values`: what comes out, of up to three dimensions; or rows of texts, such as shapes; or None.
    - `tables`, `rows`, `columns`: names along the three dimensions, or none.
    """

    says: str
    formula: str = ""
    values: Tensor | list[list[str]] | None = None
    tables: Sequence[str] = ()
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Lesson:
    """The steps of an example, in order, and its picture."""

    steps: list[Step]
    figure: "Figure"


def matrix(key: str, rows: Sequence[Sequence[float]]) -> Tensor:
    """The value of `key` as a tensor (R, C). **Raises:** `UserError` if it has no numbers, or its rows differ."""
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or 0 in lengths:
        found = " and ".join(map(str, sorted(lengths))) or "no rows"
        raise UserError(f"{key}: must be rows of the same length, such as [[1,2],[3,4]], found {found}")
    return torch.tensor(rows, dtype=torch.float32)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is drawn inside comes from `seed`; what is drawn outside is the same as without it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def text(value: float) -> str:
    """A number in a sentence: at most four digits, no zeros at its end."""
    return f"{value:.4g}"


def size(values: Tensor) -> str:
    """`3 x 1 x 2`."""
    return " x ".join(map(str, values.shape))


def sum_of_products(one: Tensor, other: Tensor) -> str:
    """`1*2 + 3*4` of two tensors of one shape, number by number; of many the first ones."""
    pairs = list(zip(one.flatten().tolist(), other.flatten().tolist(), strict=True))
    products = [f"{text(a)}*{text(b)}" for a, b in pairs[:MOST_PRODUCTS]]
    return " + ".join(products + ["..."] * (len(pairs) > MOST_PRODUCTS))
