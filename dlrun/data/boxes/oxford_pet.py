"""Photographs of cats and dogs with the outline of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from dlrun.config.places import data_root
from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data import download
from dlrun.data.boxes.masks import MaskedImages
from dlrun.data.images.imagefolder import STATISTICS
from dlrun.data.reading import read_utf8
from dlrun.engine.contracts import DataSet, Part
from dlrun.errors import UserError

MIRRORS = ("https://www.robots.ox.ac.uk/~vgg/data/pets/data/", "https://thor.robots.ox.ac.uk/pets/")
ARCHIVES: Mapping[str, str | None] = {
    "images.tar.gz": "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
    "annotations.tar.gz": "md5:95a8c909bbe2e81eed6a22bccdf3f68f",
}
VALUES, UNDECIDED = (2, 1), 3  # of a trimap: background and pet; the seam between them, which is not counted
LISTS = {"train": "trainval.txt", "test": "test.txt"}


class OxfordPet(DataSet):
    """7,349 photographs of cats and dogs, and which pixels are of the animal (Parkhi et al. 2012).

    Files: `<root>/oxford-iiit-pet`, as torchvision lays them out, downloaded once if they are not there. Its own lists
    are the train and the test part; the val part is split off from the first by `split_seed`.
    """

    kind: str = "image"
    target: str = "mask"
    source: str = "download"
    stand_in: str = "data=shapes"
    class_names: ClassVar[tuple[str, ...]] = ("background", "pet")

    def __init__(
        self, *, root: FilePath | None = None, image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 128,
        val_fraction: ProperFraction = 0.1, split_seed: Seed = 42, mirrors: tuple[str, ...] | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `image_size`: H and W in pixels to which photographs are resized; one number if they are equal.
        - `val_fraction`: the share of the photographs to train on that becomes the val part.
        - `split_seed`: chooses the photographs of the val part.
        - `mirrors`: addresses of folders to download from, tried in order; None: the built-in ones.
        """
        self.folder = data_root(root) / "oxford-iiit-pet"
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.val_fraction, self.split_seed, self.mirrors = val_fraction, split_seed, mirrors or MIRRORS

    @property
    def spec(self) -> DataSpec:
        mean, std = STATISTICS[3]
        return DataSpec(
            kind="image", target="mask", in_channels=3, image_size=self.image_size, out_features=2,
            class_names=self.class_names, mean=mean, std=std,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        """The parts, in memory. **Raises:** `UserError` if files can neither be found nor downloaded, or are broken."""
        lists = {part: self.folder / "annotations" / name for part, name in LISTS.items()}
        if not all(path.is_file() for path in lists.values()) or not (self.folder / "images").is_dir():
            download.fetch("oxford_pet", self.folder, ARCHIVES, self.mirrors, self.stand_in)
            for archive in ARCHIVES:
                download.untar(self.folder / archive, self.folder)

        def pairs() -> dict[str, list[tuple[Path, Path]]]:
            return {part: self._pairs(path) for part, path in lists.items()}

        split = {"val_fraction": self.val_fraction, "test_fraction": 0, "seed": self.split_seed}
        return MaskedImages(self.folder, pairs, self.class_names, VALUES, UNDECIDED, self.image_size, 3, split).load()

    def _pairs(self, path: Path) -> list[tuple[Path, Path]]:
        """(Photograph, mask) of each line of a list. **Raises:** `UserError` for one that is not there."""
        found = []
        for number, line in enumerate(read_utf8(path, "root").decode().splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            stem = line.split()[0]
            pair = (self.folder / "images" / f"{stem}.jpg", self.folder / "annotations" / "trimaps" / f"{stem}.png")
            for file in pair:
                if not file.is_file():
                    raise UserError(f"{path}:{number}: no file {file}; delete the folder and start again")
            found.append(pair)
        return found
