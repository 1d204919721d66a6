"""Text as numbers: one token a character."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from dlrun.config.schema import few
from dlrun.config.spec import PAD, UNKNOWN
from dlrun.data.notes import say
from dlrun.errors import UserError

CODE_POINTS = 0x110000  # of Unicode
MOST_SHOWN = 5  # in a message
# Letters and marks that Unicode does not decompose into an ASCII one and an accent.
PLAIN = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "þ": "th", "Þ": "Th",
        "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "ħ": "h", "Ħ": "H",
        "ı": "i", "ŋ": "n", "Ŋ": "N", "‘": "'", "’": "'", "ʼ": "'", "‐": "-", "–": "-", "—": "-",
    }
)  # fmt: skip


def vocabulary_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Padding, the unknown character, then every character of `texts`, sorted by code point."""
    return (PAD, UNKNOWN, *sorted(set[str]().union(*texts)))


def encode(texts: Sequence[str], vocabulary: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Tokens (N, T) int64, padded with 0 behind each text, and lengths (N,) int64; T is the longest length.

    A character that is not in `vocabulary` becomes `<unk>`.

    **Raises:** `UserError` for an empty text, or for an unknown character if `vocabulary` has no `<unk>`.
    """
    if "" in texts:
        raise UserError(f"text {texts.index('') + 1} of {len(texts)} is empty; it needs at least one character")
    lengths = torch.tensor([len(text) for text in texts], dtype=torch.int64)
    tokens = torch.zeros(len(texts), max(map(len, texts), default=0), dtype=torch.int64)
    tokens[torch.arange(tokens.shape[1]) < lengths.unsqueeze(1)] = _ids("".join(texts), vocabulary)
    return tokens, lengths


def say_unknown(data: str, texts: Mapping[str, Iterable[str]], vocabulary: Sequence[str]) -> None:
    """One line of the data set `data` on the characters in `texts`, by where these are, that `vocabulary` has not."""
    unknown = {where: sorted(set[str]().union(*own) - set(vocabulary)) for where, own in texts.items()}
    said = [f"in {where} {few(map(repr, own), MOST_SHOWN)}" for where, own in unknown.items() if own]
    if said:
        say(data, f"characters that training never had, each read as {UNKNOWN}: {'; '.join(said)}")


def decode(ids: Iterable[int], vocabulary: Sequence[str]) -> str:
    """The text of the tokens `ids` (T,), without their padding."""
    return "".join(vocabulary[int(number)] for number in ids if vocabulary[int(number)] != PAD)


def fold(text: str) -> str:
    """`text` in ASCII: letters without their accents, `ß` as ss, `ł` as l; what has no such form is left out."""
    decomposed = unicodedata.normalize("NFKD", text).translate(PLAIN)
    return decomposed.encode("ascii", errors="ignore").decode()


def _ids(text: str, vocabulary: Sequence[str]) -> Tensor:
    index = {character: number for number, character in enumerate(vocabulary)}
    table = np.full(CODE_POINTS, index.get(UNKNOWN, -1))
    for character, number in index.items():
        if character not in (PAD, UNKNOWN):
            table[ord(character)] = number
    # A command line in a broken encoding gives lone surrogates: characters like any other here.
    ids = table[np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4")]
    if (ids < 0).any():
        raise UserError(f"{text[(ids < 0).argmax()]!r} is none of the characters {' '.join(vocabulary)}")
    return torch.from_numpy(ids)
