"""The user's own pictures of people: one folder a person."""

import functools
from pathlib import Path
from typing import Literal

from dlrun.config.schema import PositiveInt, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.faces.people import People, identity_spec
from dlrun.data.images.imagefolder import (
    STATISTICS,
    decode,
    decoding,
    images_of,
    part_folders,
    subfolders,
    verify,
)
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
        self, *, root: str | None = None, image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 64,
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

        **Raises:** `UserError` for a folder of another layout, a person without images or in two parts, too few people.
        """
        if root is None:
            raise UserError(f"data.root: no folder given; write data.root=FOLDER, a folder with {LAYOUT}")
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.verify = verify
        folders = part_folders(Path(root).expanduser(), LAYOUT)
        images = {part: people_in(folder) for part, folder in folders.items()}
        self.people = People(
            "faces", images, val_fraction=val_fraction, test_fraction=test_fraction, seed=split_seed,
            min_images=min_images,
        )  # fmt: skip
        self.in_channels = in_channels or (1 if self._is_grey() else 3)

    @property
    def spec(self) -> DataSpec:
        mean, std = STATISTICS[self.in_channels]
        return identity_spec(
            self.people.names, in_channels=self.in_channels, image_size=self.image_size, mean=mean, std=std
        )

    def load(self) -> dict[str, Part]:
        """The parts, still as files. **Raises:** `UserError` for broken images, if verified."""
        self.people.tell()
        decoder = functools.partial(decode, image_size=self.image_size, in_channels=self.in_channels)
        num_bytes = self.in_channels * self.image_size[0] * self.image_size[1]
        parts = {part: FilePart(*self.people.part(part), decoder, num_bytes) for part in self.people.parts}
        if self.verify == "full":
            verify(parts.values())
        return dict(parts)

    def _is_grey(self) -> bool:
        return all(is_grey(path) for part in self.people.parts for path in self.people.part(part)[0])


def people_in(folder: Path) -> dict[str, list[str]]:
    """The images of each person, of whom `folder` has a folder each.

    **Raises:** `UserError` if there is none, and for one without images.
    """
    people = {person.name: images_of(person, "person") for person in subfolders(folder)}
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
