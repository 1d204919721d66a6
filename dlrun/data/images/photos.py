"""Photographs cut into patches; what is to be learned is the patch under a kernel (notes, computer vision)."""

import importlib.resources
import itertools
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.config.kernels import KERNELS
from dlrun.config.schema import FilePath, Kernel, NonNegativeInt, PositiveInt, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.images.files import LeftOut, entries_of
from dlrun.data.images.imagefolder import decode, white_of
from dlrun.data.splits import files_of, split_off
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import TensorPart
from dlrun.errors import RunError, UserError

PIECE = 4  # patches a side of what goes to one part as a whole, where patches overlap


class Photos(DataSet):
    """Patches of two sample photographs, or of the images in `root`, and each of them under an edge `kernel`.

    The target (N, C, H', W') is `kernel` slid over each channel of the patch, in 0..1, by itself, with `padding` zeros
    around the patch and every `kernel_stride`-th pixel: H' = floor((H + 2 padding - 3) / kernel_stride) + 1. The model
    needs the same padding and stride.

    No pixel is in two parts: a photograph is cut into pieces without overlap, `split_seed` draws the part of each
    piece, and no patch reaches beyond its piece. A piece is one patch where `stride` leaves no overlap, otherwise as
    near to 4 x 4 patches as the photograph allows.

    Source: china.jpg and flower.jpg of scikit-learn, 640x427 pixels.
    """

    kind: str = "image"
    target: str = "image"
    source: str = "ships"

    def __init__(
        self, *, root: FilePath | None = None, longest: PositiveInt = 640, in_channels: Literal[1, 3] = 1,
        patch_size: PositiveInt = 64, stride: PositiveInt | None = None, kernel: Kernel = "sobel_x",
        padding: NonNegativeInt = 0, kernel_stride: PositiveInt = 1, sign: bool = True,
        val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.2, split_seed: Seed = 42,
    ):  # fmt: skip
        """**Arguments:**

        - `root`: a folder of images; None: the two sample photographs.
        - `longest`: of an image whose longer side has more pixels, that side is scaled down to so many.
        - `in_channels`: C: 3 for RGB, of which each channel is filtered by itself, or 1 for grey.
        - `patch_size`: H and W of a patch, in pixels.
        - `stride`: pixels from one patch to the next; None: `patch_size`, no overlap.
        - `kernel`: the name of the 3 x 3 kernel.
        - `padding`: zeros on each side of a patch when the target is computed, in pixels.
        - `kernel_stride`: pixels from one position of the kernel to the next.
        - `sign`: whether the target keeps its sign, or is made of absolute values.
        - `val_fraction`, `test_fraction`: the shares of the pieces that become the val and the test part.
        - `split_seed`: chooses the pieces of each part.
        """
        kernel_size = len(KERNELS[kernel])
        if patch_size + 2 * padding < kernel_size:
            raise ValueError(
                f"a patch_size of {patch_size} with a padding of {padding} is less than the kernel's {kernel_size}"
            )
        self.root = Path(root).expanduser() if root is not None else None
        self.longest, self.in_channels = longest, in_channels
        self.patch_size, self.stride = patch_size, stride or patch_size
        self.kernel, self.padding, self.kernel_stride, self.sign = kernel, padding, kernel_stride, sign
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="image", target="image", in_channels=self.in_channels, image_size=(self.patch_size, self.patch_size),
            out_features=self.in_channels, target_name=self.kernel if self.sign else f"|{self.kernel}|",
            target_kernel=KERNELS[self.kernel],
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        """The parts, in memory.

        **Raises:** `UserError` for a folder without images, an image that is broken or smaller than a patch, and for
        too few pieces.
        """
        paths = self._paths()
        white = white_of(map(str, paths))
        pieces = [piece for path in paths for piece in self._pieces(path, white)]
        num_parts = 1 + (self.val_fraction > 0) + (self.test_fraction > 0)
        if len(pieces) < num_parts:
            raise UserError(
                f"data=photos: {len(pieces)} pieces without overlap are too few for {num_parts} parts; "
                "take more or larger images, a smaller data.patch_size, or data.stride=null"
            )
        fractions = {"val_fraction": self.val_fraction, "test_fraction": self.test_fraction}
        numbers = split_off(TensorPart((), torch.arange(len(pieces)).double()), **fractions, seed=self.split_seed)
        parts = {
            name: torch.cat([pieces[int(number)] for number in part.take(torch.arange(len(part))).target])
            for name, part in numbers.items()
        }
        return {name: TensorPart((patches,), self.filtered(patches)) for name, patches in parts.items()}

    def filtered(self, patches: Tensor) -> Tensor:
        """The target (N, C, H', W') of uint8 `patches` (N, C, H, W)."""
        weight = torch.tensor(KERNELS[self.kernel], dtype=torch.float32).expand(self.in_channels, 1, -1, -1)
        edges = F.conv2d(
            patches.float() / 255, weight, stride=self.kernel_stride, padding=self.padding, groups=self.in_channels
        )
        return edges if self.sign else edges.abs()

    def _paths(self) -> list[Path]:
        if self.root is None:
            return sorted(Path(str(importlib.resources.files("sklearn.datasets.images"))).glob("*.jpg"))
        if not self.root.is_dir():
            raise UserError(f"data.root: no folder {self.root}; give a folder of images")
        left_out = LeftOut()
        paths = left_out.images(path for path in entries_of(self.root) if not path.is_dir())
        if not paths:
            raise UserError(f"data.root: no image in {self.root} (its files: {left_out})")
        left_out.say("photos")
        # A photograph more would change the part of each piece of the others.
        pieces = files_of(self, "photos", [str(path) for path in paths], [""] * len(paths), self.root, whole=True)
        return [paths[place] for place in pieces.index]

    def _pieces(self, path: Path, white: int | None) -> list[Tensor]:
        """The patches of one photograph: for each of its pieces (N, C, H, W)."""
        size = self.patch_size
        try:
            image = decode(str(path), self.longest, self.in_channels, white)
        except RunError as error:
            raise UserError(f"data.root: {error}") from error
        height, width = image.shape[1:]
        if min(height, width) < size:
            raise UserError(
                f"data=photos: {path} has {height}x{width} pixels, less than a patch of {size}x{size}; "
                "set a smaller data.patch_size, or remove the file"
            )
        return [
            torch.stack([image[:, top : top + size, left : left + size] for top in tops for left in lefts])
            for tops in self._starts(height)
            for lefts in self._starts(width)
        ]

    def _starts(self, length: int) -> list[list[int]]:
        """Where patches begin along a side of `length` pixels, piece by piece."""
        size = self.patch_size
        if self.stride >= size:
            return [[start] for start in range(0, length - size + 1, self.stride)]
        num_pieces = max(1, length // (PIECE * size))
        ends = [length * number // num_pieces for number in range(num_pieces + 1)]
        return [list(range(first, last - size + 1, self.stride)) for first, last in itertools.pairwise(ends)]
