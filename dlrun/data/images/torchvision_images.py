"""Image data sets that torchvision reads, and dlrun downloads: what they share."""

from dlrun.config.places import data_root
from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.splits import some, split_off
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import TensorPart


class TorchvisionImages(DataSet):
    """A train and a test part from torchvision; the val part is split off from the train part.

    **Class attributes:**

    - `name`: as `data=` takes it, for messages.
    - `image_size`: (H, W) in pixels.
    - `class_names`: one name a class, in the order of the labels.
    - `mean`, `std`: of each channel over the pixels of the training images, in 0..1.
    - `usual_mirrors`: addresses of folders with the files, the best first.
    """

    kind: str = "image"
    target: str = "class"
    source: str = "download"
    stand_in: str = "data=digits"
    name: str
    image_size: tuple[int, int]
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    usual_mirrors: tuple[str, ...]

    def __init__(
        self, *, root: FilePath | None = None, val_fraction: ProperFraction = 0.05, 
        num_train: PositiveInt | None = None, split_seed: Seed = 42, mirrors: tuple[str, ...] | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `val_fraction`: the share of the training images that becomes the val part.
        - `num_train`: how many of the remaining training images are used, of each class its share; None: all.
        - `split_seed`: chooses the images of the val part, and the `num_train` images.
        - `mirrors`: addresses of folders to download from, tried in order; None: `usual_mirrors`.
        """
        self.root = data_root(root)
        self.val_fraction, self.num_train, self.split_seed = val_fraction, num_train, split_seed
        self.mirrors = mirrors or self.usual_mirrors

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="image", target="class", in_channels=len(self.mean), image_size=self.image_size,
            out_features=len(self.class_names), class_names=self.class_names, mean=self.mean, std=self.std,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        self._provide()
        train, test = self._read(is_train=True), self._read(is_train=False)
        parts = split_off(train, val_fraction=self.val_fraction, test_fraction=0, seed=self.split_seed)
        if self.num_train is not None:
            parts["train"] = some(parts["train"], self.num_train, self.split_seed)
        return parts | {"test": test}

    def _provide(self) -> None:
        """Downloads and unpacks the files that are missing or damaged."""
        raise NotImplementedError

    def _read(self, is_train: bool) -> TensorPart:
        """The images that are to train on, or those of the test, as torchvision reads them."""
        raise NotImplementedError
