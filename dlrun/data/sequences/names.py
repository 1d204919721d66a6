"""Surnames, character by character, and the language that each comes from."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dlrun.config.places import data_root
from dlrun.config.schema import FilePath, ProperFraction, Seed
from dlrun.config.spec import PARTS, DataSpec
from dlrun.data import download
from dlrun.data.read_once import ReadOnce
from dlrun.data.reading import read_utf8, records
from dlrun.data.sequences import characters
from dlrun.data.splits import rows_of, split_off
from dlrun.engine.contracts import Part
from dlrun.engine.parts import TensorPart
from dlrun.errors import UserError

COURSE_FILES = {
    "names_train.csv.gz": "sha256:49b4bf41dce5bfeac989b46ca37cf7baccd9a0d2a855df82f86de67a9376268f",
    "names_test.csv.gz": "sha256:57d7758db533a42c99d513b2341a7e7b0f55c1e0e7d233b1ef6a4fa2f1adf753",
}
COURSE_MIRRORS = ("https://raw.githubusercontent.com/hunkim/PyTorchZeroToAll/master/data/",)
LANGUAGE_FILES = {
    "Arabic.txt": "sha256:6f424a8dbe51cbbbabab7a57d38b617210125e4e3991f3c657cb79b8f104bafc",
    "Chinese.txt": "sha256:09ba8f1f7e38dbc99372d461b26ad4433b811fc6bfa6a3ecca6fe11a9a777465",
    "Czech.txt": "sha256:e17ab0ec47616a72c39cb85c783f70c3663ab64488721e5d8378f146d2226be7",
    "Dutch.txt": "sha256:924f32b635170eae561f84538632138fc07d4c8bbd70ba3fb980de1ecc4d2af3",
    "English.txt": "sha256:9cca037066d3d5989e24bc01801416162de506b5e28e15b7c092a47905d29bf2",
    "French.txt": "sha256:81e65b36c60ed5b89a17422f6edcadbb89546f38ad69e960e64e7ba682012a95",
    "German.txt": "sha256:7449cd590b97a733e18d613a4155decd77ec35dc5f8aadd7a82204dce4f051db",
    "Greek.txt": "sha256:3555b5186de7f401e6d991b088e9e644ca3099116477818c25ab5793801389e6",
    "Irish.txt": "sha256:cf8c7013256252a88d2503127b87282a11f21b2ff6db1bded68834c19a1ec058",
    "Italian.txt": "sha256:f88414c27d0606a11a678b4859277828c2565d6cc4d9ee932deef6e94f3b35e4",
    "Japanese.txt": "sha256:e0e717e114fec3e7eade4d9dabe0067c475f43147e36a22b47902ee76ad9e67f",
    "Korean.txt": "sha256:cd54221ccb362a6cba4c78828838cf3268a0e59744767a37cf6ec4b74036b136",
    "Polish.txt": "sha256:45bab898af2f60ed3a728bbf6980e28821011a7caa53227553b5785903a40826",
    "Portuguese.txt": "sha256:50a8735f41f4f73757c8ce5b16cb0275cd86b2b214bcbc8c9805f508cb131c53",
    "Russian.txt": "sha256:0cfe53ac18041e8f63666aa77313e0a3ff378facb132abee052d8ebdc8c3d62c",
    "Scottish.txt": "sha256:78d0252711d87d948ea86fe34826c51d2d794a8e52d15b5d6f7b6244d45d62dd",
    "Spanish.txt": "sha256:1bcb462ed3316756a85781d68232bddae04498fdddd5d9219c53fd1fbdeba7a7",
    "Vietnamese.txt": "sha256:f3f9e4164ab47601178a6e45b216464a64122f49d05541f24bf18a757253281d",
}
# The origin, with its later corrections; the archive of PyTorch's tutorial holds the list from before them.
LANGUAGE_MIRRORS = ("https://raw.githubusercontent.com/spro/practical-pytorch/master/data/names/",)
SHIPPED = Path(__file__).with_name("surnames.csv")


class Row(NamedTuple):
    """One name, its country, and where it stands: `source` is file and row, for an error about it."""

    name: str
    country: str
    source: str


class Names(ReadOnce):
    """Surnames of 18 languages, to tell the language from the letters (notes 11).

    `collection` picks one of three lists. `ships` comes with dlrun: about 50 common names a language. `course` is the
    notes' own: 13 374 names to train on and 6700 to test (majority class 0.468; 11.5 % of the test rows are train
    rows too). `languages` are 18 text files with 20 050 names, one a line. The files of the last two lie below
    `<root>/names` and `<root>/names/languages`; what is there is read as it is, what is not is downloaded.

    Parts are split by distinct name: one that stands in two languages, or twice in one, is in one part only. The test
    part of `course` is its own file. Names are kept in Unicode, or folded to ASCII with `ascii`. The vocabulary is that
    of the train part; the inputs are tokens (N, T), padded with 0, and lengths (N,).

    **Raises:** `UserError` with file and row for a file that is not UTF-8, an empty line, a row without a country, a
    country of the test file that the train file does not have.
    """

    kind: str = "tokens"
    target: str = "class"
    source: str = "ships"
    stand_in: str = "data.collection=ships"

    def __init__(
        self, *, collection: Literal["ships", "course", "languages"] = "ships", root: FilePath | None = None,
        ascii: bool = False, val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.2,
        split_seed: Seed = 42, mirrors: tuple[str, ...] | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `collection`: which of the three lists.
        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `ascii`: whether letters lose their accents, and `ß` becomes ss.
        - `val_fraction`, `test_fraction`: the shares of the distinct names that become the val and the test part; of
          `course`, whose test part is a file, `val_fraction` is that of the names in its train file.
        - `split_seed`: chooses the names of each part.
        - `mirrors`: addresses of folders to download from, tried in order; None: the built-in ones.
        """
        self.collection, self.ascii = collection, ascii
        self.folder = data_root(root) / "names"
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed
        self.mirrors = mirrors

    def encode(self, words: list[str], spec: DataSpec) -> tuple[Tensor, Tensor]:
        """Tokens (N, T) and lengths (N,) of names of any length; a character that is not known becomes `<unk>`.

        **Raises:** `UserError` for a name in which there is nothing to read: which one.
        """
        names = [self._plain(text) for text in words]
        for number, (text, name) in enumerate(zip(words, names, strict=True), start=1):
            if not name:
                why = "has no ASCII form, and data.ascii is true" if text.strip() else "is empty"
                raise UserError(f"name {number} of {len(words)}, {text[:40]!r}, {why}")
        characters.say_unknown("names", {"the inputs": names}, spec.vocabulary or ())
        return characters.encode(names, spec.vocabulary or ())

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        every = [(part, row) for part, rows in self._read().items() for row in self._plain_rows(rows)]
        pieces = rows_of(self, "names", [(row.name, row.country) for _, row in every])
        every = [every[place] for place in pieces.index]
        files = {part: [row for own, row in every if own == part] for part, _ in every}
        # Of the train file: its order is the same whatever the split and whatever the test file holds.
        class_names = tuple(sorted({row.country for row in files["train"]}))
        if (kept := pieces.parts()) is not None:
            rows = {part: [row for own, (_, row) in zip(kept, every, strict=True) if own == part] for part in PARTS}
        else:
            test_fraction = 0 if "test" in files else self.test_fraction
            rows = files | split_by_name(files["train"], self.val_fraction, test_fraction, self.split_seed)
        rows = {part: rows[part] for part in PARTS if rows.get(part)}
        place_of = {row: place for place, (_, row) in enumerate(every)}
        pieces.note({part: np.array([place_of[row] for row in own]) for part, own in rows.items()})
        vocabulary = characters.vocabulary_of(row.name for row in rows["train"])
        others = {part: [row.name for row in own] for part, own in rows.items()}
        characters.say_unknown("names", others, vocabulary)
        tokens, lengths = characters.encode([row.name for part in rows.values() for row in part], vocabulary)
        target = torch.tensor([self._class(row, class_names) for part in rows.values() for row in part])
        whole = TensorPart((tokens, lengths), target)
        places = torch.arange(len(whole)).split([len(part) for part in rows.values()])
        spec = DataSpec(
            kind="tokens", target="class", vocab_size=len(vocabulary), seq_len=tokens.shape[1],
            out_features=len(class_names), vocabulary=vocabulary, class_names=class_names, target_name="language",
        )  # fmt: skip
        return spec, {part: whole.subset(piece) for part, piece in zip(rows, places, strict=True)}

    def _read(self) -> dict[str, list[Row]]:
        """Rows of `train`, and of `test` where that has its own file."""
        if self.collection == "ships":
            return {"train": read_table(SHIPPED)}
        if self.collection == "course":
            self._provide(self.folder, COURSE_FILES, COURSE_MIRRORS)
            train, test = (read_table(self.folder / name) for name in COURSE_FILES)
            return {"train": train, "test": test}
        self._provide(self.folder / "languages", LANGUAGE_FILES, LANGUAGE_MIRRORS)
        return {"train": [row for name in LANGUAGE_FILES for row in read_list(self.folder / "languages" / name)]}

    def _provide(self, folder: Path, files: dict[str, str], mirrors: tuple[str, ...]) -> None:
        missing = {name: checksum for name, checksum in files.items() if not (folder / name).is_file()}
        download.fetch("names", folder, missing, self.mirrors or mirrors, self.stand_in)

    def _plain_rows(self, rows: list[Row]) -> Iterator[Row]:
        for row in rows:
            name = self._plain(row.name)
            if not name:
                raise UserError(f"{row.source}: {row.name[:40]!r} has no ASCII form; use data.ascii=false")
            yield Row(name, row.country, row.source)

    def _plain(self, name: str) -> str:
        # Composed, as the files are: an é can also be typed as e and an accent.
        name = unicodedata.normalize("NFC", name.strip())
        return characters.fold(name).strip() if self.ascii else name

    def _class(self, row: Row, class_names: Sequence[str]) -> int:
        if row.country not in class_names:
            raise UserError(f"{row.source}: {row.country[:40]!r} is no country of the train file")
        return class_names.index(row.country)


def split_by_name(rows: list[Row], val_fraction: float, test_fraction: float, seed: int) -> dict[str, list[Row]]:
    """Splits `rows` so that all rows of one name are in one part; the fractions are shares of the distinct names.

    Each language gives every part its share; a name of several languages counts for the one it comes first in.
    """
    countries = {country: number for number, country in enumerate(dict.fromkeys(row.country for row in rows))}
    first = {row.name: countries[row.country] for row in reversed(rows)}
    names = list(first)
    whole = TensorPart((torch.arange(len(names)),), torch.tensor(list(first.values())))
    pieces = split_off(whole, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)
    part_of = {names[i]: part for part, piece in pieces.items() for i in _positions(piece)}
    return {part: [row for row in rows if part_of[row.name] == part] for part in pieces}


def _positions(piece: Part) -> list[int]:
    assert isinstance(piece, TensorPart)
    return piece.inputs[0].tolist()


def read_table(path: Path) -> list[Row]:
    """The rows of a CSV file without header, packed by gzip or not.

    **Raises:** `UserError` with file and row for what is not one name and one country.
    """
    found, expected = [], 1
    for line, last, cells in records(path, read_utf8(path), ",", strict=True):
        if line > expected:
            raise UserError(f"{path}: row {expected}: is empty; delete the line")
        cells, expected = [cell.strip() for cell in cells], last + 1
        if len(cells) != 2 or not all(cells):
            raise UserError(f"{path}: row {line}: must be a name and a country, found {','.join(cells)[:40]!r}")
        found.append(Row(cells[0], cells[1], f"{path}: row {line}"))
    return _not_empty(found, path)


def read_list(path: Path) -> list[Row]:
    """The names of a text file, one a line; the name of the file is their country.

    **Raises:** `UserError` with file and row for an empty line.
    """
    found = []
    for number, line in enumerate(read_utf8(path).decode().removesuffix("\n").split("\n"), start=1):
        source = f"{path}: row {number}"
        if not line.strip():
            raise UserError(f"{source}: is empty; delete the line")
        found.append(Row(line.strip(), path.stem, source))
    return _not_empty(found, path)


def _not_empty(rows: list[Row], path: Path) -> list[Row]:
    if not rows:
        raise UserError(f"{path}: holds no name")
    return rows
