"""The user's own pictures of people: one folder a person."""

import functools
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.faces.people import People, identity_spec
from dlrun.data.images.files import LeftOut, images_of, subfolders
from dlrun.data.images.imagefolder import STATISTICS, decode, decoding, part_folders, verify, white_of
from dlrun.data.splits import files_of
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import FilePart
from dlrun.errors import RunError, UserError

LAYOUT = "one folder of images a person, or train, val and test folders of such"


class FaceFolder(DataSet):
    """Your own pictures of people: `root` holds one folder a person, or `train`, `val` and `test` folders of such.

    Nobody is in two parts: a part without a folder of its own gets people of `train`, drawn by `split_seed`. Of these,
    people with a single image, of which no pair can be made, all go to the test part. What lies beside the folders is
    not read, so that the AT&T faces (s1 ... s40, 92x112, grey) can be used as they come.

    Each image is turned upright by its EXIF data and resized to `image_size` without regard to its proportions, so that
    no pixel is lost to a margin: cut the faces out alike. [112, 92] keeps those of AT&T as they are.
    """

    kind: str = "image"
    target: str = "identity"
    source: str = "yours"
    stand_in: str = "data=drawn_faces"

    def __init__(
        self, *, root: FilePath | None = None, image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 64,
        in_channels: Literal[1, 3] | None = None, min_images: PositiveInt = 1, val_fraction: ProperFraction = 0.2,
        test_fraction: ProperFraction = 0.25, split_seed: Seed = 42, verify: Literal["full", "none"] = "full",
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder; it is needed.
        - `image_size`: H and W in pixels; one number if they are equal.
        - `in_channels`: 3 for RGB, 1 for grey; None: 1 if no file has colours, else 3.
        - `min_images`: people with fewer images are left out.
        - `val_fraction`, `test_fraction`: the shares of the people that become the val and the test part, where these
          have no folder of their own.
        - `split_seed`: chooses the people of each part.
        - `verify`: `full` decodes every image once before training; with `none` a broken one ends the run later.
        """
        if root is None:
            raise UserError(f"data.root: no folder given; write data.root=FOLDER, a folder with {LAYOUT}")
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.in_channels, self.min_images, self.verify = in_channels, min_images, verify
        self.root = Path(root).expanduser()
        self.split = {"val_fraction": val_fraction, "test_fraction": test_fraction, "seed": split_seed}

    @property
    def people(self) -> People[str]:
        """Who is in which part. **Raises:** `UserError` for a folder of another layout, too few people."""
        return self._listed.people

    @property
    def spec(self) -> DataSpec:
        listed = self._listed
        mean, std = STATISTICS[listed.in_channels]
        return identity_spec(
            listed.people.names, in_channels=listed.in_channels, image_size=self.image_size, mean=mean, std=std,
            white=listed.white,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        """The parts, still as files. **Raises:** `UserError` for broken images, if verified."""
        people, in_channels, white = self._listed
        people.tell()
        decoder = functools.partial(decode, image_size=self.image_size, in_channels=in_channels, white=white)
        num_bytes = in_channels * self.image_size[0] * self.image_size[1]
        parts = {part: FilePart(*people.part(part), decoder, num_bytes) for part in people.parts}
        if self.verify == "full":
            verify(parts.values())
        return dict(parts)

    @functools.cached_property
    def _listed(self) -> "_Listed":
        left_out = LeftOut()
        folders = part_folders("faces", self.root, LAYOUT)
        files = [
            (path, name, part)
            for part, folder in folders.items()
            for name, own in people_in(folder, left_out).items()
            for path in own
        ]
        left_out.say("faces")
        paths, names = [path for path, _, _ in files], [name for _, name, _ in files]
        pieces = files_of(self, "faces", paths, names, self.root, whole=self.verify == "full")
        files = [files[place] for place in pieces.index]
        kept = None
        if (parts := pieces.parts()) is not None:
            files = [(path, name, part) for (path, name, _), part in zip(files, parts, strict=True) if part is not None]
            kept = {name: part for _, name, part in files}
        images: dict[str, dict[str, list[str]]] = {part: {} for part in folders} if kept is None else {}
        for path, name, part in files:
            images.setdefault(part if kept is None else "train", {}).setdefault(name, []).append(path)
        people = People("faces", images, **self.split, min_images=self.min_images, kept=kept)
        part_of = {path: part for part in people.parts for path in people.part(part)[0]}
        used = [part_of.get(paths[place]) for place in pieces.index]
        pieces.note({part: np.flatnonzero([own == part for own in used]) for part in people.parts})
        in_channels = self.in_channels or (1 if all(map(is_grey, part_of)) else 3)
        if self.offered is not None:
            return _Listed(people, self.offered.in_channels or in_channels, self.offered.white)
        return _Listed(people, in_channels, white_of(part_of))


class _Listed(NamedTuple):
    """The people and their files; see `white_of`."""

    people: People[str]
    in_channels: int
    white: int | None


def people_in(folder: Path, left_out: LeftOut) -> dict[str, list[str]]:
    """The images of each person, of whom `folder` has a folder each.

    **Raises:** `UserError` if there is none, and for one without images.
    """
    people = {person.name: images_of(person, "person", left_out) for person in subfolders(folder)}
    if not people:
        raise UserError(f"data.root: {folder} holds no folder of a person; give a folder with {LAYOUT}")
    return people


def is_grey(path: str) -> bool:
    """Whether an image file is stored without colours; one that cannot be read has none."""
    from PIL import Image, ImageMode

    try:
        with decoding(path), Image.open(path) as image:
            return ImageMode.getmode(image.mode).basemode == "L"
    except RunError:
        return True
