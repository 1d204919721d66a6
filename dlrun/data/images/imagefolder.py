"""The user's own images: one folder a class."""

import contextlib
import functools
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dlrun import disk
from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Seed, few
from dlrun.config.spec import DataSpec
from dlrun.data.images.files import LeftOut, entries_of, images_of, is_image, subfolders
from dlrun.data.notes import say
from dlrun.data.splits import Pieces, files_of, group_names
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import FilePart
from dlrun.errors import RunError, UserError

if TYPE_CHECKING:
    from PIL.Image import Image

PART_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
LAYOUT = "one folder of images a class, or train, val and test folders of such"
SIXTEEN_BITS = 2**16 - 1  # of a grey pixel that is white
# The statistics of ImageNet, which pretrained weights expect, and their average for grey images.
STATISTICS = {1: ((0.449,), (0.226,)), 3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


class ImageFolder(DataSet):
    """Your own images: `root` holds one folder a class, or `train`, `val` and `test` folders of such.

    A part without a folder of its own is split off from the rest by `split_seed`. The classes are the folders of the
    training part, in alphabetical order. Each image is turned upright by its EXIF data and resized to `image_size`.
    Images of more than 8 bits are scaled together, from 0 to the largest number of as many bits as they use.
    """

    kind: str = "image"
    target: str = "class"
    source: str = "yours"
    stand_in: str = "data=digits"

    def __init__(
        self, *, root: FilePath | None = None, image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 64,
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
        self.root = Path(root).expanduser()
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.in_channels, self.verify = in_channels, verify
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed
        self.group_by = group_by

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class of each number."""
        return self._listed.class_names

    @property
    def spec(self) -> DataSpec:
        mean, std = STATISTICS[self.in_channels]
        class_names = self.class_names
        return DataSpec(
            kind="image", target="class", in_channels=self.in_channels, image_size=self.image_size,
            out_features=len(class_names), class_names=class_names, mean=mean, std=std, white=self._listed.white,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        """The parts, still as files. **Raises:** `UserError` for broken images, if verified."""
        paths, labels, given, class_names, white, pieces = self._listed
        decoder = functools.partial(decode, image_size=self.image_size, in_channels=self.in_channels, white=white)
        height, width = self.image_size
        target = torch.tensor([class_names.index(label) for label in labels])
        whole = FilePart(paths, target, decoder, self.in_channels * height * width)
        if self.verify == "full":
            verify([whole])
        parts = pieces.divide(
            target, given=given, val_fraction=self.val_fraction, test_fraction=self.test_fraction, seed=self.split_seed,
            groups=group_names(paths, self.group_by),
        )  # fmt: skip
        return {name: whole.subset(torch.from_numpy(own)) for name, own in parts.items()}

    @functools.cached_property
    def _listed(self) -> "_Listed":
        """**Raises:** `UserError` for a folder that is laid out otherwise, and a class folder without images."""
        folders = part_folders("imagefolder", self.root, LAYOUT)
        # A run that has kept its samples knows its classes too; a new folder beside theirs is no other class.
        class_names = _class_names(folders) if self.kept is None else ()
        paths, labels, given = [], [], []
        left_out = LeftOut()
        for part, folder in folders.items():
            for class_folder in subfolders(folder):
                images = images_of(class_folder, "class", left_out)
                paths += images
                labels += [class_folder.name] * len(images)
                given += [part] * len(images)
        left_out.say("imagefolder")
        pieces = files_of(self, "imagefolder", paths, labels, self.root, whole=self.verify == "full")
        paths, labels, given = ([each[place] for place in pieces.index] for each in (paths, labels, given))
        white = white_of(paths) if self.offered is None else self.offered.white
        return _Listed(paths, labels, given, class_names or tuple(sorted(set(labels))), white, pieces)


class _Listed(NamedTuple):
    """All image files, the class and the part of each by its folders; the names of all classes; see `white_of`."""

    paths: list[str]
    labels: list[str]
    given: list[str]
    class_names: tuple[str, ...]
    white: int | None
    pieces: Pieces


class Upright(NamedTuple):
    """An image file: its pixels upright, in 8 bits of grey or RGB, and its size (W, H), also as it is stored."""

    pixels: "Image"  # of a JPEG perhaps at a half, quarter or eighth of `size`
    size: tuple[int, int]
    stored: tuple[int, int]


def decode(path: str, image_size: tuple[int, int] | int, in_channels: int, white: int | None = None) -> Tensor:
    """The image file `path` upright and resized to `image_size` (H, W), as uint8 (C, H, W); the first frame of many.

    If `image_size` is one number, the longer side is shrunk to it; a smaller image stays as it is. `white`: see
    `white_of`.

    **Raises:** `RunError` with the path if the file is damaged, too large to be an honest image, or no image.
    """
    from PIL import Image

    longest = image_size if isinstance(image_size, int) else max(image_size)
    with decoding(path):
        upright = open_upright(path, longest, in_channels, white).pixels
        height, width = _shrunk(upright, image_size) if isinstance(image_size, int) else image_size
        resized = upright.resize((width, height), Image.Resampling.BILINEAR)
    return to_tensor(resized, in_channels)


def resized(pixels: Tensor, image_size: tuple[int, int]) -> Tensor:
    """An image uint8 (C, H, W), grey or RGB, as `decode` resizes one to `image_size` (H, W)."""
    from PIL import Image

    (height, width), channels_last = image_size, pixels.permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(channels_last if len(pixels) == 3 else channels_last[:, :, 0])
    return to_tensor(image.resize((width, height), Image.Resampling.BILINEAR), len(pixels))


@contextlib.contextmanager
def decoding(path: str) -> Iterator[None]:
    """**Raises:** `RunError` with the path for whatever goes wrong while the image file is read."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            disk.check_regular(path)
            yield
    except Exception as error:  # damaged bytes make PIL's readers raise nearly any type
        # Pillow names the file too.
        told = getattr(error, "strerror", None) or str(error).replace(f" {path!r}", "")
        reason = " ".join(told.split()) or type(error).__name__
        raise RunError(f"{path}: cannot be decoded ({reason}); replace or remove it") from error


def open_upright(path: str, longest: int, in_channels: int, white: int | None = None) -> Upright:
    """The image file `path`, turned by its EXIF data; at least `longest` pixels a side, if it has as many.

    `white`: see `white_of`.

    **Raises:** nearly anything; see `decoding`.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        stored = image.size
        # A JPEG is decoded at a half, quarter or eighth of its size where that is still large enough.
        image.draft(None, (longest, longest))
        upright = ImageOps.exif_transpose(_in_eight_bits(image, path, white))
        pixels = _on_white(upright).convert("L" if in_channels == 1 else "RGB")
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


def white_of(paths: Iterable[str]) -> int | None:
    """The number that stands for white in images of more than 8 bits; None: all have 8 bits, or use all of 16.

    It is the largest of as many bits as the brightest pixel needs: cameras and scanners write 10, 12 or 14 bits into
    files of 16.
    """
    from PIL import Image

    brightest = -1
    for path in paths:
        # What cannot be decoded says so when it is verified.
        with contextlib.suppress(RunError), decoding(path):
            if _may_be_deep(path):
                with Image.open(path) as image:
                    values = _deep_values(image, path)
                    if values is not None:
                        brightest = max(brightest, int(values[..., : _num_colours(values)].max()))
    white = 2 ** max(8, brightest.bit_length()) - 1
    return None if brightest < 0 or white == SIXTEEN_BITS else white


def _may_be_deep(path: str) -> bool:
    """Whether the first bytes of a file leave it open that its pixels have more than 8 bits."""
    with disk.opened(path) as file:
        head = file.read(26)
    is_shallow_png = head.startswith(b"\x89PNG") and len(head) == 26 and head[24] <= 8
    return not is_shallow_png and not head.startswith((b"\xff\xd8", b"GIF8", b"BM", b"RIFF"))


def _deep_values(image: "Image", path: str) -> np.ndarray | None:
    """The pixels (H, W, C) of an image file that has more than 8 bits a value; None: it has 8."""
    from PIL.ImageFile import ImageFile

    if image.mode.startswith("I"):
        return np.asarray(image.convert("I"))[..., None]
    if image.format != "PNG" or not isinstance(image, ImageFile) or ";16" not in str(image.tile[0][3]):
        return None
    # Of colours Pillow keeps the upper 8 of 16 bits.
    from torchvision import io

    return io.decode_image(path, mode=io.ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()


def _num_colours(values: np.ndarray) -> int:
    """How many of the channels (H, W, C) are colours, not transparency."""
    num = values.shape[-1]
    return num - 1 if num in (2, 4) else num


def _in_eight_bits(image: "Image", path: str, white: int | None) -> "Image":
    from PIL import Image

    values = _deep_values(image, path)
    if values is None:
        return image
    # What is transparent is told in 16 bits, whatever the colours use.
    largest = np.full(values.shape[-1], SIXTEEN_BITS)
    largest[: _num_colours(values)] = white or SIXTEEN_BITS
    scaled = (values * (255 / largest) + 0.5).clip(0, 255).astype(np.uint8)
    found = Image.fromarray(scaled[..., 0] if scaled.shape[-1] == 1 else scaled)
    found.info = image.info
    return found


def _on_white(image: "Image") -> "Image":
    from PIL import Image

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


def part_folders(data: str, root: Path, layout: str) -> dict[str, Path]:
    """The folder of each part that has one; `root` itself is the training part if none has.

    Of what else lies there, and is not read, the data set `data` says so.

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
    found = found or {"train": root}
    if beside := _beside(root, list(found.values())):
        say(data, f"not read in {root}: {'; '.join(beside)}")
    return found


def _beside(root: Path, read: list[Path]) -> list[str]:
    """What lies beside the folders `read` and those in them: each kind in words."""
    entries = [entry for entry in entries_of(root) if root not in read and entry not in read]
    folders = [entry.name for entry in entries if entry.is_dir()]
    flat = [name for name in folders if name.lower() in PART_FOLDERS]
    others = [name for name in folders if name not in flat]
    files = [entry for folder in read for entry in entries_of(folder)] + entries
    images = [entry for entry in files if entry.is_file() and is_image(entry)]
    said = [f"{few(flat, 3)}, no part, since it holds files and no folders as train does"] if flat else []
    said += [f"{'folder' if len(others) == 1 else 'folders'} {few(others, 3)}"] if others else []
    return said + ([f"{len(images):,} images in no such folder ({images[0].name} ...)"] if images else [])


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
