"""Numbers in rows and columns, and tables of them one below the other."""

from collections.abc import Iterator, Sequence
from typing import Any

from dlrun.terminal.tables import plain

WHOLE_BELOW = 1e9
FIXED_FROM, FIXED_BELOW = 1e-3, 1e5  # where the largest number is of another size, all are written as powers of ten


def block(values: Any, tables: Sequence[str] = (), rows: Sequence[str] = (), columns: Sequence[str] = ()) -> list[str]:
    """The lines of a number, or of nested lists of numbers of up to three levels, all in the same form.

    `rows` and `columns` name what stands in the last two levels. Of three levels each table stands below its name of
    `tables`, or its number.
    """
    form = _form(list(_flat(values)))
    if not isinstance(values, list):
        return [format(values, form)]
    if not isinstance(values[0], list):
        return _table([values], form, (), columns)
    if not isinstance(values[0][0], list):
        return _table(values, form, rows, columns)
    names = tables or [f"[{k}]" for k in range(len(values))]
    pairs = zip(names, values, strict=True)
    return [line for name, table in pairs for line in (name, *_table(table, form, rows, columns))]


def _table(values: list[list[float]], form: str, rows: Sequence[str], columns: Sequence[str]) -> list[str]:
    head = list(columns) or [""] * len(values[0])
    cells = [[format(value, form) for value in row] for row in values]
    if rows:
        head, cells = [" ", *head], [[name, *row] for name, row in zip(rows, cells, strict=True)]
    lines = plain("", head, cells, right=set(head) - {" "}).splitlines()
    return lines if columns else lines[1:]


def _flat(values: Any) -> Iterator[float]:
    if isinstance(values, list):
        for value in values:
            yield from _flat(value)
    else:
        yield float(values)


def _form(numbers: list[float]) -> str:
    """How all of `numbers` are written: whole ones without a point, others with four decimals; no zero below 0."""
    largest = max(map(abs, numbers), default=0.0)
    if all(number.is_integer() for number in numbers) and largest < WHOLE_BELOW:
        return "z.0f"
    return "z.4f" if FIXED_FROM <= largest < FIXED_BELOW else "z.3e"
