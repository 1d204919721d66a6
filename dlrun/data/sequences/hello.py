"""The first sequence of the notes: five letters in, five letters out."""

from typing import Literal

import torch
from torch import Tensor

from dlrun.config.spec import DataSpec
from dlrun.data.sequences import characters
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import TensorPart


class Hello(DataSet):
    """One word to learn by heart, hello to ohlol: at each letter the letter that is to be said (notes 11).

    Its letters are the classes: e, h, l, o. The one word is to train on: there is no val and no test part.
    The inputs are series (1, 5, 4), 1 at the letter, or with `encoding=tokens` the numbers of the letters (1, 5).

    **Raises:** `ValueError` if `text` and `labels` are empty or differ in length.
    """

    kind: str = "series"
    target: str = "step_class"
    source: str = "ships"
    has_val: bool = False

    def __init__(
        self, *, text: str = "hello", labels: str = "ohlol", encoding: Literal["one_hot", "tokens"] = "one_hot"
    ):
        """**Arguments:**

        - `text`: the word that is read, letter by letter.
        - `labels`: the letter to say at each letter of `text`.
        - `encoding`: `one_hot` for series, `tokens` for numbers, which a model then embeds.
        """
        if not text or len(text) != len(labels):
            raise ValueError(f"every letter needs one label: text {text!r} has {len(text)}, labels {labels!r}")
        self.text, self.labels, self.encoding = text, labels, encoding

    @property
    def spec(self) -> DataSpec:
        letters = tuple(sorted({*self.text, *self.labels}))
        is_one_hot = self.encoding == "one_hot"
        return DataSpec(
            kind="series" if is_one_hot else "tokens", target="step_class",
            in_features=len(letters) if is_one_hot else None, vocab_size=None if is_one_hot else len(letters),
            seq_len=len(self.text), per_step=True, causal=True, out_features=len(letters), vocabulary=letters,
            class_names=letters,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        inputs, _ = self.encode([self.text], self.spec)
        target, _ = characters.encode([self.labels], self.spec.vocabulary or ())
        return {"train": TensorPart((inputs,), target)}

    def encode(self, words: list[str], spec: DataSpec) -> tuple[Tensor, Tensor]:
        """Inputs, (N, T, F) or (N, T), and lengths (N,) of `words`. **Raises:** `UserError` for a new letter."""
        tokens, lengths = characters.encode(words, spec.vocabulary or ())
        if spec.kind == "tokens":
            return tokens, lengths
        return torch.nn.functional.one_hot(tokens, spec.in_features or -1).float(), lengths
