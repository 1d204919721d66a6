"""How a CSV file is laid out: what stands above its table, its separator, its quotes, its header.

Each is found out from a sample unless it is given; what is no part of a table is left out or refused by name.
"""

import itertools
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from dlrun.config.schema import few
from dlrun.data.reading import records
from dlrun.data.tables.values import number, quoted
from dlrun.errors import UserError

# In the order of preference: a comma is the one that is often part of a text or a number.
SEPARATORS = {"\t": "tab", ";": "';'", "|": "'|'", ",": "','"}
SAMPLE_BYTES = 256 * 1024  # from which the layout is found out
_EXCEL = re.compile(rb'"?sep=([^\r\n])"?[ \t]*(\r\n|\n|\r|$)', re.IGNORECASE)
_OTHER_QUOTES = "“”„«»‘’‚`´"
_YEARS = range(1900, 2101)
_FEW_ROWS = 5  # fewer say nothing of how far the numbers of a column reach


@dataclass(frozen=True)
class Layout:
    """Where the records of a table begin and how they are cut.

    **Fields:**

    - `names`: of the columns, from the header or `column_0`, `column_1`, ...; `width`: the fields of the first row,
      with those at its end that are empty in every row.
    - `start`, `line`: the byte and the line, counted from 1, not below which the first record starts.
    - `remarks`: what a person should know of what was found out.
    """

    separator: str
    quote: str
    has_header: bool
    names: list[str]
    width: int
    start: int
    line: int
    remarks: list[str] = field(default_factory=list)


def find_layout(
    path: Path,
    content: bytes,
    *,
    separator: str | None = None,
    prefer: str | None = None,
    header: bool | None = None,
    na_values: Collection[str] = (),
    least: int = 2,
) -> Layout:
    """The layout of a file; `prefer` is a separator that wins if it cuts the file at all, `least` columns there are.

    **Raises:** `UserError` for a file that is empty, has too few columns, or holds more than one table.
    """
    head = content[: content.find(b"\n", SAMPLE_BYTES) + 1 or len(content)]
    remarks = []
    skipped = 0  # lines
    if excel := _EXCEL.match(head):
        said, skipped = excel[1].decode(errors="replace"), 1
        separator = separator or said
        remarks.append(f"row 1 says that the separator is {shown(said)}")
    body, above = _without_comments(head, skipped)
    first_line = skipped + len(above) + 1
    separator = separator or _separator(path, body, prefer)
    quote = _quote(path, body, separator, first_line)
    sample = list(records(path, body, separator, first_line, quote))
    if not sample:
        raise UserError(f"{path}: is empty")
    line, end, first = sample[0]
    others = [fields for _, _, fields in sample[1:]]
    _check_title(path, line, first, others)
    width = used = len(first)
    while used > least and not any(len(fields) >= used and fields[used - 1].strip() for fields in [first, *others]):
        used -= 1
    if used < least:
        raise UserError(f"{path}: row {line}: {_one_column(first, separator)}")
    names, is_doubtful = first[:used], False
    has_header = header
    if header is None:
        has_header, is_doubtful = _has_header(names, others, na_values)
    comment = _as_header(path, above, separator, quote, used)
    if comment and header is not False and (not has_header or not _has_header(names, others, na_values)[0]):
        # The header is itself a comment, as numpy writes it, or its first name is a #.
        names, has_header, end, is_doubtful = comment, True, first_line - 1, False
    elif has_header:
        _check_units(path, sample[1:], used)
    if above and comment is not names:
        rows = "row 1 is a comment" if len(above) == 1 else f"rows 1 to {len(above)} are comments"
        remarks.append(f"{rows}: left out" if not skipped else "comments above the table: left out")
    if is_doubtful:
        taken, other = (
            ("the names", "false reads it as values") if has_header else ("values", "true takes it for names")
        )
        remarks.append(f"row {line} is taken for {taken} of the columns; data.header={other}")
    names = [name.strip() if has_header and name.strip() else f"column_{i}" for i, name in enumerate(names)]
    lines = end if has_header else first_line - 1
    start = sum(map(len, head.splitlines(keepends=True)[:lines]))
    return Layout(separator, quote, bool(has_header), names, width, start, lines + 1, remarks)


def shown(separator: str) -> str:
    """A separator as a message writes it."""
    return SEPARATORS.get(separator, repr(separator))


def _without_comments(head: bytes, skipped: int) -> tuple[bytes, list[bytes]]:
    """(The rest of a file behind its first lines that are blank or begin with #, these lines); all may do so."""
    lines = head.splitlines(keepends=True)[skipped:]
    above = 0
    while above < len(lines) and (not lines[above].strip() or lines[above].lstrip().startswith(b"#")):
        above += 1
    if above == len(lines) or not any(text.strip() for text in lines[:above]):
        above = 0
    return b"".join(lines[above:]), lines[:above]


def _as_header(path: Path, above: list[bytes], separator: str, quote: str, used: int) -> list[str] | None:
    """The fields of the last comment above the table, if there are as many as columns."""
    text = above[-1].strip() if above else b""
    for _, _, fields in records(path, text, separator, quote=quote):
        if len(fields) == used:
            return [fields[0].lstrip("# ") or "#", *fields[1:]]
    return None


def _separator(path: Path, sample: bytes, prefer: str | None) -> str:
    """The separator that cuts the most rows into as many fields as the first one, and that into at least two.

    Where none cuts the first row, a title perhaps, the one that cuts the rows below.
    """
    shares: dict[str, float] = {}
    below: dict[str, int] = {}
    for separator in list(SEPARATORS) if prefer is None else [prefer, *SEPARATORS]:
        try:
            counts = [len(fields) for _, _, fields in records(path, sample, separator)]
        except UserError:
            continue  # a field that long has not been cut by its separator
        if counts and counts[0] > 1:
            if separator == prefer:
                return separator
            shares[separator] = counts.count(counts[0]) / len(counts)
        else:
            below[separator] = sum(count > 1 for count in counts)
    if shares:
        return max(shares, key=lambda separator: shares[separator])
    most = max(below, key=lambda separator: below[separator], default=",")
    return most if below.get(most) else prefer or ","


def _quote(path: Path, sample: bytes, separator: str, line: int) -> str:
    """What quotes fields: " unless more stand in '. **Raises:** `UserError` for quotes that only people read."""
    rows = [row for row in sample.decode(errors="replace").splitlines() if row.strip()]
    fields = [text.strip() for row in rows for text in row.split(separator)]

    def count(mark: str) -> int:
        return sum(len(text) > 1 and text[0] == mark and text[-1] in _closing(mark) for text in fields)

    marks = {mark: count(mark) for mark in "\"'" + _OTHER_QUOTES}
    most = max(marks, key=lambda mark: marks[mark])
    if marks[most] * 2 <= len(rows) or separator in ("'", most):
        return '"'
    if most in _OTHER_QUOTES:
        raise UserError(f'{path}: row {line}: fields stand in {most} {_closing(most)[0]}; quote them by " instead')
    return most


def _closing(mark: str) -> str:
    return {"“": "”“", "„": "“”", "«": "»", "»": "«", "‘": "’‘", "‚": "‘’", "`": "`´'", "´": "´`"}.get(mark, mark)


def _one_column(first: list[str], separator: str) -> str:
    text = first[0].strip()
    if any(mark in text for mark in SEPARATORS):
        return f"one column only with separator {shown(separator)}: the row is quoted as a whole; take its quotes away"
    blank = "; columns apart by blanks: \"data.separator=' '\"" if " " in text else ""
    return (
        f"one column only with separator {shown(separator)}; a target and at least one feature are needed, or "
        f"data.separator{blank}"
    )


def _check_title(path: Path, line: int, first: list[str], others: list[list[str]]) -> None:
    """**Raises:** `UserError` for a first row that holds one text above rows of more fields."""
    texts = [text.strip() for text in first if text.strip()]
    filled = sorted(sum(bool(text.strip()) for text in fields) for fields in others)
    usual = filled[len(filled) // 2] if filled else 0
    if len(texts) == 1 and len(first) != 2 and usual >= max(2, len(first) / 2):
        raise UserError(
            f"{path}: row {line}: {quoted(texts[0])} stands alone above rows of {usual} fields; if it is a title, "
            "delete the row or begin it with #"
        )


def _check_units(path: Path, below: list[tuple[int, int, list[str]]], used: int) -> None:
    """**Raises:** `UserError` for a row below the header that has a text wherever the other rows have numbers."""
    if len(below) < 3:
        return
    line, _, units = below[0]
    if len(units) != used:
        return
    columns = [[fields[k].strip() for _, _, fields in below[1:] if k < len(fields)] for k in range(used)]
    numeric = [k for k, column in enumerate(columns) if _are_numbers([text for text in column if text])]
    found = [units[k].strip() for k in numeric]
    are_texts = [text for text in found if text and _is_no_number(text)]
    if len(are_texts) > 1 and len(are_texts) == len([text for text in found if text]):
        raise UserError(
            f"{path}: row {line}: holds texts ({few([quoted(text) for text in are_texts], 3)}) where all rows below "
            "hold numbers; if they are units or a second header, delete the row"
        )


def _are_numbers(texts: list[str]) -> bool:
    return bool(texts) and not any(_is_no_number(text) for text in texts)


def _is_no_number(text: str) -> bool:
    return number(text) != number(text)


def _has_header(first: list[str], others: list[list[str]], na_values: Collection[str]) -> tuple[bool, bool]:
    """(Whether the first row holds names: it differs in kind from the rows below; whether that is in doubt).

    Each column has a vote: for names a text above numbers, or one that does not return in a column of few texts; for
    values a number above such, or a text that returns. A year, or a number far from all below it, can be a name.
    """
    first = [text.strip() for text in first]
    if len(first) > 2 and first == [str(column) for column in range(len(first))]:
        return True, False  # as pandas counts columns
    if not others:
        return not any(not _is_no_number(text) for text in first), False
    numbers = [number(text) for text in first]
    votes = []
    for k, text in enumerate(first):
        below = [fields[k].strip() for fields in others if k < len(fields)]
        known = [value for value in below if value and value not in na_values]
        votes.append(_vote(text, known) if text and text not in na_values and known else 0)
    is_number = [value == value for value in numbers]
    if all(is_number):
        # Only steps of one size, all strange to their columns: years, wave lengths.
        steps = {round(after - before, 6) for before, after in itertools.pairwise(numbers)}
        return len(first) > 2 and min(votes) > 0 and len(steps) == 1 and min(steps) > 0, min(votes) > 0
    total = sum(votes)
    found = total > 0 or (total == 0 and not any(is_number))
    return found, min(votes) < 0 < max(votes) or (found and any(is_number))


def _vote(text: str, below: list[str]) -> int:
    """For (1) or against (-1) a text being the name of the column that holds the texts `below` it."""
    values = [value for value in map(number, below) if value == value]
    own = number(text)
    if len(values) * 2 <= len(below):
        if text in below:
            return -1
        is_of_few = len(set(below)) * 2 <= len(below) or len(below) < _FEW_ROWS
        return int(is_of_few) if own != own else int(not values and len(below) >= _FEW_ROWS)
    if own != own:
        return 1
    if own.is_integer():
        if own in _YEARS and sum(value in _YEARS for value in values) * 2 < len(values):
            return 1
        low, high = min(values), max(values)
        if len(values) >= _FEW_ROWS and not low - 3 * (high - low) <= own <= high + 3 * (high - low):
            return 1
        if not all(value.is_integer() for value in values):
            return 0
    return -1
