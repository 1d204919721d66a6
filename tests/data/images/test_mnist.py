import gzip
import hashlib
import os

import pytest
import torch
from torchvision import datasets

from dlrun.data.images.mnist import FASHION_MIRRORS, MNIST, MNIST_MIRRORS, FashionMNIST
from dlrun.errors import UserError

SETS = [(MNIST, "MNIST", "mnist"), (FashionMNIST, "FashionMNIST", "fashion_mnist")]


def idx(values: torch.Tensor) -> bytes:
    sizes = b"".join(size.to_bytes(4) for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + bytes(values.flatten().tolist())


def small_files() -> dict[str, bytes]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 28, 28), generator=generator)
    labels = torch.arange(60) % 10
    return {
        "train-images-idx3-ubyte": idx(images[:40]),
        "train-labels-idx1-ubyte": idx(labels[:40]),
        "t10k-images-idx3-ubyte": idx(images[40:]),
        "t10k-labels-idx1-ubyte": idx(labels[40:]),
    }


@pytest.fixture
def served(server, monkeypatch):
    """A mirror with small files, whose checksums stand in torchvision's lists."""
    archives = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in small_files().items()}
    resources = [(name, hashlib.md5(data).hexdigest()) for name, data in archives.items()]
    for _, reader, _ in SETS:
        monkeypatch.setattr(getattr(datasets, reader), "resources", resources)
    server.answers |= {f"/{name}": server.content(data) for name, data in archives.items()}
    server.archives = archives
    return server


@pytest.mark.parametrize(("data", "reader", "name"), SETS)
def test_downloads_once_and_reads(served, tmp_path, data, reader, name):
    options = {"root": str(tmp_path), "mirrors": (f"{served.url}/gone", served.url), "val_fraction": 0.25}
    first = data(**options).load()
    asked = len(served.asked)
    second = data(**options).load()
    assert len(served.asked) == asked == 8
    for parts in (first, second):
        assert {part: len(samples) for part, samples in parts.items()} == {"train": 30, "val": 10, "test": 20}
        (images,) = parts["test"].inputs
        assert images.dtype == torch.uint8 and images.shape == (20, 1, 28, 28)
        assert parts["test"].target.tolist() == [number % 10 for number in range(40, 60)]
        assert parts["test"].target.dtype == torch.int64
    assert torch.equal(first["train"].inputs[0], second["train"].inputs[0])
    assert idx(images.squeeze(1)) == small_files()["t10k-images-idx3-ubyte"]


def test_trains_on_as_many_of_each_class_as_asked(tmp_path):
    folder = tmp_path / "MNIST/raw"
    folder.mkdir(parents=True)
    for name, content in small_files().items():
        (folder / name).write_bytes(content)
    parts = MNIST(root=str(tmp_path), val_fraction=0.25, num_train=20).load()
    assert torch.bincount(parts["train"].target).tolist() == [2] * 10
    whole = MNIST(root=str(tmp_path), val_fraction=0.25, num_train=30).load()
    for name in ("val", "test"):
        assert torch.equal(parts[name].inputs[0], whole[name].inputs[0])
    with pytest.raises(UserError, match="num_train: 31 are more than the 30 samples"):
        MNIST(root=str(tmp_path), val_fraction=0.25, num_train=31).load()


def test_unpacked_files_are_read_without_any_write(tmp_path, monkeypatch):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, data in small_files().items():
        (raw / name).write_bytes(data)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    parts = MNIST(root=str(tmp_path), val_fraction=0.0).load()
    assert list(parts) == ["train", "test"] and len(parts["train"]) == 40
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_archives_put_there_by_hand_are_unpacked_offline(served, tmp_path, monkeypatch):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, data in served.archives.items():
        (raw / name).write_bytes(data)
    assert len(MNIST(root=str(tmp_path)).load()["test"]) == 20
    assert served.asked == []


def test_a_cut_file_is_fetched_again(served, tmp_path):
    data = MNIST(root=str(tmp_path), mirrors=(served.url,))
    data.load()
    cut = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    for length in (0, 3, 11, 5000):
        os.truncate(cut, length)
        assert len(data.load()["test"]) == 20
        assert cut.read_bytes() == small_files()[cut.name]
    cut.with_name(f"{cut.name}.gz").unlink()
    os.truncate(cut, 5000)
    data.load()
    assert served.asked.count("/train-images-idx3-ubyte.gz") == 2


@pytest.mark.parametrize(("data", "reader", "name"), SETS)
def test_offline_line_says_which_files_go_where(tmp_path, monkeypatch, data, reader, name):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path))
    with pytest.raises(UserError) as caught:
        data().load()
    line = str(caught.value)
    for part in (f"data={name}", *[file for file, _ in datasets.MNIST.resources[:2]], "and 2 more", "data=digits"):
        assert part in line
    assert str(tmp_path / reader / "raw") in line and "\n" not in line
    assert list(tmp_path.iterdir()) == []


def test_specs():
    spec = MNIST().spec
    assert (spec.kind, spec.target, spec.in_channels, spec.image_size, spec.out_features) == (
        "image", "class", 1, (28, 28), 10
    )  # fmt: skip
    assert spec.class_names == tuple("0123456789") and (spec.mean, spec.std) == ((0.1307,), (0.3081,))
    fashion = FashionMNIST().spec
    assert list(fashion.class_names) == datasets.FashionMNIST.classes
    assert (fashion.mean, fashion.std) == ((0.2860,), (0.3530,))


def test_mirrors_hold_every_safe_one_of_torchvision():
    for ours, theirs in ((MNIST_MIRRORS, datasets.MNIST.mirrors), (FASHION_MIRRORS, datasets.FashionMNIST.mirrors)):
        assert all(mirror.startswith("https://") for mirror in ours)
        assert {mirror for mirror in theirs if mirror.startswith("https://")} <= set(ours)


@pytest.mark.real
@pytest.mark.skipif("DLRUN_DATA" not in os.environ, reason="DLRUN_DATA is not set to a folder with MNIST")
def test_real_mnist():
    parts = MNIST().load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 57_000, "val": 3000, "test": 10_000}
    pixels = torch.cat([parts["train"].inputs[0], parts["val"].inputs[0]]).float() / 255
    assert abs(pixels.mean() - MNIST().spec.mean[0]) < 1e-4 and abs(pixels.std() - MNIST().spec.std[0]) < 1e-4
    assert parts["test"].target[:5].tolist() == [7, 2, 1, 0, 4]
    shares = [part.target.bincount(minlength=10) / len(part) for part in (parts["train"], parts["val"])]
    assert (shares[0] - shares[1]).abs().max() < 1e-3
