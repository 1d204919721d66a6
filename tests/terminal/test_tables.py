"""Tables: nothing is cut off in a pipe, and nothing is taken for markup."""

import io
import sys

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from dlrun.terminal import tables

CELL = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=60)


@given(st.lists(st.tuples(CELL, CELL), max_size=4))
def test_a_row_is_one_line_with_every_cell_whole(rows):
    lines = tables.plain("title", ("left", "right"), rows, right=("right",)).split("\n")
    assert len(lines) == 2 + len(rows)
    for line, (left, right) in zip(lines[2:], rows, strict=True):
        assert left.rstrip() in line
        assert line.endswith(right.rstrip())


def test_columns_are_aligned_also_with_wide_characters():
    lines = tables.plain("title", ("name", "n"), [("数字", "1"), ("digits", "12")], right=("n",)).splitlines()
    assert [cell_len(line) for line in lines[1:]] == [10, 10, 10]
    assert lines[1:] == ["name     n", "数字     1", "digits  12"]


def test_brackets_are_text_and_not_markup(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", "60")
    tables.print_table("[bold]title", ["val/accuracy", "why"], [["0.5", "[red] x [/tmp/a]"]], right=["val/accuracy"])
    assert "[red] x [/tmp/a]" in out.getvalue()
    assert "[bold]title" in out.getvalue()
