"""Ultralytics' format: a text file an image, a row an object, in shares of the sides of the image."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from dlrun.config import yaml_file
from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Seed, few
from dlrun.data.boxes.annotated import (
    AnnotatedImage,
    AnnotatedImages,
    AnnotatedObject,
    entries_below,
    finite_text,
    images_below,
    part_name,
    quoted,
)
from dlrun.data.boxes.outlines import Outline, polygon
from dlrun.data.images.files import SUFFIXES
from dlrun.data.notes import say
from dlrun.data.reading import read_utf8
from dlrun.errors import UserError

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt", "data/obj.names")
LISTS = {"train": ("train.txt",), "val": ("val.txt", "valid.txt"), "test": ("test.txt",)}
# Texts that may lie among label files and are none.
NO_LABELS = ("classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "trainval.txt", "notes.txt")


class Yolo(AnnotatedImages):
    """Your own boxes or instances in Ultralytics' format: `root` is a folder with `data.yaml`, or that file itself.

    The file names `train`, `val` and `test` (a folder, several, or a text file that lists images) below `path`, and the
    `names` of the classes. Without one, folders such as `images/train`, `train/images` or `images` are taken, names
    from `classes.txt` or `obj.names`, else the numbers. The labels of `images/train/a.jpg` are in
    `labels/train/a.txt`, or beside the image. A row is `class x y width height`, the centre and the sides as shares of
    the image, or `class x1 y1 x2 y2 x3 y3 ...`, the corners of an outline. An empty file says that nothing is there.
    """

    name = "yolo"
    layout = "a folder with data.yaml, images and labels, or the yaml file itself"

    def __init__(
        self, *, root: FilePath | None = None, learn: Literal["boxes", "instances"] | None = None,
        classes: tuple[str, ...] | None = None, image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 256,
        in_channels: Literal[1, 3] = 3, val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.1,
        split_seed: Seed = 42, group_by: str | None = None, unlabelled: Literal["broken", "empty"] = "broken",
        broken: Literal["error", "drop"] = "error", verify: Literal["full", "none"] = "full",
    ):  # fmt: skip
        """**Arguments:** as in `AnnotatedImages`, and

        - `unlabelled`: an image without a label file is `broken`, a fault as any other, or `empty`: nothing is there.
        """
        self.unlabelled = unlabelled
        super().__init__(
            root=root, learn=learn, classes=classes, image_size=image_size, in_channels=in_channels,
            val_fraction=val_fraction, test_fraction=test_fraction, split_seed=split_seed, group_by=group_by,
            broken=broken, verify=verify,
        )  # fmt: skip

    def read(self) -> dict[str, list[AnnotatedImage]]:
        path = _yaml_file(self.root)
        described = _read_yaml(path) if path else {}
        folder = path.parent if path else self.root
        listed = self._listed(path, described) if path else _listed_by_folders(self.root)
        self.num_points = _num_points(path, described)
        self.folders: set[tuple[str, str]] = set()  # of labels, and of their images
        parts = {
            name: [image for path in paths if (image := self._image(path)) is not None]
            for name, paths in listed.items()
        }
        self._find_orphans([image for images in listed.values() for image in images])
        names = _names_of(path, described, folder)
        numbers = {found.label for image in parts["train"] for found in image.objects}
        if names is None:
            count = _count_of(path, described)
            names = {number: str(number) for number in (range(count) if count else sorted(numbers))}
        if not names:
            raise UserError(f"{self.root}: no label file of the training part has a row; give {self.layout}")
        labels = self.choose_classes(names.values(), self.faults.place(path) if path else str(self.root))
        for images in parts.values():
            for image in images:
                image.objects = self._labelled(image.objects, names, labels)
        return parts

    def _labelled(
        self, objects: list[AnnotatedObject], names: dict[int, str], labels: dict[str, int]
    ) -> list[AnnotatedObject]:
        """The objects of wanted classes, their number in the file replaced by the label."""
        kept = []
        for found in objects:
            if found.label not in names:
                known = few([f"{number} ({name})" for number, name in names.items()], 4)
                reason = f"class {quoted(found.label)} is none of the {len(names)}: {known}"
                self.faults.add("object", "of an unknown class", found.where, reason)
            elif names[found.label] in labels:
                found.label = labels[names[found.label]]
                kept.append(found)
        return kept

    def _listed(self, path: Path, described: dict) -> dict[str, list[str]]:
        """The images of each part that the yaml file names."""
        base = _base(path, described.get("path"))
        found: dict[str, list[str]] = {}
        for part in ("train", "val", "test"):
            value = described.get(part)
            if value in (None, "", []):
                continue
            places = value if isinstance(value, list) else [value]
            if not all(isinstance(place, str) and place and "\0" not in place for place in places):
                raise UserError(
                    f"{path}: {part} must be a folder, a .txt file or a list of these, found {quoted(value)}"
                )
            existing = [_place(base, path.parent, place) for place in places]
            missing = [place for place, there in zip(places, existing, strict=True) if there is None]
            if missing and part == "test":
                # Ultralytics' own files name test folders that are not shipped with the data.
                say(self.name, f"{path}: test: no folder or list {few(map(quoted, missing), 3)}; taken for none")
                continue
            if missing:
                raise UserError(f"{path}: {part}: no folder or list {few(map(quoted, missing), 3)} below {base}")
            images = [image for place in existing if place is not None for image in _images_at(place, base)]
            if not images:
                raise UserError(f"{path}: {part}: no images in {few(map(str, existing), 2)} ({' '.join(SUFFIXES)})")
            found[part] = images
        if "train" not in found:
            raise UserError(f"{path}: no train; it must name a folder of images, or a .txt file that lists them")
        return found

    def _image(self, path: str) -> AnnotatedImage | None:
        """An image with its rows, whose labels are still the numbers of the file; None after a fault."""
        image = AnnotatedImage(path, self.faults.place(path), is_relative=True)
        if not os.path.isfile(path):
            return image  # named once the images are opened
        label_file = next((found for found in _label_files(path) if os.path.isfile(found)), None)
        if label_file is None:
            if self.unlabelled == "broken":
                text, hint = (
                    f"no {self.faults.place(_label_files(path)[0])}",
                    "data.unlabelled=empty if nothing is there",
                )
                self.faults.add("image", "without a label file", image.where, text, hint)
                return None
            return image
        self.folders.add((os.path.dirname(label_file), os.path.dirname(path)))
        try:
            content = read_utf8(Path(label_file), "root").decode()
        except UserError as error:
            text = str(error).removeprefix(f"{label_file}: ")
            self.faults.add("label file", "that cannot be read", self.faults.place(label_file), text)
            return None
        for number, line in enumerate(content.split("\n"), start=1):
            fields = line.split()
            if not fields:
                continue
            where = self.faults.place(label_file, number)
            try:
                image.objects.append(self._object(fields, where))
            except ValueError as error:
                self.faults.add("row", "that is broken", where, str(error))
        return image

    def _object(self, fields: list[str], where: str) -> AnnotatedObject:
        """**Raises:** `ValueError`: what is wrong with a row."""
        numbers = [finite_text(field) for field in fields]
        if None in numbers:
            raise ValueError(f"{quoted(fields[numbers.index(None)])} is no finite number")
        values = [number for number in numbers if number is not None]
        if not values[0].is_integer() or values[0] < 0:
            raise ValueError(f"class {quoted(fields[0])} must be a number from 0 on, without a fraction")
        is_box = len(values) == 5 or (self.num_points is not None and len(values) == 5 + self.num_points)
        if not is_box and (len(values) < 7 or len(values) % 2 == 0):
            found = f"{len(values)} numbers"
            raise ValueError(f"{found}; a row is `class x y width height` or `class` and x y of 3 or more corners")
        outline: Outline | None = None
        if is_box:
            x, y, width, height = values[1:5]
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        else:
            xs, ys = values[1::2], values[2::2]
            box = (min(xs), min(ys), max(xs), max(ys))
            if self.learn == "instances":
                outline = [polygon(values[1:])]
        return AnnotatedObject(box, int(values[0]), where, outline=outline)

    def _find_orphans(self, images: Sequence[str]) -> None:
        """Label files of which no image has the name."""
        listed: dict[str, set[str]] = {}
        for path in images:
            folder, name = os.path.split(path)
            listed.setdefault(folder, set()).add(os.path.splitext(name)[0])
        for labels, folder in sorted(self.folders):
            names = {os.path.splitext(entry)[0] for entry in os.listdir(folder) if _is_image(entry)} | listed[folder]
            for entry in sorted(os.listdir(labels)):
                stem, suffix = os.path.splitext(entry)
                if suffix != ".txt" or entry.startswith(".") or stem in names or entry.lower() in NO_LABELS:
                    continue
                if labels == folder and entry.lower().startswith("readme"):
                    continue
                place = self.faults.place(os.path.join(labels, entry))
                text = f"no image of this name in {self.faults.place(folder)}"
                self.faults.add("label file", "without an image", place, text)


def _label_files(image: str) -> list[str]:
    """Where the labels of an image may be: the last folder `images` becomes `labels`, or beside it."""
    stem = os.path.splitext(image)[0]
    parts = stem.split(os.sep)
    beside = f"{stem}.txt"
    if "images" not in parts[:-1]:
        return [beside]
    last = len(parts) - 2 - parts[:-1][::-1].index("images")
    return [os.sep.join([*parts[:last], "labels", *parts[last + 1 :]]) + ".txt", beside]


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _yaml_file(root: Path) -> Path | None:
    """The file that describes the data, if there is one. **Raises:** `UserError` if several could be it."""
    if root.is_file():
        if root.suffix.lower() not in (".yaml", ".yml"):
            raise UserError(f"data.root: {root} is no .yaml file; give {Yolo.layout}")
        return root
    usual = [root / name for name in YAML_NAMES if (root / name).is_file()]
    found = usual or sorted(path for path in root.glob("*.y*ml") if path.is_file() and path.suffix in (".yaml", ".yml"))
    if len(found) > 1:
        names = few([path.name for path in found], 4)
        raise UserError(f"data.root: {root} holds {names}; name the right one by data.root=FILE.yaml")
    return found[0] if found else None


def _read_yaml(path: Path) -> dict:
    """**Raises:** `UserError` for a file that is no YAML or holds no keys: the line, and what is wrong."""
    content = read_utf8(path, "root")
    try:
        # Aliases are not copied, and no more is looked at than a few keys: none can stand for millions of values.
        described = yaml.safe_load(content.decode())
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: {yaml_file.explain(error)}") from error
    except (ValueError, TypeError, OverflowError, AttributeError) as error:  # a date of month 13, a number too long
        raise UserError(f"{path}: cannot be read ({quoted(str(error))})") from error
    if not isinstance(described, dict):
        raise UserError(f"{path}: must hold `train:`, `val:` and `names:`, found {quoted(described)}")
    return described


def _base(path: Path, given: Any) -> Path:
    """The folder that the places of a yaml file start from."""
    if given is not None and (not isinstance(given, str) or "\0" in given):
        raise UserError(f"{path}: path must be a folder, found {quoted(given)}")
    # Ultralytics looks below a folder of its own settings; most files are moved, and then their own folder is right.
    candidates = [path.parent / Path(given).expanduser()] if given else []
    return next((folder for folder in candidates if folder.is_dir()), path.parent)


def _place(base: Path, beside: Path, name: str) -> Path | None:
    """The folder or list `name`; Roboflow writes `../train/images` for what lies beside its file."""
    plain = name
    while plain.startswith("../"):
        plain = plain[3:]
    for candidate in (base / name, base / plain, beside / name, beside / plain):
        if os.path.isdir(candidate) or (os.path.isfile(candidate) and candidate.suffix.lower() == ".txt"):
            return candidate
    return None


def _images_at(place: Path, base: Path) -> list[str]:
    """The images below a folder, or those that a list names, relative to it, to `base`, or to a folder below."""
    if place.is_dir():
        return images_below(place)
    found = []
    for number, line in enumerate(read_utf8(place, "root").decode().split("\n"), start=1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        if "\0" in name or not _is_image(name):
            raise UserError(f"{place}:{number}: {quoted(name)} is no image file ({' '.join(SUFFIXES)})")
        # Darknet's lists start with the name of a folder that most data sets have lost on their way.
        lost = name.split("/", 1)[-1]
        candidates = [os.path.normpath(folder / own) for own in (name, lost) for folder in (base, place.parent)]
        found.append(next((path for path in candidates if os.path.isfile(path)), candidates[0]))
    return found


def _listed_by_folders(root: Path) -> dict[str, list[str]]:
    """The images of each part of a folder without a yaml file."""
    found: dict[str, list[str]] = {}
    for part, names in LISTS.items():
        lists = [root / name for name in names if (root / name).is_file()]
        if lists:
            found[part] = _images_at(lists[0], root)
    if not found:
        for folder in (root / "images", root):
            entries = sorted(folder.iterdir()) if folder.is_dir() else []
            parts = [(part_name(entry.name), entry) for entry in entries if entry.is_dir()]
            for part, entry in parts:
                if part is None:
                    continue
                if part in found:
                    raise UserError(f"data.root: {folder} has two folders for the {part} part; keep one")
                images = entry / "images"
                found[part] = images_below(images if images.is_dir() else entry)
            if found:
                break
    if not found:
        found["train"] = images_below(root / "images" if (root / "images").is_dir() else root)
    if not found.get("train"):
        raise UserError(f"data.root: {root} holds no images to train on; give {Yolo.layout}")
    return {part: found[part] for part in ("train", "val", "test") if found.get(part)}


def _names_of(path: Path | None, described: dict, folder: Path) -> dict[int, str] | None:
    """The class of each number, in the order of the numbers; None: nobody says. **Raises:** `UserError`."""
    names = described.get("names")
    if names is None:
        file = next((folder / name for name in NAME_FILES if (folder / name).is_file()), None)
        if file is None:
            files = entries_below(folder, [".names"])
            file = Path(files[0]) if len(files) == 1 else None
        if file is None:
            return None
        lines = [line.strip() for line in read_utf8(file, "root").decode().split("\n")]
        names, path = [line for line in lines if line], file
    entries = (
        list(enumerate(names)) if isinstance(names, list) else list(names.items()) if isinstance(names, dict) else []
    )
    if not entries:
        raise UserError(f"{path}: names must be a list of classes or `number: name` lines, found {quoted(names)}")
    found: dict[int, str] = {}
    for number, name in entries:
        # YAML reads a class `yes` or `7` as a flag or a number.
        if type(number) is not int or number < 0 or not isinstance(name, str | int | float) or not str(name).strip():
            raise UserError(f"{path}: names: {quoted(number)}: {quoted(name)} is no number from 0 on and a name")
        if quoted(name) in map(quoted, found.values()) or str(name) in found.values():
            raise UserError(f"{path}: names: {quoted(name)} stands there twice")
        found[number] = str(name)
    count = _count_of(path, described)
    if count is not None and count != len(found):
        raise UserError(f"{path}: nc is {count}, but names has {len(found)} classes; correct one of them")
    return {number: found[number] for number in sorted(found)}


def _count_of(path: Path | None, described: dict) -> int | None:
    count = described.get("nc")
    if count is None:
        return None
    if type(count) is not int or not 1 <= count <= 100_000:
        raise UserError(f"{path}: nc must be the number of classes, found {quoted(count)}")
    return count


def _num_points(path: Path | None, described: dict) -> int | None:
    """How many numbers of key points follow the box in a row, if any."""
    shape = described.get("kpt_shape")
    if shape is None:
        return None
    if (
        not isinstance(shape, list)
        or len(shape) != 2
        or not all(type(side) is int and 0 < side < 1000 for side in shape)
    ):
        raise UserError(f"{path}: kpt_shape must be [points, 2 or 3], found {quoted(shape)}")
    return shape[0] * shape[1]
