"""Well-known data sets of objects in photographs: downloaded once, then read as folders of the user's own are."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from dlrun.config.places import data_root
from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data import download
from dlrun.data.boxes.annotated import AnnotatedImage, AnnotatedImages, AnnotatedObject, entries_below
from dlrun.data.boxes.letterbox import decode_letterboxed, framed
from dlrun.data.boxes.outlines import Runs
from dlrun.data.boxes.voc import Voc
from dlrun.data.images.imagefolder import STATISTICS, decoding, sizes_of
from dlrun.engine.contracts import DataSet, Part

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


class PublishedObjects(DataSet):
    """What they share: what they offer is known before anything is downloaded.

    **Class attributes:**

    - `folder_name`: the folder below `<root>` that is read.
    - `classes`: one name a class.
    - `archives`: the files to download into `<root>`, and their checksums where somebody publishes them.
    - `usual_mirrors`: the addresses of folders that have them.
    """

    kind: str = "image"
    source: str = "download"
    stand_in: str = "data=shapes"
    name: str
    folder_name: str
    classes: tuple[str, ...]
    archives: ClassVar[Mapping[str, str | None]]
    usual_mirrors: ClassVar[tuple[str, ...]]

    def __init__(
        self, root: str | None, learn: Literal["boxes", "instances"], image_size: int | tuple[int, int],
        broken: Literal["error", "drop"], mirrors: tuple[str, ...] | None,
    ):  # fmt: skip
        self.root = data_root(root)
        self.folder = self.root / self.folder_name
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.learn: Literal["boxes", "instances"] = learn
        self.broken: Literal["error", "drop"] = broken
        self.mirrors = mirrors or self.usual_mirrors

    @property
    def spec(self) -> DataSpec:
        mean, std = STATISTICS[3]
        return DataSpec(
            kind="image", target=self.learn, in_channels=3, image_size=self.image_size,
            out_features=len(self.classes), class_names=self.classes, mean=mean, std=std,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        """The parts, still as files.

        **Raises:** `UserError` if it can neither be found nor downloaded, and for faults of its files.
        """
        if not self.is_there():
            download.fetch(self.name, self.root, self.archives, self.mirrors, self.stand_in)
            for archive in self.archives:
                unpack = download.unzip_all if archive.endswith(".zip") else download.untar
                unpack(self.root / archive, self.root)
        return self._reader.load()

    def read_image(self, path: str, spec: DataSpec) -> tuple[Tensor, Tensor]:
        image = decode_letterboxed(path, self.image_size, 3)
        return image, torch.tensor(framed(sizes_of(path)[0], self.image_size), dtype=torch.float64)

    def is_there(self) -> bool:
        """Whether its files have been unpacked."""
        raise NotImplementedError

    @functools.cached_property
    def _reader(self) -> AnnotatedImages:
        return self.read()

    def read(self) -> AnnotatedImages:
        """Its folder as one of the user's own."""
        raise NotImplementedError


class VOC2007(PublishedObjects):
    """9,963 photographs with 24,640 objects of 20 classes, 2,501 of them to train on (Pascal VOC 2007).

    Objects marked as difficult are neither taught nor counted. Files: `<root>/VOCdevkit/VOC2007`, downloaded once if
    they are not there; its own lists are the train, val and test part.
    """

    target: str = "boxes"
    name = "voc2007"
    folder_name = "VOCdevkit/VOC2007"
    classes = VOC_CLASSES
    archives: ClassVar[Mapping[str, str | None]] = {
        "VOCtrainval_06-Nov-2007.tar": "md5:c52e279531787c972589f7e41ab4ae64",
        "VOCtest_06-Nov-2007.tar": "md5:b6e924de25625d8de591ea690078ad9f",
    }
    usual_mirrors = ("https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/", "https://pjreddie.com/media/files/")

    def __init__(
        self, *, root: FilePath | None = None, learn: Literal["boxes"] | None = None,
        image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 256, broken: Literal["error", "drop"] = "drop",
        mirrors: tuple[str, ...] | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `learn`: `boxes`, and nothing else.
        - `image_size`: H and W in pixels of the model's input; one number if they are equal.
        - `broken`: `error` names what is wrong in the files; `drop` leaves it out and counts it.
        - `mirrors`: addresses of folders to download from, tried in order; None: the built-in ones.
        """
        super().__init__(root, learn or "boxes", image_size, broken, mirrors)

    def is_there(self) -> bool:
        lists = [self.folder / "ImageSets" / "Main" / f"{part}.txt" for part in ("train", "val", "test")]
        return all(path.is_file() for path in lists)

    def read(self) -> AnnotatedImages:
        return Voc(root=str(self.folder), classes=self.classes, image_size=self.image_size, broken=self.broken)


class PennFudan(PublishedObjects):
    """170 photographs of streets with 345 people who walk, each with a mask (Wang et al. 2007).

    Files: `<root>/PennFudanPed`, downloaded once if they are not there. The photographs are split by `split_seed`.
    """

    target: str = "boxes|instances"
    name = "penn_fudan"
    folder_name = "PennFudanPed"
    classes = ("person",)
    # Nobody publishes a checksum.
    archives: ClassVar[Mapping[str, str | None]] = {"PennFudanPed.zip": None}
    usual_mirrors = ("https://www.cis.upenn.edu/~jshi/ped_html/",)

    def __init__(
        self, *, root: FilePath | None = None, learn: Literal["boxes", "instances"] | None = None,
        image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 256, val_fraction: ProperFraction = 0.1,
        test_fraction: ProperFraction = 0.2, split_seed: Seed = 42, broken: Literal["error", "drop"] = "error",
        mirrors: tuple[str, ...] | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `learn`: `boxes`, or `instances`: boxes with the mask of each; None: what the model answers with.
        - `image_size`: H and W in pixels of the model's input; one number if they are equal.
        - `val_fraction`, `test_fraction`: the shares of the photographs that become the val and the test part.
        - `split_seed`: chooses the photographs of each part.
        - `broken`: `error` names what is wrong in the files; `drop` leaves it out and counts it.
        - `mirrors`: addresses of folders to download from, tried in order; None: the built-in ones.
        """
        super().__init__(root, learn or "boxes", image_size, broken, mirrors)
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed

    def is_there(self) -> bool:
        return all((self.folder / name).is_dir() for name in ("PNGImages", "PedMasks"))

    def read(self) -> AnnotatedImages:
        return MaskedPeople(
            root=str(self.folder), learn=self.learn, image_size=self.image_size, broken=self.broken,
            val_fraction=self.val_fraction, test_fraction=self.test_fraction, split_seed=self.split_seed,
        )  # fmt: skip


class MaskedPeople(AnnotatedImages):
    """The layout of Penn-Fudan: `PNGImages/*.png`, and `PedMasks/*_mask.png` with 1, 2 ... for the people in each."""

    name = "penn_fudan"
    layout = "a folder with PNGImages and PedMasks"

    def read(self) -> dict[str, list[AnnotatedImage]]:
        self.choose_classes(PennFudan.classes, str(self.root))
        found = []
        for path in entries_below(self.root / "PNGImages", [".png"]):
            mask = self.root / "PedMasks" / f"{Path(path).stem}_mask.png"
            place = self.faults.place(str(mask))
            if mask.is_file():
                found.append(AnnotatedImage(path, place, _people(str(mask), place)))
            else:
                self.faults.add("image", "without a mask", self.faults.place(path), f"no {place}")
        return {"train": found}


def _people(path: str, place: str) -> list[AnnotatedObject]:
    """The people in a mask: around the pixels of each number a box, and they themselves."""
    from PIL import Image

    with decoding(path), Image.open(path) as opened:
        numbers = np.array(opened)
    found = []
    for number in np.unique(numbers[numbers > 0]).tolist():
        mask = numbers == number
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        found.append(AnnotatedObject(box, 0, f"{place}, person {number}", outline=_runs(mask)))
    return found


def _runs(mask: np.ndarray) -> Runs:
    """A mask (H, W) as runs of pixels, column by column."""
    pixels = mask.T.reshape(-1)
    ends = np.flatnonzero(np.diff(pixels)) + 1
    counts = np.diff(np.concatenate([[0], ends, [len(pixels)]]))
    return Runs(np.concatenate([[0], counts]) if pixels[0] else counts, *mask.shape)
