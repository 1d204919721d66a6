"""Numbers in rows and columns."""

import pytest

from dlrun.terminal.tensors import block


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        (3.0, ["3"]),
        (0.125, ["0.1250"]),
        ([1.0, 20.0], ["1  20"]),
        ([[1.0, -20.0], [300.0, 4.0]], ["  1  -20", "300    4"]),
        ([[0.5, -1e-9]], ["0.5000  0.0000"]),
        ([1.0, 1e12], ["1.000e+00  1.000e+12"]),
        ([1e-7, 0.0], ["1.000e-07  0.000e+00"]),
        ([[[1.0]], [[2.0]]], ["[0]", "1", "[1]", "2"]),
    ],
)
def test_all_numbers_of_a_block_have_one_form(values, lines):
    assert block(values) == lines


def test_rows_and_columns_have_names():
    found = block([[1.0, 2.0], [3.0, 4.0]], rows=("node 0", "node 1"), columns=("x", "label"))
    assert found == ["        x  label", "node 0  1      2", "node 1  3      4"]
    assert block([1.0, 2.0], columns=("a", "b")) == ["a  b", "1  2"]
    assert block([[1.0], [2.0]], rows=("a", "bc")) == ["a   1", "bc  2"]
