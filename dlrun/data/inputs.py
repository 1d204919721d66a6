"""Inputs that come from a person: words, image files, rows of numbers, as a trained model takes them."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dlrun.config.spec import DataSpec
from dlrun.data.images.imagefolder import SUFFIXES, decode, sizes_of
from dlrun.data.reading import read_utf8
from dlrun.engine.contracts import DataSet, ImageFile
from dlrun.errors import RunError, UserError


def read(dataset: DataSet, spec: DataSpec, words: list[str]) -> tuple[list[str], tuple[Tensor, ...]]:
    """(what each input is called, the raw inputs (N, ...)) of `words`, by the kind of data that `spec` offers.

    Texts for data that can `encode` them; files or folders of images; tables, or rows such as `5.1,3.5,1.4,0.2`.

    **Raises:** `UserError` with the word, file or row that cannot be read.
    """
    encoded = dataset.encode(words, spec)
    if encoded is not None:
        return words, encoded
    if spec.kind == "image":
        files, images = read_images(dataset, spec, words)
        return [file.path for file in files], (images,)
    if spec.kind == "features":
        return _rows(spec, words)
    raise UserError(f"predict: this data set says no way to read an input of kind {spec.kind!r} from the command line")


def read_images(dataset: DataSet, spec: DataSpec, words: Sequence[str]) -> tuple[list[ImageFile], Tensor]:
    """The image files that `words` name, those of a folder by their numbers; and the raw inputs (N, C, H, W).

    **Raises:** `UserError` with the word or file that cannot be read.
    """
    paths: list[Path] = []
    for word in words:
        path = Path(word)
        if not path.exists():
            raise UserError(f"predict: no file or folder {word}; this run takes images")
        inside = _images_in(path) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"predict: no image in {word} ({' '.join(SUFFIXES)})")
        paths += inside
    try:
        read = [_read_image(dataset, spec, str(path)) for path in paths]
    except RunError as error:
        raise UserError(str(error)) from error
    files = [ImageFile(str(path), frame) for path, (_, frame) in zip(paths, read, strict=True)]
    return files, torch.stack([image for image, _ in read])


def gallery(word: str) -> list[tuple[str, list[Path]]]:
    """(A name, pictures) of each that is known: a folder each with pictures of one, or pictures of one each.

    **Raises:** `UserError` if there is no such folder, or nothing in it.
    """
    folder = Path(word)
    if not folder.is_dir():
        raise UserError(f"predict: --gallery: no folder {word}")
    found = [(file.stem, [file]) for file in _images_in(folder)]
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        pictures = _images_in(inner)
        found += [(inner.name, pictures)] if pictures else []
    if not found:
        raise UserError(f"predict: --gallery: no image in {word}, nor in a folder in it ({' '.join(SUFFIXES)})")
    return found


def _images_in(folder: Path) -> list[Path]:
    """The images in a folder: frame 2 of a video before frame 10."""
    found = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    return sorted(found, key=lambda file: (_numbered(file.name), file.name))


def _numbered(name: str) -> list[str | int]:
    # Texts and numbers take turns, so that no text is held against a number.
    return [int(piece) if place % 2 else piece for place, piece in enumerate(re.split("([0-9]+)", name))]


def _read_image(dataset: DataSet, spec: DataSpec, path: str) -> tuple[Tensor, Tensor]:
    assert spec.image_size is not None and spec.in_channels is not None
    read = dataset.read_image(path, spec)
    if read is not None:
        return read
    image, (width, height) = decode(path, spec.image_size, spec.in_channels), sizes_of(path)[0]
    scale = (spec.image_size[1] / width, spec.image_size[0] / height)
    return image, torch.tensor([*scale, 0, 0, width, height], dtype=torch.float64)


def _rows(spec: DataSpec, words: list[str]) -> tuple[list[str], tuple[Tensor, ...]]:
    names, rows = [], []
    of = f"{spec.in_features}" + (f" ({', '.join(spec.feature_names)})" if spec.feature_names else "")
    for word in words:
        path = Path(word)
        if path.is_file():
            table = _table(path, spec)
            names += [f"{path.name}:{number}" for number in range(2, len(table) + 2)]
            rows += table
        else:
            names.append(word)
            rows.append([_number(cell, f"predict: {word!r}") for cell in word.split(",")])
            if len(rows[-1]) != spec.in_features:
                raise UserError(f"predict: {word!r} has {len(rows[-1])} numbers and is no file; this run takes {of}")
    return names, (torch.tensor(rows, dtype=torch.float32),)


def _table(path: Path, spec: DataSpec) -> list[list[float]]:
    """The features of every row of a CSV file whose header names their columns."""
    wanted = spec.feature_names or ()
    reader = csv.DictReader(read_utf8(path).decode().splitlines())
    header = reader.fieldnames or ()
    # A category is called `column=category`; a column may itself have an = in its name.
    missing = [name for name in wanted if name not in header and name.partition("=")[0] not in header]
    if missing or not wanted:
        raise UserError(f"{path}: has no column {', '.join(missing) or 'names'}; its header: {', '.join(header)}")
    rows = []
    for number, cells in enumerate(reader, start=2):
        row = []
        for name in wanted:
            if name in header:
                row.append(_number(cells[name] or "", f"{path}:{number}: column {name}"))
            else:
                column, _, category = name.partition("=")
                row.append(float((cells[column] or "").strip() == category))
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: has a header and no row")
    return rows


def _number(cell: str, source: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise UserError(f"{source}: {cell.strip()!r} is not a number") from None
    if not abs(value) <= torch.finfo(torch.float32).max:
        raise UserError(f"{source}: {cell.strip()} is not a finite number")
    return value
