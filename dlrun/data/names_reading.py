"""Files of names: a CSV table of name and country, or a list with one name a line."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from dlrun.data.text_file import read_utf8
from dlrun.errors import UserError


class Row(NamedTuple):
    """One name, its country, and where it stands (file and row), for an error about it."""

    name: str
    country: str
    place: str


def read_table(path: Path) -> list[Row]:
    """The rows of a CSV file without header, packed by gzip or not.

    **Raises:** `UserError` with file and row for what is not one name and one country.
    """
    found = []
    reader = csv.reader(io.StringIO(read_utf8(path).decode(), newline=""), strict=True)
    try:
        for cells in reader:
            place = f"{path}: row {reader.line_num}"
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                raise UserError(f"{place}: is empty; delete the line")
            if len(cells) != 2 or not all(cells):
                raise UserError(f"{place}: must be a name and a country, found {','.join(cells)[:40]!r}")
            found.append(Row(cells[0], cells[1], place))
    except csv.Error as error:
        raise UserError(f"{path}: row {reader.line_num}: is no row of a CSV file ({error})") from error
    return _not_empty(found, path)


def read_list(path: Path) -> list[Row]:
    """The names of a text file, one a line; the name of the file is their country.

    **Raises:** `UserError` with file and row for an empty line.
    """
    found = []
    for number, line in enumerate(read_utf8(path).decode().removesuffix("\n").split("\n"), start=1):
        place = f"{path}: row {number}"
        if not line.strip():
            raise UserError(f"{place}: is empty; delete the line")
        found.append(Row(line.strip(), path.stem, place))
    return _not_empty(found, path)


def _not_empty(rows: list[Row], path: Path) -> list[Row]:
    if not rows:
        raise UserError(f"{path}: holds no name")
    return rows
