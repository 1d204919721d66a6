"""The format of Pascal VOC: an XML file an image, and lists of the images of each part."""

import os
from pathlib import Path
from typing import Literal, TypeAlias
from xml.parsers import expat

from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Seed
from dlrun.data.boxes.annotated import (
    AnnotatedImage,
    AnnotatedImages,
    AnnotatedObject,
    entries_below,
    finite_text,
    images_below,
    part_name,
    plural,
    quoted,
)
from dlrun.data.notes import say
from dlrun.data.reading import read_utf8
from dlrun.errors import UserError

SIDES = ("xmin", "ymin", "xmax", "ymax")
DEEPEST = 32  # elements in each other; VOC's own have 5
MANY = 3  # boxes at 0, of which one can say that they count from there
# The name of an object, and the object; None where its box is broken.
Named: TypeAlias = tuple[str, AnnotatedObject | None]


class Voc(AnnotatedImages):
    """Your own boxes in the format of Pascal VOC, as LabelImg writes them: an XML file an image.

    `root` has `Annotations/*.xml` and `JPEGImages`, or XML files beside the images, also in folders `train`, `valid`
    and `test`. The parts are those of `ImageSets/Main/train.txt`, `val.txt` and `test.txt` where there are, else split
    off. Objects marked as difficult are neither taught nor counted. The classes are the names in the training part, in
    alphabetical order.
    """

    target: str = "boxes"
    name = "voc"
    layout = "a folder with Annotations/*.xml and JPEGImages, or with XML files beside the images"

    def __init__(
        self, *, root: FilePath | None = None, learn: Literal["boxes"] | None = None,
        classes: tuple[str, ...] | None = None,
        box_origin: Literal[0, 1] = 1, image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 256,
        in_channels: Literal[1, 3] = 3, val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.1,
        split_seed: Seed = 42, group_by: str | None = None, broken: Literal["error", "drop"] = "error",
        verify: Literal["full", "none"] = "full",
    ):  # fmt: skip
        """**Arguments:** as in `AnnotatedImages`, and

        - `box_origin`: the number of the first pixel. VOC counts from 1, and xmax is the last pixel of the box; with 0
          xmin and xmax are the edges themselves.
        """
        self.box_origin = box_origin
        super().__init__(
            root=root, learn=learn, classes=classes, image_size=image_size, in_channels=in_channels,
            val_fraction=val_fraction, test_fraction=test_fraction, split_seed=split_seed, group_by=group_by,
            broken=broken, verify=verify,
        )  # fmt: skip

    def read(self) -> dict[str, list[AnnotatedImage]]:
        root = _inner(self.root)
        self.num_at_zero = 0
        files = self._files(root)
        images = _Images(images_below(root))
        # The label of an object is a name until all names of the training part are known.
        read = {
            part: [pair for path in paths if (pair := self._image(path, images)) is not None]
            for part, paths in files.items()
        }
        found = {name for _, objects in read["train"] for name, _ in objects}
        if not found:
            reason = self.faults.listed(200) if self.faults.found else "they name none"
            raise UserError(f"{root}: no object to train on in {plural(len(files['train']), 'XML file')}: {reason}")
        labels = self.choose_classes(sorted(found), str(root))
        if self.num_at_zero >= MANY:
            self.faults.hints = {
                f"{self.num_at_zero} boxes have a 0, so they seem to count from 0: data.box_origin=0": None
            }
        used = {image.path for pairs in read.values() for image, _ in pairs}
        # Lists leave out on purpose.
        rest = [] if (root / "ImageSets" / "Main").is_dir() else sorted(images.paths - used)
        if rest:
            count = plural(len(rest), "image")
            say(self.name, f"{count} without an XML file not taken (the first: {self.faults.place(rest[0])})")
        parts: dict[str, list[AnnotatedImage]] = {}
        for part, pairs in read.items():
            parts[part] = []
            for image, objects in pairs:
                for name, item in objects:
                    if item is None:
                        continue
                    if name not in found and self.wanted is None:
                        reason = f"class {quoted(name)} is in no file of train; data.classes chooses the classes"
                        self.faults.add("object", "of an unknown class", item.where, reason)
                    elif name in labels:
                        item.label = labels[name]
                        image.objects.append(item)
                parts[part].append(image)
        return parts

    def _files(self, root: Path) -> dict[str, list[str]]:
        """The XML files of each part."""
        all_files = entries_below(root, [".xml"])
        if not all_files:
            raise UserError(f"data.root: {root} holds no XML file; give {self.layout}")
        lists = root / "ImageSets" / "Main"
        names = {part: lists / f"{part}.txt" for part in ("train", "val", "test", "trainval")}
        there = {part: path for part, path in names.items() if path.is_file()}
        if "train" in there:
            there.pop("trainval", None)
        elif "trainval" in there:
            there = {"train": there.pop("trainval")} | there
        if "train" in there:
            by_stem = {Path(path).stem: path for path in all_files}
            return {part: self._listed(path, by_stem) for part, path in there.items()}
        parts: dict[str, list[str]] = {}
        for path in all_files:
            parts.setdefault(part_name(Path(path).relative_to(root).parts[0]) or "", []).append(path)
        if "train" in parts and "" not in parts:
            return {part: parts[part] for part in ("train", "val", "test") if part in parts}
        return {"train": all_files}

    def _listed(self, path: Path, by_stem: dict[str, str]) -> list[str]:
        """The XML files of the images that a list names, a row an image, perhaps with a flag behind."""
        found = []
        for number, line in enumerate(read_utf8(path, "root").decode().split("\n"), start=1):
            stem = line.split()[0] if line.strip() else ""
            if stem and stem not in by_stem:
                where = self.faults.place(path, number)
                self.faults.add("image", "without a label file", where, f"no {quoted(f'{stem}.xml')} in Annotations")
            elif stem:
                found.append(by_stem[stem])
        if not found:
            raise UserError(f"{path}: names no image that has an XML file")
        return found

    def _image(self, path: str, images: "_Images") -> tuple[AnnotatedImage, list[Named]] | None:
        """An image, and its objects by their names; None after a fault."""
        place = self.faults.place(path)
        try:
            tree = read_xml(path)
        except UserError as error:
            where, _, text = str(error).partition(": ")
            self.faults.add("label file", "that cannot be read", self.faults.place(where), text)
            return None
        if tree.tag != "annotation":
            reason = f"<annotation> must be the outermost element, found <{tree.tag[:40]}>"
            self.faults.add("label file", "that cannot be read", place, reason)
            return None
        found, reason = images.of(path, tree.text_of("filename"))
        if found is None:
            self.faults.add("label file", "without an image", place, reason)
            return None
        try:
            size = _size(tree)
        except ValueError as error:
            self.faults.add("image", "with a broken size", place, str(error))
            return None
        objects: list[Named] = []
        for element in tree.children:
            if element.tag != "object":
                continue
            where = self.faults.place(path, element.line)
            try:
                objects.append(self._object(element, where))
            except ValueError as error:
                self.faults.add("object", "with broken values", where, str(error))
        return AnnotatedImage(found, place, size=size), objects

    def _object(self, element: "Element", where: str) -> Named:
        """An object by its name. **Raises:** `ValueError`: what is wrong, unless it is the box alone."""
        name, box = element.text_of("name"), element.child("bndbox")
        if not name:
            raise ValueError("an object needs a <name>")
        if box is None:
            raise ValueError("an object needs a <bndbox> with xmin, ymin, xmax, ymax")
        texts = [box.text_of(side) for side in SIDES]
        numbers = [finite_text(text or "") for text in texts]
        for side, text, number in zip(SIDES, texts, numbers, strict=True):
            if number is None:
                raise ValueError(f"{side} must be a finite number, found {'none' if text is None else quoted(text)}")
        x1, y1, x2, y2 = (number for number in numbers if number is not None)
        difficult = element.text_of("difficult") or "0"
        if difficult.lower() not in ("0", "1", "true", "false"):
            raise ValueError(f"difficult must be 0 or 1, found {quoted(difficult)}")
        if x2 <= x1 or y2 <= y1:
            shown = f"x {x1:g} to {x2:g}, y {y1:g} to {y2:g}; xmax and ymax must be above xmin and ymin"
            self.faults.add("box", "without area", where, shown)
            return name, None
        if self.box_origin == 1 and min(x1, y1) == 0:
            self.num_at_zero += 1
            side = "xmin" if x1 == 0 else "ymin"
            reason = f"{side} is 0, but VOC's first pixel is 1"
            self.faults.add("box", "at pixel 0", where, reason, "data.box_origin=0 if the files count from 0")
            return name, None
        first = self.box_origin
        is_ignored = difficult.lower() in ("1", "true")
        return name, AnnotatedObject((x1 - first, y1 - first, x2, y2), -1, where, is_ignored)


class Element:
    """An XML element: its tag, the line where it starts, its text, what is in it."""

    def __init__(self, tag: str, line: int):
        self.tag, self.line = tag, line
        self.text: list[str] = []
        self.children: list[Element] = []

    def child(self, tag: str) -> "Element | None":
        return next((child for child in self.children if child.tag == tag), None)

    def text_of(self, tag: str) -> str | None:
        """The text of the first child of this tag; None without one."""
        child = self.child(tag)
        return None if child is None else " ".join("".join(child.text).split())


def read_xml(path: str) -> Element:
    """The outermost element.

    **Raises:** `UserError` for a file that cannot be read, is no XML, or declares a document type: what is declared
    there can expand to any size, or be read from another file.
    """
    content = read_utf8(Path(path), "root")
    top, open_elements = Element("", 0), []

    def start(tag: str, _: dict[str, str]) -> None:
        if len(open_elements) > DEEPEST:
            raise UserError(f"{path}:{parser.CurrentLineNumber}: elements are nested too deeply")
        element = Element(tag, parser.CurrentLineNumber)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        open_elements.pop()

    def add(text: str) -> None:
        open_elements[-1].text.append(text)

    def refuse(*_: object) -> None:
        raise UserError(f"{path}:{parser.CurrentLineNumber}: declares a document type; remove <!DOCTYPE ...>")

    open_elements.append(top)
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, add
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise UserError(f"{path}:{error.lineno}: is no XML: {reason}, column {error.offset + 1}") from error
    return top.children[0]


class _Images:
    """All images below a folder, by their names."""

    def __init__(self, paths: list[str]):
        self.paths = set(paths)
        self.by_stem: dict[str, list[str]] = {}
        for path in paths:
            self.by_stem.setdefault(os.path.splitext(os.path.basename(path))[0], []).append(path)

    def of(self, xml: str, filename: str | None) -> tuple[str | None, str]:
        """The image of an XML file, or why there is none: one of its own name, else one that it names."""
        folder, stem = os.path.split(os.path.splitext(xml)[0])
        found = self.by_stem.get(stem, [])
        named = os.path.basename((filename or "").replace("\\", "/"))
        if not found:
            same_stem = self.by_stem.get(os.path.splitext(named)[0], [])
            found = [path for path in same_stem if os.path.basename(path) == named]
        beside = [path for path in found if os.path.dirname(path) == folder]
        exact = [path for path in beside or found if os.path.basename(path) == named]
        chosen = exact if len(exact) == 1 else beside or found
        if len(chosen) == 1:
            return chosen[0], ""
        if chosen:
            return None, f"{len(chosen)} images are called {quoted(stem)}; keep one"
        return None, f"no image is called {quoted(stem)}" + (f" or {quoted(named)}" if named else "")


def _size(tree: Element) -> tuple[int, int] | None:
    """(W, H) as the file says; None: it does not. **Raises:** `ValueError` if it is no size."""
    element = tree.child("size")
    if element is None:
        return None
    texts = [element.text_of(side) for side in ("width", "height")]
    numbers = [finite_text(text or "") for text in texts]
    if any(number is None or number < 1 or not number.is_integer() for number in numbers):
        raise ValueError(f"<size> must have a width and a height above 0, found {quoted(texts)}")
    width, height = (int(number) for number in numbers if number is not None)
    return width, height


def _inner(root: Path) -> Path:
    """The folder with `Annotations`: `root`, or the only one of VOCdevkit/VOC2007 and the like."""
    if not root.is_dir():
        raise UserError(f"data.root: {root} is a file; give {Voc.layout}")
    if (root / "Annotations").is_dir():
        return root
    found = [
        path.parent for depth in ("*", "*/*") for path in sorted(root.glob(f"{depth}/Annotations")) if path.is_dir()
    ]
    return found[0] if len(found) == 1 else root
