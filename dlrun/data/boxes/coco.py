"""COCO's format: one JSON file a part, which names images, annotations and categories by numbers."""

import json
import os
import re
from pathlib import Path
from typing import Any

from dlrun.config.schema import few
from dlrun.data.boxes.annotated import (
    AnnotatedImage,
    AnnotatedImages,
    AnnotatedObject,
    Faults,
    entries_below,
    finite,
    part_name,
    quoted,
)
from dlrun.data.boxes.outlines import outline_of
from dlrun.data.reading import read_utf8
from dlrun.errors import UserError

# What a file of boxes may be called, beside or below the name of its part.
PLAIN_NAMES = (
    "_annotations.coco",
    "annotations",
    "annotations.coco",
    "instances",
    "instances_default",
    "coco",
    "labels",
)
INSTANCES = re.compile(r"instances_(train|val|valid|validation|test)([\W_\d].*)?", re.IGNORECASE)
LEAST_SWAPPED = 3  # boxes that fit as corners alone: fewer are faults of their own
LEAST_SHARE_SWAPPED = 0.1


class Coco(AnnotatedImages):
    """Your own boxes or instances in COCO's format: `root` has a JSON file for each part, or one for all.

    Found are `annotations/instances_train*.json` (also `val`, `test`), `train/_annotations.coco.json`, as Roboflow
    exports them, or the only JSON file below `root`; and images below a folder of the part, `images`, or beside the
    file. The classes are the categories of the training part in the order of their ids, whatever these are; the other
    parts are matched by name. Regions with `iscrowd` are neither taught nor counted.
    """

    name = "coco"
    layout = "a folder with annotations/instances_train.json and images, or one JSON file in COCO's format"

    def read(self) -> dict[str, list[AnnotatedImage]]:
        files = _annotation_files(self.root)
        contents = {name: _Content(path, self.faults) for name, path in files.items()}
        train = contents["train"]
        labels = self.choose_classes(train.categories.values(), self.faults.place(train.path))
        for content in contents.values():
            unknown = [name for name in content.categories.values() if name not in train.categories.values()]
            if unknown and self.wanted is None:
                raise UserError(
                    f"{content.path}: category {few(map(quoted, unknown), 3)} is unknown to {train.path.name}, which "
                    f"has {few(map(quoted, train.categories.values()), 6)}; both must have the same, by name; or "
                    "data.classes chooses some"
                )
        return {name: self._images(name, content, labels) for name, content in contents.items()}

    def _images(self, part: str, content: "_Content", labels: dict[str, int]) -> list[AnnotatedImage]:
        folders = _image_folders(self.root, content.path, part)
        images, is_faulty = content.images(folders)
        content.check_corners(images)
        seen: set[Any] = set()
        for position, entry in enumerate(content.annotations):
            self._add(content, position, entry, images, is_faulty, labels, seen)
        return list(images.values())

    def _add(
        self, content: "_Content", position: int, entry: Any, images: dict[Any, AnnotatedImage], is_faulty: set[Any],
        labels: dict[str, int], seen: set[Any],
    ) -> None:  # fmt: skip
        """Adds an annotation to its image, or a fault."""
        where = f"{content.place}, annotation number {position + 1} in the file"
        if not isinstance(entry, dict):
            self.faults.add("annotation", "that is no object", where, f"found {quoted(entry)}")
            return
        number, image, category = (key_of(entry.get(name)) for name in ("id", "image_id", "category_id"))
        if number is not None:
            where = f"{content.place}, annotation {quoted(number)}"
            if number in seen:
                self.faults.add("annotation", "with an id given twice", where, "this id stands there before")
                return
            seen.add(number)
        elif "id" in entry:
            self.faults.add(
                "annotation", "with a broken id", where, f"id must be an integer, found {quoted(entry['id'])}"
            )
            return
        if image in is_faulty:
            return
        if image not in images:
            found = quoted(entry.get("image_id"))
            self.faults.add("annotation", "of an unknown image", where, f"image_id {found} is none of `images`")
            return
        if category not in content.categories:
            found = quoted(entry.get("category_id"))
            self.faults.add(
                "annotation", "of an unknown category", where, f"category_id {found} is none of `categories`"
            )
            return
        label = labels.get(content.categories[category])
        if label is None:
            return
        box, crowd = box_of(entry.get("bbox")), entry.get("iscrowd", 0)
        if box is None:
            found = f"bbox must be 4 finite numbers x, y, width, height, found {quoted(entry.get('bbox'))}"
            self.faults.add("box", "with broken numbers", where, found)
        elif crowd not in (0, 1) or not isinstance(crowd, int):
            self.faults.add(
                "annotation", "with a broken iscrowd", where, f"iscrowd must be 0 or 1, found {quoted(crowd)}"
            )
        else:
            x, y, width, height = box
            new = AnnotatedObject((x, y, x + width, y + height), label, where, ignored=bool(crowd))
            if self.learn == "instances" and not crowd and entry.get("segmentation"):
                try:
                    new.outline = outline_of(entry["segmentation"])
                except ValueError as error:
                    self.faults.add("object", "with a broken outline", where, str(error))
                    return
            images[image].objects.append(new)


class _Content:
    """A file in COCO's format, its outer shape checked. **Raises:** `UserError` if it is none."""

    def __init__(self, path: Path, faults: Faults):
        self.path, self.faults, self.place = path, faults, faults.place(path)
        content = read_json(path)
        if not isinstance(content, dict):
            raise UserError(
                f"{path}: must be an object with images, annotations and categories, found {quoted(content)}"
            )
        for key in ("images", "annotations", "categories"):
            if not isinstance(content.get(key), list):
                found = quoted(content[key]) if key in content else f"only {few(map(quoted, content), 5)}"
                raise UserError(f"{path}: {key} must be a list, found {found}; is this COCO's format for boxes?")
        self.entries, self.annotations = content["images"], content["annotations"]
        if not self.entries:
            raise UserError(f"{path}: images is empty")
        self.categories = self._categories(content["categories"])

    def _categories(self, entries: list) -> dict[Any, str]:
        """The name of each category, in the order of the ids."""
        found: dict[Any, str] = {}
        for entry in entries:
            number, name = (entry.get("id"), entry.get("name")) if isinstance(entry, dict) else (None, None)
            number = key_of(number)
            if not isinstance(number, int) or not isinstance(name, str) or not name.strip():
                raise UserError(f"{self.path}: a category needs an integer id and a name, found {quoted(entry)}")
            if number in found or name in found.values():
                raise UserError(f"{self.path}: category {number}, {quoted(name)}: its id or name stands there twice")
            found[number] = name
        if not found:
            raise UserError(f"{self.path}: categories is empty; each class needs an id and a name there")
        return {number: found[number] for number in sorted(found)}

    def images(self, folders: list[str]) -> tuple[dict[Any, AnnotatedImage], set[Any]]:
        """The images by id, and the ids of those that are left out by a fault."""
        images: dict[Any, AnnotatedImage] = {}
        is_faulty: set[Any] = set()
        for position, entry in enumerate(self.entries):
            where = f"{self.place}, image number {position + 1} in the file"
            if not isinstance(entry, dict):
                self.faults.add("image", "that is no object", where, f"found {quoted(entry)}")
                continue
            number, name = key_of(entry.get("id")), entry.get("file_name")
            if number is None:
                self.faults.add(
                    "image", "with a broken id", where, f"id must be an integer, found {quoted(entry.get('id'))}"
                )
                continue
            where = f"{self.place}, image {quoted(number)}"
            if number in images or number in is_faulty:
                self.faults.add("image", "with an id given twice", where, "this id stands there before")
                continue
            size = _size_of(entry)
            if not isinstance(name, str) or not name or ".." in re.split(r"[/\\]", name) or "\0" in name:
                reason = f"file_name must be a path below the images, found {quoted(name)}"
                self.faults.add("image", "with a broken file_name", where, reason)
                is_faulty.add(number)
            elif size == ():
                sides = quoted([entry.get("width"), entry.get("height")])
                reason = f"width and height must be whole numbers above 0, found {sides}"
                self.faults.add("image", "with a broken size", where, reason)
                is_faulty.add(number)
            else:
                paths = [os.path.join(folder, name) for folder in folders]
                path = next((path for path in paths if os.path.isfile(path)), paths[0])
                images[number] = AnnotatedImage(path, where, size=size or None)
        return images, is_faulty

    def check_corners(self, images: dict[Any, AnnotatedImage]) -> None:
        """**Raises:** `UserError` if the boxes are clearly x1, y1, x2, y2, not x, y, width, height."""
        num_boxes = num_fitting = num_outside = 0
        example = ""
        for entry in self.annotations:
            box = box_of(entry.get("bbox")) if isinstance(entry, dict) else None
            image = images.get(key_of(entry.get("image_id"))) if box else None
            if box is None or image is None or image.size is None:
                continue
            (width, height), (a, b, c, d) = image.size, box
            is_outside = a + c > width + 1 or b + d > height + 1
            num_boxes += 1
            num_outside += is_outside
            num_fitting += a < c <= width + 1 and b < d <= height + 1
            if is_outside and not example:
                example = f"annotation {quoted(entry.get('id'))}, {quoted(entry['bbox'])} in {width}x{height}"
        if num_outside >= max(LEAST_SWAPPED, LEAST_SHARE_SWAPPED * num_boxes) and num_fitting >= 0.95 * num_boxes:
            raise UserError(
                f"{self.path}: {num_outside} of {num_boxes} boxes leave their image as x, y, width, height, and fit as "
                f"x1, y1, x2, y2 ({example}); COCO's bbox is x, y, width, height: write x2 - x1 and y2 - y1"
            )


def read_json(path: Path) -> Any:
    """**Raises:** `UserError` for a file that cannot be read or is no JSON: the line, and what is wrong."""
    content = read_utf8(path, "root")
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        cut = "; does the file break off?" if error.pos >= len(content.rstrip()) - 1 else ""
        raise UserError(f"{path}:{error.lineno}: is no JSON: {error.msg}, column {error.colno}{cut}") from error
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply to be in COCO's format") from None
    except ValueError as error:  # an integer of thousands of digits
        raise UserError(f"{path}: cannot be read ({quoted(str(error))})") from error


def key_of(value: Any) -> int | str | None:
    """An id as a key; 7.0 is 7, None is no id."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def box_of(value: Any) -> tuple[float, float, float, float] | None:
    """Four finite numbers; None for anything else."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    numbers = [number for item in value if (number := finite(item)) is not None]
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None


def _size_of(entry: dict) -> tuple[int, int] | tuple[()] | None:
    """(W, H); None where there is none, empty where it is broken."""
    if entry.get("width") is None and entry.get("height") is None:
        return None
    width, height = finite(entry.get("width")), finite(entry.get("height"))
    if width is None or height is None or min(width, height) < 1 or not (width.is_integer() and height.is_integer()):
        return ()
    return int(width), int(height)


def _annotation_files(root: Path) -> dict[str, Path]:
    """The file of each part. **Raises:** `UserError` if it is not clear which these are."""
    if root.is_file():
        return {"train": root}
    paths = [Path(path) for path in entries_below(root, [".json"])]
    found: dict[str, Path] = {}
    for path in paths:
        match = INSTANCES.fullmatch(path.stem)
        part = part_name(match[1]) if match else part_name(path.stem)
        if part is None and path.stem.lower() in PLAIN_NAMES and path.parent != root:
            part = part_name(path.parent.name)
        if part is None:
            continue
        if part in found:
            raise UserError(f"data.root: {found[part]} and {path} both stand for the {part} part; keep one")
        found[part] = path
    if not found and len(paths) == 1:
        return {"train": paths[0]}
    if not paths:
        raise UserError(f"data.root: {root} holds no JSON file; give a folder with annotations/instances_train.json")
    if "train" not in found:
        names = few([str(path.relative_to(root)) for path in paths], 3)
        raise UserError(f"data.root: none of {root}: {names} is clearly for train; name it by data.root=FILE.json")
    return {part: found[part] for part in ("train", "val", "test") if part in found}


def _image_folders(root: Path, path: Path, part: str) -> list[str]:
    """Where the images of a file may be, in the order in which they are looked for."""
    above = [path.parent] if path.parent == root or root.is_file() else [root, path.parent]
    bases = [*above, path.parent.parent] if root.is_file() or path.parent != root else above
    token = path.stem.split("_")[-1]
    usual = {"train": ["train"], "val": ["val", "valid", "validation"], "test": ["test"]}[part]
    names = list(dict.fromkeys([token, *usual]))
    folders = [
        os.path.join(base, *name)
        for base in dict.fromkeys(bases)
        for own in names
        for name in ((own,), ("images", own), (own, "images"))
    ]
    plain = [os.path.join(base, *name) for base in dict.fromkeys(bases) for name in (("images",), ("JPEGImages",), ())]
    return list(dict.fromkeys(folders + plain))
