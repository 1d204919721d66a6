"""The user's own images: one folder a class."""

import contextlib
import functools
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from dlrun.config.schema import PositiveInt, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.splits import completed, group_names
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import FilePart
from dlrun.errors import RunError, UserError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
PART_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# What file managers, archives and notebooks leave behind beside names with a leading dot or two underscores.
CLUTTER = ("lost+found", "$RECYCLE.BIN", "System Volume Information", "@eaDir")
LAYOUT = "one folder of images a class, or train, val and test folders of such"
# The statistics of ImageNet, which pretrained weights expect, and their average for grey images.
STATISTICS = {1: ((0.449,), (0.226,)), 3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


class ImageFolder(DataSet):
    """Your own images: `root` holds one folder a class, or `train`, `val` and `test` folders of such.

    A part without a folder of its own is split off from the rest by `split_seed`. The classes are the folders of the
    training part, in alphabetical order. Each image is turned upright by its EXIF data and resized to `image_size`.
    """

    kind: str = "image"
    target: str = "class"
    source: str = "yours"
    stand_in: str = "data=digits"

    def __init__(
        self, *, root: str | None = None, image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 64,
        in_channels: Literal[1, 3] = 3, val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.1,
        split_seed: Seed = 42, group_by: str | None = None, verify: Literal["full", "none"] = "full",
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder; it is needed.
        - `image_size`: H and W in pixels; one number if they are equal.
        - `in_channels`: 3 for RGB, 1 for grey.
        - `val_fraction`, `test_fraction`: the shares of all images that become the val and the test part, where these
          have no folder of their own.
        - `split_seed`: chooses the images of each part.
        - `group_by`: a text; images of the same name up to its last place, such as `clip3_0001` and `clip3_0002` by
          `_`, come into the same part. None: each image is by itself.
        - `verify`: `full` decodes every image once before training; with `none` a broken one ends the run later.
        """
        if root is None:
            raise UserError(f"data.root: no folder given; write data.root=FOLDER, a folder with {LAYOUT}")
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.in_channels, self.verify = in_channels, verify
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed
        self.group_by = group_by
        self.folders = part_folders(Path(root).expanduser(), LAYOUT)
        self.class_names = _class_names(self.folders)

    @property
    def spec(self) -> DataSpec:
        mean, std = STATISTICS[self.in_channels]
        return DataSpec(
            kind="image", target="class", in_channels=self.in_channels, image_size=self.image_size,
            out_features=len(self.class_names), class_names=self.class_names, mean=mean, std=std,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        """The parts, still as files.

        **Raises:** `UserError` for a class folder without images and, if verified, for broken images.
        """
        listed = {name: self._part(folder) for name, folder in self.folders.items()}
        if self.verify == "full":
            verify(list(listed.values()))
        return completed(
            listed, val_fraction=self.val_fraction, test_fraction=self.test_fraction, seed=self.split_seed,
            groups=group_names(listed["train"].paths, self.group_by),
        )  # fmt: skip

    def _part(self, folder: Path) -> FilePart:
        paths: list[str] = []
        labels: list[int] = []
        for class_folder in subfolders(folder):
            images = images_of(class_folder, "class")
            paths += images
            labels += [self.class_names.index(class_folder.name)] * len(images)
        decoder = functools.partial(decode, image_size=self.image_size, in_channels=self.in_channels)
        height, width = self.image_size
        return FilePart(paths, torch.tensor(labels), decoder, self.in_channels * height * width)


class Upright(NamedTuple):
    """An image file: its pixels upright, in 8 bits of grey or RGB, and its size (W, H), also as it is stored."""

    pixels: "Image"  # of a JPEG perhaps at a half, quarter or eighth of `size`
    size: tuple[int, int]
    stored: tuple[int, int]


def decode(path: str, image_size: tuple[int, int] | int, in_channels: int) -> Tensor:
    """The image file `path` upright and resized to `image_size` (H, W), as uint8 (C, H, W); the first frame of many.

    If `image_size` is one number, the longer side is shrunk to it; a smaller image stays as it is.

    **Raises:** `RunError` with the path if the file is damaged, too large to be an honest image, or no image.
    """
    from PIL import Image

    longest = image_size if isinstance(image_size, int) else max(image_size)
    with decoding(path):
        upright = open_upright(path, longest, in_channels).pixels
        height, width = _shrunk(upright, image_size) if isinstance(image_size, int) else image_size
        resized = upright.resize((width, height), Image.Resampling.BILINEAR)
    return to_tensor(resized, in_channels)


@contextlib.contextmanager
def decoding(path: str) -> Iterator[None]:
    """**Raises:** `RunError` with the path for whatever goes wrong while the image file is read."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except Exception as error:  # damaged bytes make PIL's readers raise nearly any type
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RunError(f"{path}: cannot be decoded ({reason}); replace or remove it") from error


def open_upright(path: str, longest: int, in_channels: int) -> Upright:
    """The image file `path`, turned by its EXIF data; at least `longest` pixels a side, if it has as many.

    **Raises:** nearly anything; see `decoding`.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        stored = image.size
        # A JPEG is decoded at a half, quarter or eighth of its size where that is still large enough.
        image.draft(None, (longest, longest))
        pixels = _to_eight_bits(ImageOps.exif_transpose(image)).convert("L" if in_channels == 1 else "RGB")
        return Upright(pixels, _turned(image, stored), stored)


def sizes_of(path: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size (W, H) of an image file upright, and as it is stored; of most kinds of files without decoding it.

    **Raises:** `RunError` as `decode`.
    """
    from PIL import Image

    with decoding(path), Image.open(path) as image:
        return _turned(image, image.size), image.size


def _turned(image: "Image", size: tuple[int, int]) -> tuple[int, int]:
    from PIL import ExifTags

    width, height = size
    return (height, width) if image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8) else (width, height)


def to_tensor(image: "Image", in_channels: int) -> Tensor:
    """The pixels (C, H, W) of an image in 8 bits of grey or RGB."""
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, in_channels).permute(2, 0, 1).contiguous()


def _shrunk(image: "Image", longest: int) -> tuple[int, int]:
    """(H, W) of `image` with its longer side cut down to `longest` pixels."""
    share = min(1.0, longest / max(image.size))
    return max(1, round(image.height * share)), max(1, round(image.width * share))


def _to_eight_bits(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I"):
        # 16-bit grey; PIL's own conversion cuts off at 255 instead of scaling.
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers of unknown range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image


def verify(parts: Iterable[FilePart]) -> None:
    """Decodes every image once: a broken one should be known now, not hours into the training.

    **Raises:** `UserError` that counts the broken ones and names the first.
    """
    samples = [(part, index) for part in parts for index in range(len(part))]
    broken = []
    for part, index in tqdm(samples, desc="checking images", unit="image", disable=None):
        try:
            part.decode(part.paths[index])
        except RunError as error:
            broken.append(str(error))
    if broken:
        more = f"; and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise UserError(f"data.root: {len(broken)} of {len(samples)} images are broken: {'; '.join(broken[:3])}{more}")


def part_folders(root: Path, layout: str) -> dict[str, Path]:
    """The folder of each part that has one; `root` itself is the training part if none has.

    **Raises:** `UserError` if there is no `root`, of which `layout` says what it holds, or parts contradict each other.
    """
    if not root.is_dir():
        raise UserError(f"data.root: no folder {root}; give a folder with {layout}")
    found: dict[str, Path] = {}
    for folder in subfolders(root):
        name = PART_FOLDERS.get(folder.name.lower())
        # A class may be called train, too: then it holds images, not folders.
        if name is None or not subfolders(folder):
            continue
        if name in found:
            raise UserError(f"data.root: {found[name]} and {folder} both stand for the {name} part; keep one")
        found[name] = folder
    if found and "train" not in found:
        raise UserError(f"data.root: {root} has a folder for {', '.join(found)} but none for train")
    return found or {"train": root}


def _class_names(folders: dict[str, Path]) -> tuple[str, ...]:
    """The class folders of the training part; the other parts may use fewer, but no other."""
    names = tuple(folder.name for folder in subfolders(folders["train"]))
    if len(names) < 2:
        found = f"only the class folder {names[0]}" if names else "no class folder"
        raise UserError(f"data.root: {folders['train']} holds {found}; at least 2 are needed: {LAYOUT}")
    for folder in folders.values():
        unknown = [class_folder.name for class_folder in subfolders(folder) if class_folder.name not in names]
        if unknown:
            raise UserError(
                f"data.root: {folder} has the class {', '.join(unknown)}, unknown to train "
                f"(its classes: {', '.join(names)}); rename, remove, or add it to train"
            )
    return names


def images_of(folder: Path, of: str) -> list[str]:
    """The images in the folder of one class or person; `of` says which of both it is.

    **Raises:** `UserError` if there are none, or folders instead.
    """
    entries = entries_of(folder)
    folders = [entry.name for entry in entries if entry.is_dir()]
    if folders:
        raise UserError(
            f"data.root: {of} folder {folder} holds the folder {folders[0]}; images must lie directly in their {of}"
        )
    images = [str(entry) for entry in entries if entry.suffix.lower() in SUFFIXES]
    if not images:
        found = f"none of its {len(entries)} files is an image ({' '.join(SUFFIXES)})" if entries else "it is empty"
        raise UserError(f"data.root: {of} folder {folder} has no images: {found}; add some or remove the folder")
    return images


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones and clutter."""
    return [entry for entry in entries_of(folder) if entry.is_dir()]


def entries_of(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without hidden files and clutter."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"data.root: cannot read {folder} ({error.strerror})") from error
    return [entry for entry in entries if not entry.name.startswith((".", "__")) and entry.name not in CLUTTER]
