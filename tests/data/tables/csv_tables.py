"""CSV data sets from a line of a test."""

import pathlib

import pytest

from dlrun.data.tables.csv_file import CSVFile
from dlrun.errors import UserError


def from_text(folder: pathlib.Path, text: str | bytes, **options) -> CSVFile:
    """The data set of a file with that text; all rows to train on."""
    file = folder / "table.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return CSVFile(path=str(file), **{"val_fraction": 0.0, "test_fraction": 0.0} | options)


def rows_of(data: CSVFile, part: str = "train") -> list[list[float]]:
    return data.load()[part].inputs[0].tolist()


def refusal(data: CSVFile) -> str:
    with pytest.raises(UserError) as caught:
        data.load()
    assert all(len(line) <= 300 for line in str(caught.value).splitlines())
    return str(caught.value)


def lines(*columns: list, header: str = "") -> str:
    rows = "".join(",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))
    return f"{header}\n{rows}" if header else rows
