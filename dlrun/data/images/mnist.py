"""MNIST and the data sets in its file format, read by torchvision."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun import disk
from dlrun.data import download
from dlrun.data.images.torchvision_images import TorchvisionImages
from dlrun.engine.parts import TensorPart

if TYPE_CHECKING:
    from torchvision import datasets

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


class MNIST(TorchvisionImages):
    """70 000 handwritten digits, 1x28x28, 10 000 of them for the test (LeCun et al. 1998).

    Files: `<root>/MNIST/raw`, as torchvision lays them out; downloaded once if they are not there.
    """

    name = "mnist"
    image_size = (28, 28)
    class_names = tuple("0123456789")
    mean, std = (0.1307,), (0.3081,)
    usual_mirrors = MNIST_MIRRORS

    def _reader(self) -> "type[datasets.MNIST]":
        from torchvision import datasets  # late: it takes a second

        return datasets.MNIST

    def _provide(self) -> None:
        """Downloads and unpacks what is missing; a folder that holds the unpacked files is only read."""
        reader = self._reader()
        folder = self.root / reader.__name__ / "raw"
        archives = {name: f"md5:{md5}" for name, md5 in reader.resources if not _is_whole(folder / Path(name).stem)}
        download.fetch(self.name, folder, archives, self.mirrors, self.stand_in)
        for name in archives:
            download.gunzip(folder / name, folder / Path(name).stem)

    def _read(self, is_train: bool) -> TensorPart:
        data = self._reader()(self.root, train=is_train)
        return TensorPart((data.data.unsqueeze(1),), data.targets)


class FashionMNIST(MNIST):
    """70 000 pictures of clothes in ten classes, a harder drop-in for MNIST (Xiao, Rasul and Vollgraf 2017).

    Files: `<root>/FashionMNIST/raw`, as torchvision lays them out; downloaded once if they are not there.
    """

    name = "fashion_mnist"
    class_names = FASHION_NAMES
    mean, std = (0.2860,), (0.3530,)
    usual_mirrors = FASHION_MIRRORS

    def _reader(self) -> "type[datasets.FashionMNIST]":
        from torchvision import datasets  # late: it takes a second

        return datasets.FashionMNIST


def _is_whole(path: Path) -> bool:
    """Whether an idx file is as long as its header says.

    The header: two zero bytes, the type, the number of sizes, each size in 4 bytes. Then one byte a value.
    """
    if not path.is_file():
        return False
    with disk.opened(path) as file:
        dimensions = int.from_bytes(file.read(4)) & 0xFF
        sizes = [int.from_bytes(file.read(4)) for _ in range(dimensions)]
    return dimensions > 0 and path.stat().st_size == 4 + 4 * dimensions + math.prod(sizes)
