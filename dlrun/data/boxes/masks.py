"""The user's own images with a mask each: the class of every pixel."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dlrun.config.schema import FilePath, NonNegativeInt, PositiveInt, ProperFraction, Seed, few
from dlrun.config.spec import PARTS, DataSpec
from dlrun.data.boxes.mask_part import NOT_COUNTED, MaskPart
from dlrun.data.images.files import SUFFIXES, LeftOut, entries_of, subfolders
from dlrun.data.images.imagefolder import PART_FOLDERS, STATISTICS, decode, decoding, sizes_of, white_of
from dlrun.data.splits import Pieces, content_of, files_of, group_names
from dlrun.engine.contracts import DataSet, Part
from dlrun.errors import RunError, UserError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
MASK_FOLDERS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "segmentationclass", "segmentations",
    "segmentation", "gt", "groundtruth", "ground_truth",
)  # fmt: skip
IMAGE_ENDINGS = ("_image", "_img")  # of a stem, that its mask does not have
MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_seg", "_segmentation", "_gt", "-mask", "-label")
LAYOUT = "a folder of images and one of masks, such as images and masks, or train, val and test folders of such"
COLOURED = ("RGB", "RGBA")  # modes
LOSSY = ("JPEG", "MPO")  # formats, as PIL calls them
MOST_VALUES = 256  # of a mask
SMOOTHED = 8  # values: more, nearly all of them rare, are edges between two classes
LEAST_SHARE = 0.05  # of the pixels that all values but the two commonest should have
SPAN = 128  # grey levels between the smallest and the largest value, of masks that may have been smoothed


class MaskedImages(DataSet):
    """Pairs of an image and its mask, files both; the keys are those of `MaskFolder`.

    `find_pairs` gives those of each part below `root`, `train` among them; `split` is what `Pieces.divide` takes.
    """

    kind: str = "image"
    target: str = "mask"
    source: str = "yours"
    stand_in: str = "data=shapes"

    def __init__(
        self, root: Path, find_pairs: Callable[[], dict[str, list[tuple[Path, Path]]]],
        classes: tuple[str, ...] | None,
        values: tuple[int | str, ...] | None, ignore: int | str | None, image_size: int | tuple[int, int] | None,
        in_channels: Literal[1, 3], split: Mapping[str, Any], group_by: str | None = None,
    ):  # fmt: skip
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.in_channels, self.classes = in_channels, classes
        self.has_colours = any(isinstance(value, str) for value in (*(values or ()), ignore))
        self.values = None if values is None else tuple(_value("values", value) for value in values)
        self.ignore = None if ignore is None else _value("ignore", ignore)
        if self.values is not None and (len(self.values) < 2 or len(set(self.values)) < len(self.values)):
            raise UserError(f"data.values: needs two or more different values, found {_listed(map(str, values or ()))}")
        self.root, self.find_pairs, self.split, self.group_by = root, find_pairs, split, group_by

    @property
    def spec(self) -> DataSpec:
        """What the parts offer. All masks are read for it. **Raises:** `UserError` as `load`."""
        mean, std = STATISTICS[self.in_channels]
        return DataSpec(
            kind="image", target="mask", in_channels=self.in_channels, image_size=self._read.size,
            out_features=len(self._read.values), class_names=self._read.names, mean=mean, std=std,
            white=self._read.white,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        """The parts, in memory.

        **Raises:** `UserError` for files that are broken, lossy, or of sizes that do not agree, and for values that no
        class has.
        """
        read, listed = self._read, self._listed
        paths = [image for pairs in listed.pairs.values() for image, _ in pairs]
        shown = tqdm(paths, "reading images", unit="image", leave=False, disable=None)
        images = torch.stack([_decoded(image, read.size, self.in_channels, read.white) for image in shown])
        files = [file for own in read.files.values() for file in own]
        masks = torch.stack([_classes(file, read.values, read.ignored) for file in files])
        whole = MaskPart((images,), masks)
        given = [part for part, pairs in listed.pairs.items() for _ in pairs]
        groups = group_names(map(str, paths), self.group_by)
        parts = listed.pieces.divide(None, listed.places, given, **self.split, groups=groups)
        return {part: whole.subset(torch.from_numpy(own)) for part, own in parts.items()}

    @functools.cached_property
    def _listed(self) -> "_Pairs":
        pairs = [(part, *pair) for part, own in self.find_pairs().items() for pair in own]
        images, masks = [str(image) for _, image, _ in pairs], [content_of(mask).hex() for _, _, mask in pairs]
        pieces = files_of(self, "masks", images, masks, self.root, whole=True)
        parts: Sequence[str | None] = pieces.parts() or [pairs[place][0] for place in pieces.index]
        places = {part: [place for place, own in enumerate(parts) if own == part] for part in PARTS}
        found = {part: [pairs[pieces.index[place]][1:] for place in own] for part, own in places.items() if own}
        return _Pairs(found, np.array([place for own in places.values() for place in own]), pieces)

    @functools.cached_property
    def _read(self) -> "_Read":
        files: dict[str, list[_File]] = {}
        size = self.image_size
        for name, pairs in self._listed.pairs.items():
            files[name] = []
            for image, mask in tqdm(pairs, "reading masks", unit="mask", leave=False, disable=None):
                file = _open_mask(mask, self.image_size)
                _check_size(image, file)
                size = size or file.size
                if self.image_size is None and file.size != size:
                    first = files["train"][0]
                    raise UserError(
                        f"data.image_size: images have different sizes: {_by(first.size)} ({first.path.name}) and "
                        f"{_by(file.size)} ({mask.name}); set data.image_size=256, or [HEIGHT,WIDTH]"
                    )
                files[name].append(file)
        assert size is not None, "each part has a file"
        files, is_coloured = _of_one_kind(files, self.has_colours)
        every = [file for part in files.values() for file in part]
        said = functools.partial(_said, is_coloured=is_coloured)
        if self.values is None and not is_coloured:
            _check_smooth(every)
        values, ignored = self._chosen(every, said)
        if self.values is None:
            _check_parts(files, ignored, said)
        images = [str(image) for pairs in self._listed.pairs.values() for image, _ in pairs]
        white = white_of(images) if self.offered is None else self.offered.white
        return _Read(files, size, values, ignored, self._names(values, said, is_coloured), white)

    def _chosen(self, files: Sequence["_File"], said: Callable[[int], str]) -> tuple[tuple[int, ...], int | None]:
        """(The value of each class, the one that is not counted)."""
        found = sorted({value for file in files for value in file.values})
        if self.values is not None:
            known = {*self.values, self.ignore}
            for file in files:
                strange = [value for value in file.values if value not in known]
                if strange:
                    raise UserError(
                        f"data.values: {file.path} has the value {said(strange[0])}, which is none of "
                        f"{_listed(map(said, self.values))}; add it, or set data.ignore to it"
                    )
            return self.values, self.ignore
        ignored = self.ignore
        if ignored is None and NOT_COUNTED in found and len(found) > 2:
            others = [value for value in found if value != NOT_COUNTED]
            is_palette = all(file.mode == "P" for file in files)
            if is_palette or others == list(range(len(others))):
                ignored = NOT_COUNTED
        values = tuple(value for value in found if value != ignored)
        if len(values) < 2:
            only = said(values[0]) if values else "none"
            raise UserError(f"data.root: of {len(files)} masks each pixel has the one value {only}; two are needed")
        if len(values) > NOT_COUNTED:
            raise UserError(f"data.root: the masks have {len(values)} values; at most {NOT_COUNTED} can be classes")
        return values, ignored

    def _names(self, values: tuple[int, ...], said: Callable[[int], str], is_coloured: bool) -> tuple[str, ...]:
        if self.classes is None:
            prefix = "" if is_coloured else "class_"
            return tuple(f"{prefix}{said(value)}" if value else "background" for value in values)
        if len(self.classes) != len(values) or len(set(self.classes)) < len(self.classes):
            raise UserError(
                f"data.classes: needs {len(values)} different names, for the values "
                f"{_listed(map(said, values))}; found {_listed(self.classes)}"
            )
        return self.classes


class MaskFolder(MaskedImages):
    """Your own images and masks: `root` holds a folder of images and one of masks, or part folders of such.

    Both folders are found by their usual names. `train`, `val` and `test` folders may lie above them (`train/images`)
    or in both of them (`images/train`); a part without a folder is split off from the rest by `split_seed`. The mask
    of an image has its stem, `cat.png` for `cat.jpg`, or that and an ending such as `_mask`.

    A mask is a file without losses. Of a palette its indices are the values, of grey and black-and-white ones the grey
    levels; of RGB each colour is a value. The values of all masks, in rising order, are the classes; 0 and black are
    called background. 255 is not a class but not counted where at least two others are values and they either come
    from a palette or are 0, 1, 2 ... without a gap: {0, 255} are two classes. `values` and `ignore` say otherwise.

    Images are turned upright by their EXIF data. With `image_size` they are resized, bilinearly, and their masks by the
    nearest pixel, which makes no new values. Everything is held in memory.
    """

    def __init__(
        self, *, root: FilePath | None = None, images: str | None = None, masks: str | None = None,
        classes: tuple[str, ...] | None = None, values: tuple[NonNegativeInt | str, ...] | None = None,
        ignore: NonNegativeInt | str | None = None,
        image_size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None, in_channels: Literal[1, 3] = 3,
        val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.1, split_seed: Seed = 42,
        group_by: str | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder; it is needed.
        - `images`, `masks`: the names of both folders; None: the usual ones.
        - `classes`: a name for each class, in the order of the values.
        - `values`: the value of each class: numbers, or colours as `"#RRGGBB"`; None: all that the masks have.
        - `ignore`: a value whose pixels are not counted; None: as said above, and nothing where `values` are given.
        - `image_size`: H and W in pixels; one number if they are equal; None: as they are, if all are of one size.
        - `in_channels`: 3 for RGB, 1 for grey.
        - `val_fraction`, `test_fraction`: the shares of all images that become the val and the test part, where these
          have no folder of their own.
        - `split_seed`: chooses the images of each part.
        - `group_by`: a text; images of the same name up to its last place, such as `clip3_0001` and `clip3_0002` by
          `_`, come into the same part. None: each image is by itself.
        """
        if root is None:
            raise UserError(f"data.root: no folder given; write data.root=FOLDER, with {LAYOUT}")
        folder = Path(root).expanduser()
        super().__init__(
            folder, functools.partial(_pairs_in, folder, images, masks), classes, values, ignore, image_size,
            in_channels, {"val_fraction": val_fraction, "test_fraction": test_fraction, "seed": split_seed}, group_by,
        )  # fmt: skip


@dataclass(frozen=True)
class _File:
    """A mask file.

    **Fields:**

    - `values`: those that its pixels have, rising; a colour is 65536 red + 256 green + blue.
    - `places` (H, W) uint8: for each pixel the position of its value, perhaps resized; `counts`: pixels of each value.
    - `size`: (H, W) upright, as stored in the file.
    - `mode`: of its pixels, as PIL calls it.
    """

    path: Path
    values: tuple[int, ...]
    counts: tuple[int, ...]
    places: Tensor
    size: tuple[int, int]
    mode: str


@dataclass(frozen=True)
class _Read:
    """All masks: of each part its `files`, their (H, W), the `values` of the classes with their `names`; `white_of`."""

    files: dict[str, list[_File]]
    size: tuple[int, int]
    values: tuple[int, ...]
    ignored: int | None
    names: tuple[str, ...]
    white: int | None


class _Pairs(NamedTuple):
    """(Image, mask) of each part, and the places of all among the pieces."""

    pairs: dict[str, list[tuple[Path, Path]]]
    places: np.ndarray
    pieces: Pieces


# ---- folders and files


def _pairs_in(root: Path, images: str | None, masks: str | None) -> dict[str, list[tuple[Path, Path]]]:
    """The pairs of each part.

    **Raises:** `UserError` for a folder that is laid out otherwise, and for an image without a mask or the reverse.
    """
    left_out = LeftOut()
    pairs = {part: _paired(*both, left_out) for part, both in _folders(root, images, masks).items()}
    left_out.say("masks")
    return pairs


def _folders(root: Path, images: str | None, masks: str | None) -> dict[str, tuple[Path, Path]]:
    """Of each part its (folder of images, folder of masks)."""
    if not root.is_dir():
        raise UserError(f"data.root: no folder {root}; give a folder with {LAYOUT}")
    parts = _part_folders(root)
    if parts and not _has_both(root, images, masks):
        return {name: _both(folder, images, masks) for name, folder in _with_train(parts, root).items()}
    image_folder, mask_folder = _both(root, images, masks)
    image_parts, mask_parts = _part_folders(image_folder), _part_folders(mask_folder)
    if image_parts.keys() != mask_parts.keys():
        raise UserError(
            f"data.root: {image_folder} has folders for {_listed(image_parts) or 'no part'}, {mask_folder} for "
            f"{_listed(mask_parts) or 'no part'}; both need the same"
        )
    if image_parts:
        return {name: (folder, mask_parts[name]) for name, folder in _with_train(image_parts, image_folder).items()}
    return {"train": (image_folder, mask_folder)}


def _part_folders(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in subfolders(folder):
        name = PART_FOLDERS.get(entry.name.lower())
        if name in found:
            raise UserError(f"data.root: {found[name]} and {entry} both stand for the {name} part; keep one")
        if name is not None:
            found[name] = entry
    return found


def _with_train(parts: dict[str, Path], root: Path) -> dict[str, Path]:
    if "train" not in parts:
        raise UserError(f"data.root: {root} has a folder for {_listed(parts)} but none for train")
    return {name: parts[name] for name in ("train", "val", "test") if name in parts}


def _has_both(folder: Path, images: str | None, masks: str | None) -> bool:
    return all(_named(folder, name, usual) for name, usual in ((images, IMAGE_FOLDERS), (masks, MASK_FOLDERS)))


def _both(folder: Path, images: str | None, masks: str | None) -> tuple[Path, Path]:
    """(The folder of images, the folder of masks) in `folder`."""
    found = []
    for key, name, usual in (("images", images, IMAGE_FOLDERS), ("masks", masks, MASK_FOLDERS)):
        fitting = _named(folder, name, usual)
        if len(fitting) != 1:
            there = _listed(entry.name for entry in subfolders(folder)) or "none"
            wanted = name if name is not None else f"{', '.join(usual[:4])} ..."
            what = _listed(entry.name for entry in fitting) or f"none called {wanted}"
            raise UserError(
                f"data.{key}: {folder} must have one folder of {key}, found {what}; its folders: {there}; "
                f"write data.{key}=NAME"
            )
        found.append(fitting[0])
    return found[0], found[1]


def _named(folder: Path, name: str | None, usual: Sequence[str]) -> list[Path]:
    if name is not None:
        return [folder / name] if (folder / name).is_dir() else []
    return [entry for entry in subfolders(folder) if entry.name.lower() in usual]


def _paired(images: Path, masks: Path, left_out: LeftOut) -> list[tuple[Path, Path]]:
    """(Image, mask) by their stems, sorted as the images.

    **Raises:** `UserError` for an image without a mask, a mask without an image, and two of one stem.
    """
    image_of, mask_of = _by_stem(images, "images", left_out), _by_stem(masks, "masks", left_out)
    for own, endings, other in ((mask_of, MASK_ENDINGS, image_of), (image_of, IMAGE_ENDINGS, mask_of)):
        _without_endings(own, endings, set(other))
    alone = [image_of[stem].name for stem in image_of if stem not in mask_of]
    unused = [mask_of[stem].name for stem in mask_of if stem not in image_of]
    if alone or unused:
        found = [f"{len(alone)} of {len(image_of)} images have no mask ({few(alone, 3)})"] if alone else []
        found += [f"{len(unused)} of {len(mask_of)} masks have no image ({few(unused, 3)})"] if unused else []
        raise UserError(
            f"data.root: {images} and {masks}: {', and '.join(found)}; a mask has the stem of its image, "
            f"or that and {', '.join(MASK_ENDINGS[:4])}; remove or rename"
        )
    return [(path, mask_of[stem]) for stem, path in image_of.items()]


def _by_stem(folder: Path, what: str, left_out: LeftOut) -> dict[str, Path]:
    entries = entries_of(folder)
    deeper = [entry.name for entry in entries if entry.is_dir()]
    if deeper:
        raise UserError(f"data.root: {folder} holds the folder {deeper[0]}; {what} must lie directly in it")
    found: dict[str, Path] = {}
    for path in left_out.images(entries):
        if path.stem in found:
            raise UserError(f"data.root: {found[path.stem]} and {path.name} have the same stem; keep one")
        found[path.stem] = path
    if not found:
        raise UserError(f"data.root: {folder} has no {what} ({' '.join(SUFFIXES)})")
    return found


def _without_endings(own: dict[str, Path], endings: Sequence[str], others: set[str]) -> None:
    """Takes a usual ending off each stem of `own` that has no partner, where without it there is one."""
    for stem, path in list(own.items()):
        if stem in others:
            continue
        ending = next((end for end in endings if stem.endswith(end) and stem.removesuffix(end) in others), None)
        if ending is None:
            continue
        short = stem.removesuffix(ending)
        if short in own:
            raise UserError(f"data.root: {own[short]} and {path.name} are both for {short}; keep one")
        own[short] = own.pop(stem)


# ---- masks


def _open_mask(path: Path, size: tuple[int, int] | None) -> _File:
    """The mask file `path`, resized to `size` (H, W). **Raises:** `UserError` if it is no mask."""
    from PIL import Image, ImageOps

    try:
        with decoding(str(path)), Image.open(path) as opened:
            lossy, mode = opened.format in LOSSY, opened.mode
            # What a lossy file holds is of no use, but that it is one is known without decoding it.
            upright = None if lossy else ImageOps.exif_transpose(opened)
            numbers = None if upright is None else _numbers(upright)
    except RunError as error:
        raise UserError(f"data.root: {error}") from error
    if numbers is None:
        reason = "is a JPEG, whose losses change the values of a mask" if lossy else f"has pixels of the kind {mode}"
        raise UserError(f"data.root: {path} {reason}; save masks as PNG with 8 bits, a palette or RGB")
    values, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    if len(values) > MOST_VALUES:
        raise UserError(
            f"data.root: {path} has {len(values)} different values; a mask has one a class, at most {NOT_COUNTED}; "
            "is it a photograph, or was it smoothed?"
        )
    found = Image.fromarray(places.reshape(numbers.shape).astype(np.uint8))
    if size is not None and found.size != size[::-1]:
        found = found.resize((size[1], size[0]), Image.Resampling.NEAREST)
    height, width = numbers.shape
    places = torch.from_numpy(np.array(found))
    return _File(path, tuple(values.tolist()), tuple(counts.tolist()), places, (height, width), mode)


def _numbers(image: "Image") -> np.ndarray | None:
    """The value (H, W) of each pixel; None for a kind of image that has none."""
    if image.mode in ("L", "P", "1"):
        return np.asarray(image).astype(np.int32)
    if image.mode.startswith("I"):
        return np.asarray(image.convert("I")).astype(np.int32)
    if image.mode in COLOURED:
        red, green, blue = (np.asarray(image.getchannel(band)).astype(np.int32) for band in "RGB")
        return red * 65536 + green * 256 + blue
    if image.mode == "LA":
        return np.asarray(image.getchannel("L")).astype(np.int32)
    return None


def _check_size(image: Path, file: _File) -> None:
    """**Raises:** `UserError` if the image and its mask, both upright, differ in size."""
    try:
        width, height = sizes_of(str(image))[0]
    except RunError as error:
        raise UserError(f"data.root: {error}") from error
    if (height, width) != file.size:
        raise UserError(
            f"data.root: {image} has {_by((height, width))} pixels, its mask {file.path} {_by(file.size)}; they must "
            "agree, after both are turned as their EXIF data say"
        )


def _of_one_kind(files: dict[str, list[_File]], has_colours: bool) -> tuple[dict[str, list[_File]], bool]:
    """(The masks, whether their values are colours): of RGB masks that are all grey the values are the grey levels.

    `has_colours` says that they are colours, grey or not. **Raises:** `UserError` if some have colours, others numbers.
    """
    every = [file for part in files.values() for file in part]
    coloured = [file for file in every if file.mode in COLOURED]
    if not has_colours and all(_is_grey(value) for file in coloured for value in file.values):
        return {name: [_grey(file) for file in part] for name, part in files.items()}, False
    # Black alone is the same in both.
    plain = [file for file in every if file.mode not in COLOURED and file.values != (0,)]
    if plain:
        where = f"{coloured[0].path} has colours" if coloured else "data.values or data.ignore are colours"
        raise UserError(f"data.root: {where}, {plain[0].path} has grey levels or indices; all must be of one kind")
    return files, True


def _grey(file: _File) -> _File:
    return replace(file, values=tuple(value & 255 for value in file.values)) if file.mode in COLOURED else file


def _check_smooth(files: Sequence[_File]) -> None:
    """**Raises:** `UserError` if the masks look as if their edges had been smoothed, by resizing or with losses."""
    if any(file.mode == "P" for file in files):
        return
    totals: dict[int, int] = {}
    for file in files:
        for value, count in zip(file.values, file.counts, strict=True):
            totals[value] = totals.get(value, 0) + count
    rare = sum(sorted(totals.values())[:-2])
    if len(totals) <= SMOOTHED or max(totals) - min(totals) < SPAN or rare >= LEAST_SHARE * sum(totals.values()):
        return
    if sorted(totals) == list(range(len(totals))):
        return
    worst = max(files, key=lambda file: len(file.values))
    raise UserError(
        f"data.root: {worst.path} has {len(worst.values)} grey levels, nearly all of them rare: smoothed edges are no "
        "classes; cut the masks at a threshold, or name the classes in data.values"
    )


def _check_parts(files: dict[str, list[_File]], ignored: int | None, said: Callable[[int], str]) -> None:
    """**Raises:** `UserError` for a value in a val or test folder that no mask of the training part has."""
    known = {value for file in files["train"] for value in file.values} | {ignored}
    for name, part in files.items():
        for file in part:
            strange = [value for value in file.values if value not in known]
            if strange:
                raise UserError(
                    f"data.root: {file.path}, in the {name} part, has the value {said(strange[0])}, which no mask of "
                    "the training part has; it cannot be learned; repair the mask, or set data.ignore or data.values"
                )


def _classes(file: _File, values: tuple[int, ...], ignored: int | None) -> Tensor:
    """The class (H, W) uint8 of each pixel."""
    class_of = {value: k for k, value in enumerate(values)} | ({} if ignored is None else {ignored: NOT_COUNTED})
    table = torch.tensor([class_of[value] for value in file.values], dtype=torch.uint8)
    return table[file.places.long()]


def _decoded(path: Path, size: tuple[int, int], in_channels: int, white: int | None) -> Tensor:
    try:
        return decode(str(path), size, in_channels, white)
    except RunError as error:
        raise UserError(f"data.root: {error}") from error


# ---- words


def _value(key: str, value: int | str) -> int:
    """A value as a number. **Raises:** `UserError` for a text that is no colour."""
    if isinstance(value, int):
        return value
    try:
        if len(value) == 7 and value.startswith("#"):
            return int(value[1:], 16)
    except ValueError:
        pass
    raise UserError(f"data.{key}: {value!r} is neither a number nor a colour such as '#FF0000'")


def _is_grey(value: int) -> bool:
    return value == (value & 255) * 0x10101


def _said(value: int, is_coloured: bool) -> str:
    return f"#{value:06X}" if is_coloured else str(value)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
