"""What a field of a table says: a number, a name; and how a message writes it."""

import re


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
    is_text = any(value != value for value in values)
    return sorted(words) if is_text else [word for _, word in sorted(zip(values, words, strict=True))]


def quoted(text: str) -> str:
    """A text of a file on one line of a message."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def in_brackets(name: str) -> str | None:
    """A name as it stands in a list on the command line, in Hydra's quotes where it needs some; None: it cannot."""
    if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name.lower() not in ("true", "false", "null", "nan", "inf"):
        return name
    return f'"{name}"' if name.isprintable() and not set(name) & set("\"'\\$") else None
