"""CIFAR-10 and CIFAR-100, read by torchvision."""

from typing import TYPE_CHECKING

import torch

from dlrun.data import download
from dlrun.data.images.torchvision_images import TorchvisionImages
from dlrun.engine.parts import TensorPart

if TYPE_CHECKING:
    from torchvision import datasets

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


class CIFAR10(TorchvisionImages):
    """60 000 photographs in ten classes, 3x32x32, 10 000 of them for the test (Krizhevsky 2009).

    Files: `<root>/cifar-10-batches-py`, as torchvision lays them out; downloaded once if they are not there.
    """

    name = "cifar10"
    image_size = (32, 32)
    class_names = CIFAR10_NAMES
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    usual_mirrors = MIRRORS

    def _reader(self) -> "type[datasets.CIFAR10]":
        from torchvision import datasets  # late: it takes a second

        return datasets.CIFAR10

    def _provide(self) -> None:
        """Downloads and unpacks what is missing or damaged; a folder that holds the unpacked files is only read."""
        reader = self._reader()
        folder = self.root / reader.base_folder
        files = [*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])]
        if all(download.matches(folder / name, f"md5:{md5}") for name, md5 in files):
            return
        download.fetch(self.name, self.root, {reader.filename: f"md5:{reader.tgz_md5}"}, self.mirrors, self.stand_in)
        download.untar(self.root / reader.filename, self.root)

    def _read(self, is_train: bool) -> TensorPart:
        # The files are pickles: torchvision opens them only with the md5 of the published ones.
        data = self._reader()(self.root, train=is_train)
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return TensorPart((images,), torch.tensor(data.targets))


class CIFAR100(CIFAR10):
    """60 000 photographs in a hundred classes, 3x32x32, 10 000 of them for the test (Krizhevsky 2009).

    Files: `<root>/cifar-100-python`, as torchvision lays them out; downloaded once if they are not there.
    """

    name = "cifar100"
    class_names = CIFAR100_NAMES
    mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)

    def _reader(self) -> "type[datasets.CIFAR100]":
        from torchvision import datasets  # late: it takes a second

        return datasets.CIFAR100
