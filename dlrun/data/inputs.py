"""Inputs that come from a person: words, image files, rows of numbers, as a trained model takes them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dlrun.config.schema import few
from dlrun.config.spec import DataSpec
from dlrun.data.images.files import LeftOut, entries_of, files_below
from dlrun.data.images.imagefolder import decode, resized, sizes_of
from dlrun.data.reading import is_like_path, missing, read_utf8, records
from dlrun.data.tables.values import quoted
from dlrun.engine.contracts import DataSet, ImageFile
from dlrun.errors import RunError, UserError, bounded

if TYPE_CHECKING:
    import pandas as pd

    from dlrun.data.tables.csv_reading import Sheet
    from dlrun.data.tables.rules import Rules

TEXT_FILES = (".csv", ".tsv", ".txt", ".gz")


def read(
    dataset: DataSet, spec: DataSpec, words: list[str], unread: dict[str, str] | None = None
) -> tuple[list[str], tuple[Tensor, ...]]:
    """(what each input is called, the raw inputs (N, ...)) of `words`, by the kind of data that `spec` offers.

    Texts, or files with one a row, for data that can `encode` them;
    files or folders of images; tables, or rows such as `5.1,3.5,1.4,0.2`. `unread` gets the path and the error of each
    image that cannot be read; without it that is an error.

    **Raises:** `UserError` with the word, file or row that cannot be read.
    """
    read_texts = _texts if spec.kind == "tokens" else lambda word: [(word, word)]
    named = [pair for word in words for pair in read_texts(word)]
    encoded = dataset.encode([text for _, text in named], spec)
    if encoded is not None:
        return [name for name, _ in named], encoded
    if spec.kind == "image":
        files, images = read_images(dataset, spec, words, unread)
        return [file.path for file in files], (images,)
    if spec.kind == "features":
        return _rows(spec, words)
    raise UserError(f"predict: this data set says no way to read an input of kind {spec.kind!r} from the command line")


def _texts(word: str) -> list[tuple[str, str]]:
    """(What it is called, the text) of a word; of a file, of the first field of each of its rows."""
    path = Path(word)
    if os.path.isfile(path):  # no error for a text that is too long for a path
        rows = records(path, read_utf8(path), ",", strict=True)
        return [(f"{path.name}:{line}", fields[0].strip()) for line, _, fields in rows]
    if path.suffix.lower() in TEXT_FILES and is_like_path(word):
        raise UserError(bounded(f"predict: {missing(path)}"))
    return [(word, word)]


def read_images(
    dataset: DataSet, spec: DataSpec, words: Sequence[str], unread: dict[str, str] | None = None
) -> tuple[list[ImageFile], Tensor]:
    """The image files that `words` name, those in and below a folder by their numbers; and the raw inputs (N, C, H, W).

    `unread` gets the path and the error of each file that cannot be read; without it that is an error.

    **Raises:** `UserError` for a word that names no file, a folder without an image, and if no file can be read.
    """
    paths: list[Path] = []
    left_out = LeftOut()
    for word in words:
        path = Path(word)
        if not path.exists():
            raise UserError(f"predict: no file or folder {word}; this run takes images")
        inside = left_out.images(files_below(path)) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"predict: no image in {word} (its files: {left_out})")
        paths += inside
    if (sentence := left_out.sentence()) is not None:
        print(f"dlrun: note: predict: {sentence}", file=sys.stderr)
    files, images = [], []
    errors: dict[str, str] = {}
    for path in paths:
        try:
            image, frame = _read_image(dataset, spec, str(path))
        except RunError as error:
            errors[str(path)] = str(error)
        else:
            files.append(ImageFile(str(path), frame))
            images.append(image)
    if not files or (errors and unread is None):
        raise UserError(few(errors.values(), 1))
    if unread is not None:
        unread |= errors
    return files, torch.stack(images)


def gallery(word: str) -> list[tuple[str, list[Path]]]:
    """(A name, pictures) of each that is known: a folder each with pictures of one, or pictures of one each.

    **Raises:** `UserError` if there is no such folder, or nothing in it.
    """
    folder = Path(word)
    if not folder.is_dir():
        raise UserError(f"predict: --gallery: no folder {word}")
    left_out, entries = LeftOut(), entries_of(folder)
    found = [(file.stem, [file]) for file in left_out.images(entry for entry in entries if not entry.is_dir())]
    for inner in (entry for entry in entries if entry.is_dir()):
        pictures = left_out.images(files_below(inner))
        found += [(inner.name, pictures)] if pictures else []
    if not found:
        raise UserError(f"predict: --gallery: no image in {word}, nor in a folder in it (its files: {left_out})")
    return found


def _read_image(dataset: DataSet, spec: DataSpec, path: str) -> tuple[Tensor, Tensor]:
    assert spec.image_size is not None and spec.in_channels is not None
    read = dataset.read_image(path, spec)
    if read is not None:
        return read
    image = decode(path, spec.image_size, spec.in_channels, spec.white)
    width, height = sizes_of(path)[0]
    scale = (spec.image_size[1] / width, spec.image_size[0] / height)
    return image, torch.tensor([*scale, 0, 0, width, height], dtype=torch.float64)


def _rows(spec: DataSpec, words: list[str]) -> tuple[list[str], tuple[Tensor, ...]]:
    rules = _rules(spec)
    names, tables = [], []
    for word in words:
        path = Path(word).expanduser()
        if os.path.isfile(path):
            lines, table = _table(path, spec, rules)
            names += [f"{path.name}:{line}" for line in lines]
            tables.append(torch.from_numpy(table))
        elif is_like_path(word):
            raise UserError(bounded(f"predict: {missing(path)}"))
        else:
            names.append(word)
            tables.append(torch.from_numpy(_typed(word, rules)))
    return names, (torch.cat(tables),)


def _rules(spec: DataSpec) -> "Rules":
    from dlrun.data.tables.rules import Rules

    return Rules.by_names(_names(spec), ()) if spec.table is None else Rules.from_dict(spec.table)


def _names(spec: DataSpec) -> tuple[str, ...]:
    return spec.feature_names or tuple(f"x{number}" for number in range(spec.in_features or 0))


def _table(path: Path, spec: DataSpec, rules: "Rules") -> tuple[list[int], np.ndarray]:
    """(The line of each row that is used, the features of these rows) of a CSV file."""
    return _read_sheet(rules.open(path), spec, rules)


def _read_sheet(sheet: "Sheet", spec: DataSpec, rules: "Rules") -> tuple[list[int], np.ndarray]:
    from dlrun.data.tables.rules import Rules

    if spec.table is None:
        rules = Rules.by_names(_names(spec), sheet.names)
    lines, table, said = rules.read(sheet)
    for line in [*sheet.layout.remarks, *said]:
        print(f"{sheet.path.name}: {line}", file=sys.stderr)
    return lines, table


def _read_frame(spec: DataSpec, frame: "pd.DataFrame") -> tuple[list[Any], tuple[Tensor, ...]]:
    """(The label of each row that is used, its features (N, F)), as of a CSV file with that content."""
    rules = _rules(spec)
    has_header = not all(isinstance(name, int) for name in frame.columns)
    text = frame.to_csv(None, sep=rules.separator, quotechar=rules.quote, header=has_header, index=False)
    sheet = rules.open(Path("DataFrame"), text.encode())
    lines, table = _read_sheet(sheet, spec, rules)
    row_of = {line: row for row, line in enumerate(sheet.lines())}
    return [frame.index[row_of[line]] for line in lines], (torch.from_numpy(table),)


def _typed(word: str, rules: "Rules") -> np.ndarray:
    """The features (1, F) of a row such as `5.1,3.5,red`, a field for each column."""
    separator = rules.separator if rules.separator in word else ","
    try:
        fields = next((fields for _, _, fields in records(Path("predict"), word.encode(), separator)), [])
        return rules.row(fields)
    except ValueError as error:
        raise UserError(bounded(f"predict: {quoted(word)}: {error}")) from error


def read_table(dataset: DataSet, spec: DataSpec, table: Any) -> tuple[list[Any], tuple[Tensor, ...]]:
    """(The label of each row that is used, the raw inputs (N, ...)) of a DataFrame or Series of pandas.

    Of data that read texts it is one column of these; else it is read as a CSV file with the same content would be.

    **Raises:** `UserError` as `read`.
    """
    frame = table.to_frame() if table.ndim == 1 else table
    if spec.kind == "features":
        return _read_frame(spec, frame)
    if frame.shape[1] != 1:
        raise UserError(f"predict: this run takes {spec.kind}: one column of a table, found {frame.shape[1]}")
    words = [str(word) for word in frame.iloc[:, 0]]
    return list(frame.index), read(dataset, spec, words)[1]


def read_array(spec: DataSpec, values: Any) -> tuple[Tensor, ...]:
    """Raw inputs (N, ...) from an array of them, or from one.

    **Raises:** `UserError` for another shape, or values that the data cannot have.
    """
    try:
        array = values.detach().cpu() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"predict: cannot be read as an array: {str(error).splitlines()[0]}") from error
    if spec.kind not in _ARRAYS:
        raise UserError(f"predict: this run takes {spec.kind}, and no array of them; give it words")
    if not array.isfinite().all():
        raise UserError("predict: the array has values that are missing or infinite; give a DataFrame, or fill them")
    return (_ARRAYS[spec.kind](spec, array),)


def framed(images: Tensor, values: Any) -> list[ImageFile]:
    """The raw inputs (N, C, H, W) that `values` became as images of that size, called by their numbers.

    **Raises:** `UserError` if they have been resized: places in them would not be those of `values`.
    """
    height, width = images.shape[2:]
    if not {height, width} <= set(values.shape):
        raise UserError(
            f"predict: places are looked for in arrays of {height} x {width} pixels alone, found shape "
            f"{tuple(values.shape)}; files of images may have any size"
        )
    frame = torch.tensor([1, 1, 0, 0, width, height], dtype=torch.float64)
    return [ImageFile(str(number), frame) for number in range(len(images))]


def _image_array(spec: DataSpec, array: Tensor) -> Tensor:
    """uint8 (N, C, H, W) from images with the channels first, last or, of grey ones, left out, resized as files are."""
    assert spec.image_size is not None and spec.in_channels is not None
    channels, shape = spec.in_channels, tuple(array.shape)
    if array.ndim > 2 and array.shape[-3] != channels and array.shape[-1] == channels:
        array = array.movedim(-1, -3)
    elif channels == 1 and (array.ndim == 2 or (array.ndim == 3 and shape[0] != 1)):
        array = array.unsqueeze(-3)
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.shape[1] != channels:
        raise UserError(
            f"predict: an image of this run has {channels} channel{'s' if channels > 1 else ''}, as its first or last "
            f"axis, and an array holds one or many; found shape {shape}"
        )
    highest = 1 if array.is_floating_point() else 255
    if array.numel() and not (array.min() >= 0 and array.max() <= highest):
        raise UserError(
            f"predict: images have values in 0..1 if they are floats, else in 0..255; found {array.min().item():g} to "
            f"{array.max().item():g} in {str(array.dtype).removeprefix('torch.')}"
        )
    pixels = (array * 255).round().to(torch.uint8) if array.is_floating_point() else array.to(torch.uint8)
    if pixels.shape[2:] == spec.image_size:
        return pixels
    return torch.stack([resized(image, spec.image_size) for image in pixels])


def _feature_array(spec: DataSpec, array: Tensor) -> Tensor:
    names, columns = list(_names(spec)), _rules(spec).columns
    if any(column.categories is not None for column in columns):
        listed = few([quoted(column.name) for column in columns])
        raise UserError(bounded(f"predict: columns of this run hold texts; give a DataFrame with {listed}"))
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] != len(names):
        raise UserError(
            f"predict: a row of this run has {len(names)} numbers ({few(names, 5)}), found an array of shape "
            f"{tuple(array.shape)}"
        )
    return array.float()


def _series_array(spec: DataSpec, array: Tensor) -> Tensor:
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] != spec.in_features:
        raise UserError(
            f"predict: a series of this run has (steps, {spec.in_features}) numbers, found an array of shape "
            f"{tuple(array.shape)}"
        )
    return array.float()


def _token_array(spec: DataSpec, array: Tensor) -> Tensor:
    array, most = array[None] if array.ndim == 1 else array, spec.vocab_size or 0
    is_of_tokens = array.ndim == 2 and not array.is_floating_point()
    if not is_of_tokens or (array.numel() and not 0 <= array.min() <= array.max() < most):
        raise UserError(
            f"predict: tokens of this run are whole numbers in 0..{most - 1}, one a step, found an array of shape "
            f"{tuple(array.shape)} of {str(array.dtype).removeprefix('torch.')}"
        )
    return array.long()


_ARRAYS = {"image": _image_array, "features": _feature_array, "series": _series_array, "tokens": _token_array}
