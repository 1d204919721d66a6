"""Sequences that are made to measure a memory: how far back, how much, and which of it."""

import torch
from torch import Generator, Tensor

from dlrun.config.schema import NonNegativeInt, PositiveInt, Seed
from dlrun.config.spec import NOT_COUNTED, DataSpec
from dlrun.data.generated import Generated
from dlrun.engine.parts import TensorPart


class MadeSequences(Generated):
    """Sequences whose parts are drawn by torch's generator."""

    def generate(self, size: int, seed: int) -> TensorPart:
        return self.draw(size, Generator().manual_seed(seed % 2**63))

    def draw(self, size: int, generator: Generator) -> TensorPart:
        """`size` sequences and their targets."""
        raise NotImplementedError


class CopyMemory(MadeSequences):
    """Remember symbols over a long blank and say them again (Arjovsky et al. 2016, Bai et al. 2018).

    Tokens (N, T), T = blank_steps + 2 * num_to_copy: the symbols (1 to 8), then blanks (0) up to the marker (9), then
    `num_to_copy` more markers, at which the symbols are to be said in order. Only those last steps count; their
    classes are the eight symbols. Chance: accuracy 1/8 and loss ln 8 = 2.079 a counted step; Bai et al. count all T
    steps and state 10 ln 8 / T.
    """

    kind: str = "tokens"
    target: str = "step_class"

    def __init__(
        self, *, blank_steps: PositiveInt = 100, num_to_copy: PositiveInt = 10, num_train: PositiveInt = 10000,
        num_val: NonNegativeInt = 1000, num_test: NonNegativeInt = 1000, seed: Seed = 0,
    ):  # fmt: skip
        """**Arguments:**

        - `blank_steps`: steps between the symbols and the first answer: blanks, and one marker at their end.
        - `num_to_copy`: how many symbols are to be said again.
        - `num_train`, `num_val`, `num_test`: the number of sequences of each part; 0: there is no such part.
        - `seed`: from which the sequences are drawn.
        """
        self.blank_steps, self.num_to_copy = blank_steps, num_to_copy
        super().__init__(num_train=num_train, num_val=num_val, num_test=num_test, seed=seed)

    @property
    def spec(self) -> DataSpec:
        symbols = tuple("12345678")
        return DataSpec(
            kind="tokens", target="step_class", vocab_size=10, seq_len=self.blank_steps + 2 * self.num_to_copy,
            per_step=True, causal=True, out_features=8, class_names=symbols, vocabulary=("blank", *symbols, "marker"),
        )  # fmt: skip

    def draw(self, size: int, generator: Generator) -> TensorPart:
        symbols = torch.randint(8, (size, self.num_to_copy), generator=generator)
        tokens = torch.zeros(size, self.blank_steps + 2 * self.num_to_copy, dtype=torch.int64)
        tokens[:, : self.num_to_copy] = symbols + 1
        tokens[:, -self.num_to_copy - 1 :] = 9
        return TensorPart((tokens,), _at_the_end(symbols, tokens))


class Adding(MadeSequences):
    """Add the two numbers that are marked in a long list (Hochreiter and Schmidhuber 1997, Bai et al. 2018).

    Series (N, T, 2): numbers, uniform from 0 to 1, and a mark that is 1 at two steps drawn at random and else 0. The
    value is the sum of the two. Chance: always saying 1 has a mean squared error of 1/6, the variance of the sum.
    """

    kind: str = "series"
    target: str = "value"

    def __init__(
        self, *, seq_len: PositiveInt = 200, num_train: PositiveInt = 20000, num_val: NonNegativeInt = 1000,
        num_test: NonNegativeInt = 1000, seed: Seed = 0,
    ):  # fmt: skip
        """**Arguments:**

        - `seq_len`: T, at least 2.
        - `num_train`, `num_val`, `num_test`: the number of sequences of each part; 0: there is no such part.
        - `seed`: from which the sequences are drawn.
        """
        if seq_len < 2:
            raise ValueError(f"two numbers are to be added: seq_len must be at least 2, found {seq_len}")
        self.seq_len = seq_len
        super().__init__(num_train=num_train, num_val=num_val, num_test=num_test, seed=seed)

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="series", target="value", in_features=2, seq_len=self.seq_len, causal=True, out_features=1,
            feature_names=("number", "mark"), target_name="sum",
        )  # fmt: skip

    def draw(self, size: int, generator: Generator) -> TensorPart:
        numbers = torch.rand(size, self.seq_len, generator=generator)
        marks = torch.zeros(size, self.seq_len)
        marks.scatter_(1, _positions(size, self.seq_len, 2, generator), 1.0)
        return TensorPart((torch.stack([numbers, marks], dim=2),), (numbers * marks).sum(dim=1, keepdim=True))


class SelectiveCopying(MadeSequences):
    """Pick the symbols out of noise and say them in order (Gu and Dao 2023, section 4.1.1; Jing et al. 2019).

    Tokens (N, seq_len + num_to_copy): zeros are noise, among them at random places `num_to_copy` symbols (1 to
    vocab_size - 2), and then as many markers (vocab_size - 1), at which the symbols are to be said. Only the markers
    count; the classes are the vocab_size - 2 symbols. Chance: accuracy 1/14 with the default vocabulary. The paper has
    seq_len 4096 and draws new examples for each of 400 000 steps; the defaults here are for a computer of two cores.

    **Raises:** `ValueError` if there is no symbol, or no room for `num_to_copy`.
    """

    kind: str = "tokens"
    target: str = "step_class"

    def __init__(
        self, *, seq_len: PositiveInt = 256, num_to_copy: PositiveInt = 16, vocab_size: PositiveInt = 16,
        num_train: PositiveInt = 20000, num_val: NonNegativeInt = 1000, num_test: NonNegativeInt = 1000,
        seed: Seed = 0,
    ):  # fmt: skip
        """**Arguments:**

        - `seq_len`: steps of noise and symbols, before the markers.
        - `num_to_copy`: how many of these steps are symbols, and how many markers follow; at most `seq_len`.
        - `vocab_size`: the number of tokens: the noise, the marker and at least one symbol.
        - `num_train`, `num_val`, `num_test`: the number of sequences of each part; 0: there is no such part.
        - `seed`: from which the sequences are drawn.
        """
        if vocab_size < 3:
            raise ValueError(f"noise, a marker and a symbol: vocab_size must be at least 3, found {vocab_size}")
        if num_to_copy > seq_len:
            raise ValueError(f"num_to_copy {num_to_copy} symbols have no room in seq_len {seq_len}")
        self.seq_len, self.num_to_copy, self.vocab_size = seq_len, num_to_copy, vocab_size
        super().__init__(num_train=num_train, num_val=num_val, num_test=num_test, seed=seed)

    @property
    def spec(self) -> DataSpec:
        symbols = tuple(str(symbol) for symbol in range(1, self.vocab_size - 1))
        return DataSpec(
            kind="tokens", target="step_class", vocab_size=self.vocab_size, seq_len=self.seq_len + self.num_to_copy,
            per_step=True, causal=True, out_features=len(symbols), class_names=symbols,
            vocabulary=("noise", *symbols, "marker"),
        )  # fmt: skip

    def draw(self, size: int, generator: Generator) -> TensorPart:
        symbols = torch.randint(self.vocab_size - 2, (size, self.num_to_copy), generator=generator)
        tokens = torch.zeros(size, self.seq_len + self.num_to_copy, dtype=torch.int64)
        tokens.scatter_(1, _positions(size, self.seq_len, self.num_to_copy, generator), symbols + 1)
        tokens[:, self.seq_len :] = self.vocab_size - 1
        return TensorPart((tokens,), _at_the_end(symbols, tokens))


class InductionHeads(MadeSequences):
    """Say what came after the special token when it came before (Olsson et al. 2022; Gu and Dao 2023, section 4.1.2).

    Tokens (N, seq_len), drawn from 0 to vocab_size - 2. The special token, vocab_size - 1, stands at one random place
    and at the last; the class is the token behind the first of the two, one of vocab_size - 1. Chance: accuracy 1/15
    with the default vocabulary. The paper trains on seq_len 256; the default here is for a computer of two cores.

    **Raises:** `ValueError` if there is no token besides the special one, or no room for both places.
    """

    kind: str = "tokens"
    target: str = "class"

    def __init__(
        self, *, seq_len: PositiveInt = 64, vocab_size: PositiveInt = 16, num_train: PositiveInt = 20000,
        num_val: NonNegativeInt = 1000, num_test: NonNegativeInt = 1000, seed: Seed = 0,
    ):  # fmt: skip
        """**Arguments:**

        - `seq_len`: T, at least 3.
        - `vocab_size`: the number of tokens: the special one and at least one other.
        - `num_train`, `num_val`, `num_test`: the number of sequences of each part; 0: there is no such part.
        - `seed`: from which the sequences are drawn.
        """
        if vocab_size < 2:
            raise ValueError(f"a special token and another: vocab_size must be at least 2, found {vocab_size}")
        if seq_len < 3:
            raise ValueError(f"the special token, another, and the special token: seq_len {seq_len} is below 3")
        self.seq_len, self.vocab_size = seq_len, vocab_size
        super().__init__(num_train=num_train, num_val=num_val, num_test=num_test, seed=seed)

    @property
    def spec(self) -> DataSpec:
        plain = tuple(str(token) for token in range(self.vocab_size - 1))
        return DataSpec(
            kind="tokens", target="class", vocab_size=self.vocab_size, seq_len=self.seq_len, causal=True,
            out_features=len(plain), class_names=plain, vocabulary=(*plain, "special"),
        )  # fmt: skip

    def draw(self, size: int, generator: Generator) -> TensorPart:
        special = self.vocab_size - 1
        tokens = torch.randint(special, (size, self.seq_len), generator=generator)
        position = torch.randint(self.seq_len - 2, (size, 1), generator=generator)
        tokens.scatter_(1, position, special)
        tokens[:, -1] = special
        return TensorPart((tokens,), tokens.gather(1, position + 1).squeeze(1))


def _positions(size: int, seq_len: int, count: int, generator: Generator) -> Tensor:
    """Positions (size, count) below `seq_len`, different ones in each row, in order; every choice is as likely."""
    return torch.rand(size, seq_len, generator=generator).topk(count, dim=1).indices.sort(dim=1).values


def _at_the_end(symbols: Tensor, tokens: Tensor) -> Tensor:
    """The target (N, T) of `tokens` (N, T) that asks for `symbols` (N, M) at the last M steps."""
    target = torch.full_like(tokens, NOT_COUNTED)
    target[:, -symbols.shape[1] :] = symbols
    return target
