"""Any text, character by character: at each the next is to be learned."""

from pathlib import Path

import torch
from torch import Tensor

from dlrun.config.places import data_root
from dlrun.config.schema import FilePath, PositiveInt, ProperFraction
from dlrun.config.spec import NOT_COUNTED, DataSpec
from dlrun.data.read_once import ReadOnce
from dlrun.data.reading import read_utf8
from dlrun.data.sequences import characters
from dlrun.data.splits import lines_of
from dlrun.engine.contracts import Part
from dlrun.engine.parts import TensorPart
from dlrun.errors import UserError

SHIPPED = Path(__file__).with_name("story.txt")


class Text(ReadOnce):
    """A text cut into windows of `seq_len` characters: at each character, which comes next.

    `path` is a file in UTF-8, packed by gzip or not; it is looked for as given, then below `<root>`. Without it a short
    story that was written for dlrun is read. The end of the text is the test part, the piece before it the val part;
    the vocabulary is that of the train part. Tokens (N, seq_len); the target (N, seq_len) is -100 where the last
    window of a part overlaps the one before it: every character of a part but its first is asked for exactly once.

    **Raises:** `UserError` for a file that is not there or not UTF-8, or if a part is too short for one window.
    """

    kind: str = "tokens"
    target: str = "next_token"
    source: str = "ships"

    def __init__(
        self, *, path: FilePath | None = None, root: FilePath | None = None, seq_len: PositiveInt = 64,
        val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.1,
    ):  # fmt: skip
        """**Arguments:**

        - `path`: a text file; None: the story.
        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `seq_len`: the length of a window, in characters.
        - `val_fraction`, `test_fraction`: the shares of the characters that become the val and the test part.
        """
        if val_fraction + test_fraction >= 1:
            raise ValueError(
                f"val_fraction {val_fraction:g} and test_fraction {test_fraction:g} leave nothing to train on; "
                "their sum must be below 1"
            )
        self.path = _find(path, root)
        self.seq_len, self.val_fraction, self.test_fraction = seq_len, val_fraction, test_fraction

    def encode(self, words: list[str], spec: DataSpec) -> tuple[Tensor, Tensor]:
        """Tokens (N, T) and lengths (N,) of `words`; a character that is not known becomes `<unk>`.

        **Raises:** `UserError` for an empty text: which one.
        """
        characters.say_unknown("text", {"the inputs": words}, spec.vocabulary or ())
        return characters.encode(words, spec.vocabulary or ())

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        # The parts lie one behind another: a chapter more would move what is tested into what was trained on.
        (content,), _ = lines_of(self, "text", [read_utf8(self.path)])
        pieces = self._cut(content.decode())
        vocabulary = characters.vocabulary_of([pieces["train"]])
        characters.say_unknown("text", {part: [piece] for part, piece in pieces.items()}, vocabulary)
        spec = DataSpec(
            kind="tokens", target="next_token", vocab_size=len(vocabulary), seq_len=self.seq_len, per_step=True,
            causal=True, out_features=len(vocabulary), vocabulary=vocabulary,
        )  # fmt: skip
        return spec, {
            part: self._windows(characters.encode([piece], vocabulary)[0][0]) for part, piece in pieces.items()
        }

    def _cut(self, text: str) -> dict[str, str]:
        """The pieces of `text` by position, in order."""
        test = len(text) - round(len(text) * self.test_fraction)
        val = test - round(len(text) * self.val_fraction)
        pieces = {"train": text[:val], "val": text[val:test], "test": text[test:]}
        fractions = {"train": 1.0, "val": self.val_fraction, "test": self.test_fraction}
        pieces = {part: piece for part, piece in pieces.items() if fractions[part] > 0}
        for part, piece in pieces.items():
            if len(piece) <= self.seq_len:
                raise UserError(
                    f"{self.path}: the {part} part has {len(piece)} of {len(text)} characters, and a window takes "
                    f"{self.seq_len + 1}; lower data.seq_len, or change data.val_fraction and data.test_fraction"
                )
        return pieces

    def _windows(self, tokens: Tensor) -> TensorPart:
        """The windows of one part with `tokens` (L,)."""
        starts = torch.arange(0, len(tokens) - 1, self.seq_len)
        overlap = int(starts[-1]) + self.seq_len - (len(tokens) - 1)
        starts[-1] -= overlap
        index = starts.unsqueeze(1) + torch.arange(self.seq_len)
        target = tokens[index + 1]
        target[-1, :overlap] = NOT_COUNTED
        return TensorPart((tokens[index],), target)


def _find(path: str | None, root: str | None) -> Path:
    if path is None:
        return SHIPPED
    given, below = Path(path).expanduser(), data_root(root) / path
    return below if below.exists() and not given.exists() else given
