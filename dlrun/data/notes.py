"""What a data set tells a person beside its parts."""

import sys


def say(name: str, text: str) -> None:
    """One line on stderr about the data set `name`."""
    print(f"dlrun: note: data={name}: {text}", file=sys.stderr)
