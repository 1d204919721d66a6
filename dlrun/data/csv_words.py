"""Texts of a CSV file: what kind of thing a column of them holds, and how a message shows them."""

import re
from dataclasses import dataclass

import numpy as np

_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2}.*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}.*|\d{1,2}:\d{2}(:\d{2}.*)?( ?[ap]m)?"
    rf"|([a-z]+,? )?\d{{1,2}}[- .]*{_MONTH}[- ,]*(\d{{2,4}}.*)?|([a-z]+,? )?{_MONTH} \d{{1,2}},? .*\d{{4}}.*",
    re.IGNORECASE,
)
# Signs of currencies, thousands and shares that hide a number from a program.
_DRESS = re.compile(r"[,'_\s$€£¥%]")


@dataclass
class Words:
    """A column of texts: row i holds `words[codes[i]]`, or nothing where the code is -1."""

    codes: np.ndarray
    words: list[str]

    def __post_init__(self):
        self.counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.words))

    def share(self, is_wanted: "np.ndarray | list[bool]") -> float:
        """The share of all values, those not known aside, whose word is wanted."""
        return float(self.counts[np.array(is_wanted, dtype=bool)].sum() / max(1, self.counts.sum()))

    def numbers(self) -> np.ndarray:
        """Each word as a number, nan if it is none."""
        return np.array([number(word) for word in self.words], dtype=np.float64)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """A value a word -> a value a row (N,), nan where nothing is known."""
        return np.append(values, np.nan)[self.codes]

    def first(self, is_wanted: np.ndarray) -> int:
        """The first row whose word is wanted."""
        return int(np.flatnonzero(np.append(is_wanted, False)[self.codes])[0])

    def are_dates(self) -> bool:
        return self.share([_DATE.fullmatch(word) is not None for word in self.words]) > 0.5

    def look_like_numbers(self) -> bool:
        """Whether most values are numbers, perhaps with signs such as `$1,200` or `45%` or decimal commas."""
        return self.share([not np.isnan(number(_DRESS.sub("", word))) for word in self.words]) > 0.5


def number(text: str) -> float:
    """A text as a number, nan if it is none."""
    try:
        # Python reads 1_000, which no other program writes.
        return float(text) if "_" not in text else float("nan")
    except ValueError:
        return float("nan")


def ordered(words: list[str]) -> list[str]:
    """Numbers by their value, texts by the alphabet."""
    values = [number(word) for word in words]
    return sorted(words) if np.isnan(values).any() else [word for _, word in sorted(zip(values, words, strict=True))]


def quoted(text: str) -> str:
    """A text of a file on one line of a message."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def few(words: list[str], most: int = 5) -> str:
    """The first of many words."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
