"""MNIST and the data sets in its file format, read by torchvision."""

import math
from pathlib import Path
from typing import Any

from dlrun.data import download
from dlrun.data.parts import Part, TensorPart
from dlrun.data.spec import DataSpec
from dlrun.data.splits import some, split_off
from dlrun.schema import PositiveInt, ProperFraction, Seed

# torchvision's own lists hold addresses that are gone or plain http.
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://dataset.bj.bcebos.com/mnist/",
)
FASHION_MIRRORS = (
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://dataset.bj.bcebos.com/fashion_mnist/",
)
FASHION_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


class MNIST:
    """70 000 handwritten digits, 1x28x28, 10 000 of them for the test (LeCun et al. 1998).

    Files: `<root>/MNIST/raw`, as torchvision lays them out; downloaded once if they are not there.
    """

    kind: str = "image"
    target: str = "class"
    source: str = "download"

    def __init__(
        self,
        *,
        root: str | None = None,
        val_fraction: ProperFraction = 0.05,
        num_train: PositiveInt | None = None,
        split_seed: Seed = 42,
        mirrors: tuple[str, ...] | None = None,
    ):
        self.root = download.data_root(root)
        self.val_fraction, self.num_train, self.split_seed = val_fraction, num_train, split_seed
        self.mirrors = mirrors or MNIST_MIRRORS

    @property
    def spec(self) -> DataSpec:
        return _spec(tuple("0123456789"), mean=0.1307, std=0.3081)

    def load(self) -> dict[str, Part]:
        from torchvision.datasets import MNIST as Reader

        _provide("mnist", Reader, self.root, self.mirrors)
        return _read(Reader, self.root, self.val_fraction, self.num_train, self.split_seed)


class FashionMNIST:
    """70 000 pictures of clothes in ten classes, a harder drop-in for MNIST (Xiao, Rasul and Vollgraf 2017).

    Files: `<root>/FashionMNIST/raw`, as torchvision lays them out; downloaded once if they are not there.
    """

    kind: str = "image"
    target: str = "class"
    source: str = "download"

    def __init__(
        self,
        *,
        root: str | None = None,
        val_fraction: ProperFraction = 0.05,
        num_train: PositiveInt | None = None,
        split_seed: Seed = 42,
        mirrors: tuple[str, ...] | None = None,
    ):
        self.root = download.data_root(root)
        self.val_fraction, self.num_train, self.split_seed = val_fraction, num_train, split_seed
        self.mirrors = mirrors or FASHION_MIRRORS

    @property
    def spec(self) -> DataSpec:
        return _spec(FASHION_NAMES, mean=0.2860, std=0.3530)

    def load(self) -> dict[str, Part]:
        from torchvision.datasets import FashionMNIST as Reader

        _provide("fashion_mnist", Reader, self.root, self.mirrors)
        return _read(Reader, self.root, self.val_fraction, self.num_train, self.split_seed)


def _spec(class_names: tuple[str, ...], mean: float, std: float) -> DataSpec:
    return DataSpec(
        kind="image",
        target="class",
        in_channels=1,
        image_size=(28, 28),
        out_features=len(class_names),
        class_names=class_names,
        mean=(mean,),
        std=(std,),
    )


def _provide(dataset: str, reader: Any, root: Path, mirrors: tuple[str, ...]) -> None:
    """Downloads and unpacks what is missing; a folder that holds the unpacked files is only read."""
    folder = root / reader.__name__ / "raw"
    archives = {name: f"md5:{md5}" for name, md5 in reader.resources if not _is_whole(folder / Path(name).stem)}
    download.fetch(dataset, folder, archives, mirrors)
    for name in archives:
        download.gunzip(folder / name, folder / Path(name).stem)


def _is_whole(path: Path) -> bool:
    """Whether an idx file is as long as its header says.

    The header: two zero bytes, the type, the number of sizes, each size in 4 bytes. Then one byte a value.
    """
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        dimensions = int.from_bytes(file.read(4)) & 0xFF
        sizes = [int.from_bytes(file.read(4)) for _ in range(dimensions)]
    return dimensions > 0 and path.stat().st_size == 4 + 4 * dimensions + math.prod(sizes)


def _read(reader: Any, root: Path, val_fraction: float, num_train: int | None, split_seed: int) -> dict[str, Part]:
    train, test = (
        TensorPart((data.data.unsqueeze(1),), data.targets)
        for data in (reader(root, train=True), reader(root, train=False))
    )
    parts = split_off(train, val_fraction=val_fraction, test_fraction=0, seed=split_seed) | {"test": test}
    return parts if num_train is None else parts | {"train": some(parts["train"], num_train, split_seed)}
