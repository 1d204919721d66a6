"""Labeled Faces in the Wild: photographs of the press, one folder a person."""

import functools
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from dlrun.config.places import data_root
from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Range, Seed
from dlrun.config.spec import DataSpec
from dlrun.data import download
from dlrun.data.faces.folder import people_in
from dlrun.data.faces.people import People, identity_spec
from dlrun.data.images.files import LeftOut, subfolders
from dlrun.data.images.imagefolder import STATISTICS, decoding, open_upright, sizes_of, to_tensor
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import FilePart

# scikit-learn's copy, whose address has no file name (behind a question mark it does not matter), and the origin.
MIRRORS = ("https://ndownloader.figshare.com/files/5976015?", "https://vis-www.cs.umass.edu/lfw/")


class LFW(DataSet):
    """13,233 photographs of 5,749 people, 3x250x250, turned and scaled alike (Huang et al. 2007, the funneled ones).

    4,069 people have a single photograph, of which no pair can be made; they are in the test part alone, unless
    `min_images` leaves them out. The others are split by `split_seed`. The face is in the middle: only `crop` of each
    side is kept, since of the rest a network could learn where a photograph was taken.

    Files: `<root>/lfw-py`, as torchvision lays them out; downloaded once if they are not there.
    """

    kind: str = "image"
    target: str = "identity"
    source: str = "download"
    stand_in: str = "data=drawn_faces"
    files: ClassVar[Mapping[str, str | None]] = {
        "lfw-funneled.tgz": "sha256:b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a"
    }
    num_people: ClassVar[int] = 5749

    def __init__(
        self, *, root: FilePath | None = None, image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 64,
        in_channels: Literal[1, 3] = 3, crop: Annotated[float, Range(low=0, high=1, open_low=True)] = 0.5,
        min_images: PositiveInt = 1, val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.2,
        split_seed: Seed = 42, mirrors: tuple[str, ...] | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `image_size`: H and W in pixels; one number if they are equal.
        - `in_channels`: 3 for RGB, 1 for grey.
        - `crop`: the share of the width and of the height that is kept, in the middle.
        - `min_images`: people with fewer photographs are left out.
        - `val_fraction`, `test_fraction`: the shares of the people that become the val and the test part.
        - `split_seed`: chooses the people of each part.
        - `mirrors`: addresses of folders to download from, tried in order; None: the built-in ones.
        """
        self.folder = data_root(root) / "lfw-py"
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.in_channels, self.crop, self.min_images = in_channels, crop, min_images
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed
        self.mirrors = mirrors or MIRRORS

    @property
    def spec(self) -> DataSpec:
        mean, std = STATISTICS[self.in_channels]
        return identity_spec(
            self._people.names, in_channels=self.in_channels, image_size=self.image_size, mean=mean, std=std
        )

    def load(self) -> dict[str, Part]:
        """The parts, still as files. **Raises:** `UserError` if these can neither be found nor downloaded."""
        self._people.tell()
        decoder = functools.partial(
            decode_middle, share=self.crop, image_size=self.image_size, in_channels=self.in_channels
        )
        num_bytes = self.in_channels * self.image_size[0] * self.image_size[1]
        return {part: FilePart(*self._people.part(part), decoder, num_bytes) for part in self._people.parts}

    def read_image(self, path: str, spec: DataSpec) -> tuple[Tensor, Tensor]:
        image = decode_middle(path, self.crop, self.image_size, self.in_channels)
        width, height = sizes_of(path)[0]
        left, top = margin(width, self.crop), margin(height, self.crop)
        scale_x, scale_y = self.image_size[1] / (width - 2 * left), self.image_size[0] / (height - 2 * top)
        frame = [scale_x, scale_y, -left * scale_x, -top * scale_y, width, height]
        return image, torch.tensor(frame, dtype=torch.float64)

    @functools.cached_property
    def _people(self) -> People[str]:
        """Known once the files are there: the archive alone has the names."""
        folder = self.folder / "lfw_funneled"
        # A folder that was left half unpacked lacks the last of them.
        if not folder.is_dir() or len(subfolders(folder)) < self.num_people:
            download.fetch("lfw", self.folder, self.files, self.mirrors, self.stand_in)
            for archive in self.files:
                download.untar(self.folder / archive, self.folder)
        return People(
            "lfw", {"train": people_in(folder, LeftOut())}, val_fraction=self.val_fraction,
            test_fraction=self.test_fraction, seed=self.split_seed, min_images=self.min_images,
        )  # fmt: skip


def decode_middle(path: str, share: float, image_size: tuple[int, int], in_channels: int) -> Tensor:
    """The middle of the image file `path`, `share` of each side, resized to `image_size` (H, W), as uint8 (C, H, W).

    **Raises:** `RunError` with the path if the file is damaged, too large to be an honest image, or no image.
    """
    from PIL import Image

    with decoding(path):
        pixels = open_upright(path, round(max(image_size) / share), in_channels).pixels
        left, top = margin(pixels.width, share), margin(pixels.height, share)
        # Cut before it is resized: else the filter would reach beyond the edge.
        middle = pixels.crop((left, top, pixels.width - left, pixels.height - top))
        resized = middle.resize((image_size[1], image_size[0]), Image.Resampling.BILINEAR)
    return to_tensor(resized, in_channels)


def margin(side: int, share: float) -> int:
    """The pixels cut off at either end of a side, of which about `share` is kept, at least one pixel."""
    return min(round((1 - share) / 2 * side), (side - 1) // 2)
