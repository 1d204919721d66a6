"""Two pictures: what is to be seen, and how it is to be painted (notes, neural style transfer)."""

import functools
import importlib.resources
from pathlib import Path

from torch import Tensor

from dlrun.config.schema import FilePath, PositiveInt
from dlrun.config.spec import DataSpec
from dlrun.data.images.imagefolder import decode, sizes_of, white_of
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import TensorPart
from dlrun.errors import RunError, UserError

SAMPLES = {"content": "china.jpg", "style": "flower.jpg"}


class StylePair(DataSet):
    """A content and a style picture, two sample photographs or your own.

    The train part has one example: the input is the content (1, 3, H, W), the target the style (1, 3, H', W'), which
    may have another size. Grey pictures become RGB, transparent ones lie on white, and each is turned upright by its
    EXIF data.

    Source: china.jpg and flower.jpg of scikit-learn, 640x427 pixels.
    """

    kind: str = "image"
    target: str = "style"
    source: str = "ships"
    has_val: bool = False

    def __init__(
        self, *, content: FilePath | None = None, style: FilePath | None = None, image_size: PositiveInt | None = 128
    ):
        """**Arguments:**

        - `content`: an image file; None: the photograph of a pagoda.
        - `style`: an image file; None: the photograph of a flower.
        - `image_size`: pixels to which the longer side of either picture is scaled down, a smaller one stays as it is;
          None: all do.
        """
        self.paths = {"content": content, "style": style}
        self.image_size = image_size

    @property
    def spec(self) -> DataSpec:
        height, width = self.pictures["content"].shape[1:]
        return DataSpec(kind="image", target="style", in_channels=3, image_size=(height, width))

    def load(self) -> dict[str, Part]:
        """The one part. **Raises:** `UserError` for a file that is not there, or is no image."""
        content, style = (self.pictures[name][None] for name in SAMPLES)
        return {"train": TensorPart((content,), style)}

    @functools.cached_property
    def pictures(self) -> dict[str, Tensor]:
        """Both, uint8 (3, H, W)."""
        return {name: self._read(name) for name in SAMPLES}

    def _read(self, name: str) -> Tensor:
        given = self.paths[name]
        if given is None:
            path = Path(str(importlib.resources.files("sklearn.datasets.images").joinpath(SAMPLES[name])))
        else:
            path = Path(given).expanduser()
            if not path.is_file():
                raise UserError(f"data.{name}: no file {path}; give an image, or null for the sample photograph")
        try:
            longest = self.image_size or max(sizes_of(str(path))[0])
            return decode(str(path), longest, in_channels=3, white=white_of([str(path)]))
        except RunError as error:
            raise UserError(f"data.{name}: {error}") from error
