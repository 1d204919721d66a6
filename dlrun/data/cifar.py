"""CIFAR-10 and CIFAR-100, read by torchvision."""

from pathlib import Path
from typing import Any

import torch

from dlrun.data import download
from dlrun.data.parts import Part, TensorPart
from dlrun.data.spec import DataSpec
from dlrun.data.splits import some, split_off
from dlrun.schema import PositiveInt, ProperFraction, Seed

MIRRORS = ("https://www.cs.toronto.edu/~kriz/", "https://dataset.bj.bcebos.com/cifar/")
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100_NAMES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip


class CIFAR10:
    """60 000 photographs in ten classes, 3x32x32, 10 000 of them for the test (Krizhevsky 2009).

    Files: `<root>/cifar-10-batches-py`, as torchvision lays them out; downloaded once if they are not there.
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
        self.mirrors = mirrors or MIRRORS

    @property
    def spec(self) -> DataSpec:
        return _spec(CIFAR10_NAMES, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))

    def load(self) -> dict[str, Part]:
        from torchvision.datasets import CIFAR10 as Reader

        _provide("cifar10", Reader, self.root, self.mirrors)
        return _read(Reader, self.root, self.val_fraction, self.num_train, self.split_seed)


class CIFAR100:
    """60 000 photographs in a hundred classes, 3x32x32, 10 000 of them for the test (Krizhevsky 2009).

    Files: `<root>/cifar-100-python`, as torchvision lays them out; downloaded once if they are not there.
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
        self.mirrors = mirrors or MIRRORS

    @property
    def spec(self) -> DataSpec:
        return _spec(CIFAR100_NAMES, mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762))

    def load(self) -> dict[str, Part]:
        from torchvision.datasets import CIFAR100 as Reader

        _provide("cifar100", Reader, self.root, self.mirrors)
        return _read(Reader, self.root, self.val_fraction, self.num_train, self.split_seed)


def _spec(class_names: tuple[str, ...], mean: tuple[float, ...], std: tuple[float, ...]) -> DataSpec:
    return DataSpec(
        kind="image",
        target="class",
        in_channels=3,
        image_size=(32, 32),
        out_features=len(class_names),
        class_names=class_names,
        mean=mean,
        std=std,
    )


def _provide(dataset: str, reader: Any, root: Path, mirrors: tuple[str, ...]) -> None:
    """Downloads and unpacks what is missing or damaged; a folder that holds the unpacked files is only read."""
    folder = root / reader.base_folder
    files = [*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])]
    if all(download.matches(folder / name, f"md5:{md5}") for name, md5 in files):
        return
    download.fetch(dataset, root, {reader.filename: f"md5:{reader.tgz_md5}"}, mirrors)
    download.untar(root / reader.filename, root)


def _read(reader: Any, root: Path, val_fraction: float, num_train: int | None, split_seed: int) -> dict[str, Part]:
    # The files are pickles: torchvision opens them only with the md5 of the published ones.
    train, test = (
        TensorPart(
            (torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(),),
            torch.tensor(data.targets),
        )
        for data in (reader(root, train=True), reader(root, train=False))
    )
    parts = split_off(train, val_fraction=val_fraction, test_fraction=0, seed=split_seed) | {"test": test}
    return parts if num_train is None else parts | {"train": some(parts["train"], num_train, split_seed)}
