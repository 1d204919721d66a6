"""Annotated images of the user's own, whatever their format: what is read, what is checked, and what becomes of faults.

Letters: W, H pixels of an image, n boxes of an image, K classes.
"""

import functools
import math
import os
import reprlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Seed, few, suggest
from dlrun.config.spec import DataSpec
from dlrun.data.boxes.letterbox import decode_letterboxed, framed, to_input
from dlrun.data.boxes.objects import Objects, ObjectsFiles
from dlrun.data.boxes.outlines import InstanceFiles, Outline, fitted
from dlrun.data.images.files import is_clutter, is_image
from dlrun.data.images.imagefolder import PART_FOLDERS, STATISTICS, decoding, open_upright, sizes_of, white_of
from dlrun.data.notes import say
from dlrun.data.splits import files_of, group_names
from dlrun.engine.contracts import DataSet, Part
from dlrun.errors import RunError, UserError

TOLERANCE = 1.0  # pixels by which a box may leave its image: rounding, not a fault
LEAST_SIDE = 1.0  # pixels of a box; less is a click, not an object
MOST_LETTERS = 340  # of a message
MOST_FAULT_LETTERS = 130  # of one fault in it


@dataclass(slots=True)
class AnnotatedObject:
    """One object of an image.

    **Fields:**

    - `box`: x1, y1, x2, y2 in pixels of the upright image, or in shares of its sides; see `AnnotatedImage`.
    - `label`: the class; -1 for a region that has none.
    - `where`: `file:line`, or `file, annotation 17`.
    - `ignored`: of the region nothing is known.
    - `outline`: as `outlines.mask_of` takes it.
    """

    box: tuple[float, float, float, float]
    label: int
    where: str
    ignored: bool = False
    outline: Outline | None = None


@dataclass(slots=True)
class AnnotatedImage:
    """An image file and what is in it.

    **Fields:**

    - `path`: of the image.
    - `where`: the place that names it.
    - `objects`: none, one or many.
    - `size`: (W, H) as the annotation says; None: it does not.
    - `is_relative`: boxes are shares of the width and height, not pixels.
    """

    path: str
    where: str
    objects: list[AnnotatedObject] = field(default_factory=list)
    size: tuple[int, int] | None = None
    is_relative: bool = False


class Fault(NamedTuple):
    """One fault: what it is (`box`, `without area`), where, and what was found and is allowed."""

    noun: str
    rest: str
    where: str
    text: str


class Faults:
    """All faults of the files below `root`, in the order in which they were found."""

    def __init__(self, root: Path):
        self.root = root
        self.base = str(root if root.is_dir() else root.parent).rstrip(os.sep) + os.sep
        self.found: list[Fault] = []
        self.hints: dict[str, None] = {}  # what else can be done, each once

    def add(self, noun: str, rest: str, where: str, text: str, hint: str = "") -> None:
        self.found.append(Fault(noun, rest, where, text))
        if hint:
            self.hints[hint] = None

    def place(self, path: str | os.PathLike[str], line: int | None = None) -> str:
        """A file, and a line of it, as a message names it: seen from `root`."""
        name = str(path).removeprefix(self.base)
        return name if line is None else f"{name}:{line}"

    def copy(self) -> "Faults":
        found = Faults(self.root)
        found.found, found.hints = list(self.found), dict(self.hints)
        return found

    def counted(self) -> str:
        """`2 boxes without area, 1 image without a file`."""
        counts = Counter((fault.noun, fault.rest) for fault in self.found)
        return few([f"{plural(count, noun)} {rest}" for (noun, rest), count in counts.items()], 3)

    def listed(self, room: int) -> str:
        """The first three, or those that fit into so many letters, but one at least; and how many there are more."""
        texts, used = [], 0
        for fault in self.found[:3]:
            text = clipped(f"{fault.where}: {fault.text}", MOST_FAULT_LETTERS)
            if texts and used + len(text) > room:
                break
            texts.append(text)
            used += len(text) + 2
        rest = len(self.found) - len(texts)
        return "; ".join(texts) + (f"; and {rest} more" if rest else "")

    def settle(self, name: str, policy: str, num_doubled: int) -> None:
        """Prints what is left out, if anything. **Raises:** `UserError` for any fault, unless the policy is `drop`."""
        if self.found and policy == "error":
            start, end = f"{self.root}: {self.counted()}: ", "; fix them, or data.broken=drop leaves them out"
            end = "".join(f"; {hint}" for hint in self.hints) + end
            raise UserError(start + self.listed(MOST_LETTERS - len(start) - len(end)) + end)
        doubled = [f"{plural(num_doubled, 'box')} given twice"] if num_doubled else []
        if self.found:
            say(name, f"{', '.join([self.counted(), *doubled])} left out ({self.listed(MOST_LETTERS)})")
        elif doubled:
            say(name, f"{doubled[0]} left out")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('x') else 's'}"


def clipped(text: str, most: int) -> str:
    # A name in a file may hold what moves the cursor of a terminal.
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in " ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 3]}..."


def quoted(value: Any) -> str:
    """Any value of a file on one line of a message; what is deep or long is cut."""
    shortened = reprlib.Repr()
    shortened.maxstring = shortened.maxother = shortened.maxlong = 40
    shortened.maxlist = shortened.maxtuple = 5
    shortened.maxdict = shortened.maxlevel = 2
    try:
        return " ".join(shortened.repr(value).split())
    except (ValueError, RecursionError):  # an integer of thousands of digits has no text
        return f"a value of type {type(value).__name__}"


def finite(value: Any) -> float | None:
    """A number of a file as a float; None for anything else, a flag, a nan and an infinity too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def finite_text(text: str) -> float | None:
    """A text as a finite number; None if it is none."""
    try:
        # Python reads 1_000, which no other program writes.
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def entries_below(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """The files below `folder` that end in one of `suffixes`, sorted, without hidden ones and clutter.

    **Raises:** `UserError` for a folder that cannot be read.
    """
    found = []

    def fail(error: OSError) -> None:
        raise UserError(f"data.root: cannot read {error.filename} ({error.strerror})") from error

    for parent, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        found += [
            os.path.join(parent, name)
            for name in sorted(files)
            if name.lower().endswith(tuple(suffixes)) and not is_clutter(name)
        ]
    return found


def images_below(folder: Path) -> list[str]:
    return [path for path in entries_below(folder, [""]) if is_image(Path(path))]


def part_name(text: str) -> str | None:
    """The part that a folder, a file or a list of this name stands for: `train2017`, `valid`, `Test`; None: no part."""
    return PART_FOLDERS.get(text.lower().rstrip("0123456789").rstrip("_-"))


class AnnotatedImages(DataSet):
    """Images of the user's own and the objects in them: what the formats share.

    A subclass reads its files in `read`. Each image is turned upright by its EXIF data, scaled to fit into `image_size`
    with its aspect kept, and padded with grey; boxes follow exactly.
    """

    kind: str = "image"
    target: str = "boxes|instances"
    source: str = "yours"
    stand_in: str = "data=shapes"
    name = ""  # as `data=` takes it
    layout = ""  # what `root` is, in a message

    def __init__(
        self, *, root: FilePath | None = None, learn: Literal["boxes", "instances"] | None = None,
        classes: tuple[str, ...] | None = None, image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 256,
        in_channels: Literal[1, 3] = 3, val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.1,
        split_seed: Seed = 42, group_by: str | None = None, broken: Literal["error", "drop"] = "error",
        verify: Literal["full", "none"] = "full",
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder, or the file that describes it; it is needed.
        - `learn`: `boxes`, or `instances`: boxes with the mask of each object; None: what the model answers with.
        - `classes`: the classes to learn, in this order; objects of others are left out. None: all.
        - `image_size`: H and W in pixels of the model's input; one number if they are equal. 256 lets two CPU cores
          train in minutes; 640 is usual on a GPU, and finds smaller objects.
        - `in_channels`: 3 for RGB, 1 for grey.
        - `val_fraction`, `test_fraction`: the shares of all images that become the val and the test part, where these
          have no files of their own.
        - `split_seed`: chooses the images of each part.
        - `group_by`: a text; images of the same name up to its last place, such as `clip3_0001` and `clip3_0002` by
          `_`, come into the same part. None: each image is by itself.
        - `broken`: `error` names what is wrong in the files; `drop` leaves it out and counts it.
        - `verify`: `full` decodes every image once before training; with `none` a broken one ends the run later.
        """
        if root is None:
            raise UserError(f"data.root: no folder given; write data.root=FOLDER: {self.layout}")
        self.root = Path(root).expanduser()
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.learn, self.in_channels, self.verify, self.broken = learn or "boxes", in_channels, verify, broken
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed
        self.group_by = group_by
        if classes is not None and (not classes or len(set(classes)) < len(classes)):
            raise ValueError(f"classes must name one or more different classes, found {', '.join(classes) or 'none'}")
        self.wanted = classes

    @functools.cached_property
    def images(self) -> dict[str, list[AnnotatedImage]]:
        """What `read` gives. **Raises:** `UserError` if there is no `root`."""
        if not self.root.exists():
            raise UserError(f"data.root: no folder {self.root}; give {self.layout}")
        if self.offered is not None and self.wanted is None:
            self.wanted = self.offered.class_names
        return self.read()

    @functools.cached_property
    def faults(self) -> Faults:
        """Those that `read` finds."""
        return Faults(self.root)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes to learn, which `read` chooses."""
        assert self.images is not None
        return self._class_names

    @functools.cached_property
    def white(self) -> int | None:
        """See `white_of`."""
        if self.offered is not None:
            return self.offered.white
        return white_of(image.path for images in self.images.values() for image in images)

    @property
    def spec(self) -> DataSpec:
        mean, std = STATISTICS[self.in_channels]
        return DataSpec(
            kind="image", target=self.learn, in_channels=self.in_channels, image_size=self.image_size,
            out_features=len(self.class_names), class_names=self.class_names, mean=mean, std=std, white=self.white,
        )  # fmt: skip

    def read(self) -> dict[str, list[AnnotatedImage]]:
        """The images of each part that has files, `train` among them; sets `class_names` and adds to `faults`.

        **Raises:** `UserError` for files that cannot be used at all.
        """
        raise NotImplementedError

    def read_image(self, path: str, spec: DataSpec) -> tuple[Tensor, Tensor]:
        image = decode_letterboxed(path, self.image_size, self.in_channels, spec.white)
        return image, torch.tensor(framed(sizes_of(path)[0], self.image_size), dtype=torch.float64)

    def load(self) -> dict[str, Part]:
        """The parts, still as files.

        **Raises:** `UserError` for faults of annotations and images, unless these are to be dropped.
        """
        pairs = [(name, image) for name, images in self.images.items() for image in images]
        faults, doubles = self.faults.copy(), Counter()
        paths, told = [image.path for _, image in pairs], [self._told(image) for _, image in pairs]
        pieces = files_of(self, self.name, paths, told, faults.base, whole=self.verify == "full")
        checked: list[AnnotatedImage] = []
        places, given = [], []
        seen: set[tuple[str, str]] = set()
        found = [pairs[place] for place in pieces.index]
        for place, (name, image) in enumerate(tqdm(found, desc="checking images", unit="image", disable=None)):
            if (name, image.path) in seen:
                faults.add("image", "listed twice", image.where, f"{faults.place(image.path)} stands there before")
                continue
            seen.add((name, image.path))
            size = self._size(image, faults)
            if size is not None:
                checked.append(self._checked(image, size, faults, doubles))
                places.append(place)
                given.append(name)
        faults.settle(self.name, self.broken, doubles.total())
        if "train" not in given:
            raise UserError(f"{self.root}: no image is left to train on; give {self.layout}")
        self._say_absent([image for image, part in zip(checked, given, strict=True) if part == "train"])
        parts = pieces.divide(
            None, np.array(places), given, val_fraction=self.val_fraction, test_fraction=self.test_fraction,
            seed=self.split_seed, groups=group_names([image.path for image in checked], self.group_by),
        )  # fmt: skip
        whole = self._part(checked)
        return {part: whole.subset(torch.from_numpy(own)) for part, own in parts.items()}

    def _told(self, image: AnnotatedImage) -> str:
        """What the annotation of an image says, wherever it stands."""
        objects = [(self.class_names[each.label] if each.label >= 0 else "", each) for each in image.objects]
        return repr([(name, each.box, each.ignored, each.outline) for name, each in objects])

    def choose_classes(self, names: Iterable[str], where: str) -> dict[str, int]:
        """The label of each class to learn, of all `names` in their order; sets `class_names`.

        **Raises:** `UserError` for a wanted class that is not there.
        """
        known = list(names)
        for name in self.wanted or ():
            if name not in known:
                found = few(map(quoted, known))
                raise UserError(
                    f"data.classes: {where} has no class {quoted(name)}{suggest(name, known)} (its classes: {found})"
                )
        self._class_names = self.wanted or tuple(known)
        return {name: label for label, name in enumerate(self._class_names)}

    def _size(self, image: AnnotatedImage, faults: Faults) -> tuple[int, int] | None:
        """The size (W, H) of an image, upright; None after a fault."""
        if not os.path.isfile(image.path):
            faults.add("image", "without a file", image.where, f"no file {faults.place(image.path)}")
            return None
        try:
            if self.verify == "full":
                with decoding(image.path):
                    opened = open_upright(image.path, 1, self.in_channels)
                upright, stored = opened.size, opened.stored
            else:
                upright, stored = sizes_of(image.path)
        except RunError as error:
            reason = str(error).removeprefix(f"{image.path}: ").removesuffix("; replace or remove it")
            place = faults.place(image.path)
            text = reason if place == image.where else f"{place} {reason}"
            faults.add("image", "that cannot be decoded", image.where, text)
            return None
        if image.size in (None, upright):
            return upright
        found = f"{image.size[0]}x{image.size[1]} here, {faults.place(image.path)} is {upright[0]}x{upright[1]}"
        if image.size == stored:
            found += " once its EXIF data turn it upright; save it turned"
        faults.add("image", "of another size", image.where, found)
        return None

    def _checked(
        self, image: AnnotatedImage, size: tuple[int, int], faults: Faults, doubles: Counter
    ) -> AnnotatedImage:
        """`image` with boxes in pixels, none out of it, none twice; `size` (W, H)."""
        kept: dict[tuple, AnnotatedObject] = {}
        for found in image.objects:
            box = found.box
            if image.is_relative:
                box = (box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1])
            x1, y1, x2, y2 = (max(0.0, min(side, end)) for side, end in zip(box, size * 2, strict=True))
            shown = f"x {box[0]:g} to {box[2]:g}, y {box[1]:g} to {box[3]:g}"
            # A hair less than a pixel is one that was divided and multiplied by the size.
            if min(box[2] - box[0], box[3] - box[1]) < LEAST_SIDE - 1e-3:
                faults.add("box", "without area", found.where, f"{shown}; a box is at least a pixel wide and high")
            elif max(-box[0], -box[1], box[2] - size[0], box[3] - size[1]) > TOLERANCE or x1 >= x2 or y1 >= y2:
                hint = f"its image is {size[0]}x{size[1]}" + (", and shares reach from 0 to 1" * image.is_relative)
                faults.add("box", "outside of its image", found.where, f"{shown}; {hint}")
            elif self.learn == "instances" and found.outline is None and not found.ignored:
                faults.add("object", "without an outline", found.where, "data.learn=instances needs a polygon or mask")
            elif (outline := self._outline(found, size, image.is_relative, faults)) is None and found.outline:
                continue
            elif (key := (x1, y1, x2, y2, found.label, found.ignored)) in kept:
                doubles[key] += 1
            else:
                kept[key] = replace(found, box=(x1, y1, x2, y2), outline=outline)
        return replace(image, objects=list(kept.values()), size=size, is_relative=False)

    def _outline(
        self, found: AnnotatedObject, size: tuple[int, int], is_relative: bool, faults: Faults
    ) -> Outline | None:
        """The outline of an object in pixels; None without one, or after a fault."""
        try:
            return None if found.outline is None else fitted(found.outline, size, is_relative)
        except ValueError as error:
            faults.add("object", "with a broken outline", found.where, str(error))
            return None

    def _say_absent(self, images: list[AnnotatedImage]) -> None:
        """A class without a single box is known of, though it can not be learned."""
        present = {found.label for image in images for found in image.objects if not found.ignored}
        absent = [name for label, name in enumerate(self.class_names) if label not in present]
        if absent:
            say(self.name, f"no box in train is of the class {few(map(quoted, absent))}; data.classes chooses others")

    def _part(self, images: list[AnnotatedImage]) -> ObjectsFiles:
        boxes, labels, ignored, frames, outlines = [], [], [], [], []
        for image in images:
            assert image.size is not None
            frame = torch.tensor(framed(image.size, self.image_size))
            taught = [found for found in image.objects if not found.ignored]
            boxes.append(_boxes(taught, frame))
            ignored.append(_boxes([found for found in image.objects if found.ignored], frame))
            labels.append(torch.tensor([found.label for found in taught], dtype=torch.int64))
            frames.append(frame)
            outlines.append([found.outline for found in taught])
        target = Objects(boxes, labels, ignored, torch.stack(frames))
        decoder = functools.partial(
            decode_letterboxed, image_size=self.image_size, in_channels=self.in_channels, white=self.white
        )
        num_bytes = self.in_channels * self.image_size[0] * self.image_size[1]
        paths = [image.path for image in images]
        if self.learn == "instances":
            return InstanceFiles(paths, target, decoder, num_bytes, outlines, self.image_size)
        return ObjectsFiles(paths, target, decoder, num_bytes)


def _boxes(objects: list[AnnotatedObject], frame: torch.Tensor) -> torch.Tensor:
    """Their boxes (n, 4) in pixels of the input."""
    pixels = torch.tensor([found.box for found in objects], dtype=torch.float64).view(-1, 4)
    return to_input(pixels, frame).float()
