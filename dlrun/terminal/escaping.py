"""What is printed can be printed: names, errors and paths may come from a stranger's file."""

import os
import re
import shlex

# Control characters, but for the end of a line and the tabulator; marks that turn the direction of writing or are not
# seen at all; halves of characters. A terminal would obey them.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""`text` with what does not print written out: `\x1b[31m`."""
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def in_one_line(text: str) -> str:
    r"""The same, also with the ends of lines and the tabulators written out."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def quoted(path: str | os.PathLike[str]) -> str:
    r"""`path` as a word of a shell, to be pasted: `'my run'`, `$'red\x1b[31m'`."""
    text = os.fspath(path)
    if in_one_line(text) == text:
        return shlex.quote(text)
    letters = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    return f"$'{_UNSEEN.sub(lambda found: _bytes(found[0]), letters)}'"


def without_password(text: str) -> str:
    """`text` with the addresses in it, but for who may use them: `http://host` of `http://me:secret@host`."""
    return re.sub(r"(?<=//)[^/@\s]*@", "", text)


def _bytes(letter: str) -> str:
    """As a shell writes them, whatever its encoding is."""
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))
