import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
from torchvision import datasets

from dlrun.data.images import cifar
from dlrun.errors import UserError

SETS = [(cifar.CIFAR10, datasets.CIFAR10, 10), (cifar.CIFAR100, datasets.CIFAR100, 100)]


def small_files(reader) -> dict[str, bytes]:
    numbers = np.random.default_rng(0)
    files = {}
    for name, _ in reader.train_list + reader.test_list:
        batch = {"data": numbers.integers(0, 256, (20, 3072), dtype=np.uint8)}
        batch["labels" if reader is datasets.CIFAR10 else "fine_labels"] = [number % 10 for number in range(20)]
        files[name] = pickle.dumps(batch)
    names = cifar.CIFAR10_NAMES if reader is datasets.CIFAR10 else cifar.CIFAR100_NAMES
    files[reader.meta["filename"]] = pickle.dumps({reader.meta["key"]: list(names)})
    return files


def small_archive(reader, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{reader.base_folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def served(server, monkeypatch):
    """A mirror with small archives, whose checksums stand in torchvision's lists."""
    for _, reader, _ in SETS:
        files = small_files(reader)
        checksums = {name: hashlib.md5(data).hexdigest() for name, data in files.items()}
        archive = small_archive(reader, files)
        monkeypatch.setattr(reader, "train_list", [[name, checksums[name]] for name, _ in reader.train_list])
        monkeypatch.setattr(reader, "test_list", [[name, checksums[name]] for name, _ in reader.test_list])
        monkeypatch.setattr(reader, "meta", reader.meta | {"md5": checksums[reader.meta["filename"]]})
        monkeypatch.setattr(reader, "tgz_md5", hashlib.md5(archive).hexdigest())
        server.answers[f"/{reader.filename}"] = server.content(archive)
    return server


@pytest.mark.parametrize(("data", "reader", "classes"), SETS)
def test_downloads_once_and_reads(served, tmp_path, monkeypatch, data, reader, classes):
    options = {"root": str(tmp_path), "mirrors": (served.url,), "val_fraction": 0.5}
    data(**options).load()
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    parts = data(**options).load()
    assert served.asked == [f"/{reader.filename}"]
    train = 20 * len(reader.train_list)
    assert {name: len(part) for name, part in parts.items()} == {
        "train": train // 2, "val": train // 2, "test": 20
    }  # fmt: skip
    (images,) = parts["test"].inputs
    assert images.dtype == torch.uint8 and images.shape == (20, 3, 32, 32) and images.is_contiguous()
    stored = pickle.loads(small_files(reader)[reader.test_list[0][0]])["data"]
    assert torch.equal(images.flatten(1), torch.from_numpy(stored))
    assert parts["test"].target.tolist() == [number % 10 for number in range(20)]


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("victim", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_changed_pickle_is_never_opened(served, tmp_path, monkeypatch, victim):
    canary = tmp_path / "canary"
    data = cifar.CIFAR10(root=str(tmp_path / "data"), mirrors=(served.url,))
    data.load()
    victim = tmp_path / "data" / "cifar-10-batches-py" / victim
    honest = victim.read_bytes()
    victim.write_bytes(pickle.dumps(Canary(canary)))
    assert len(data.load()["test"]) == 20
    assert victim.read_bytes() == honest

    victim.write_bytes(pickle.dumps(Canary(canary)))
    (tmp_path / "data" / "cifar-10-python.tar.gz").unlink()
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    with pytest.raises(UserError, match=r"data=cifar10: cifar-10-python\.tar\.gz not found.*data=digits"):
        data.load()
    assert not canary.exists()


def test_specs():
    assert datasets.CIFAR10.filename == "cifar-10-python.tar.gz"
    for data, reader, classes in SETS:
        spec = data().spec
        assert (spec.in_channels, spec.image_size, spec.out_features) == (3, (32, 32), classes)
        assert len(set(spec.class_names)) == classes and list(spec.class_names) == sorted(spec.class_names)
        assert len(spec.mean) == len(spec.std) == 3
        assert reader.url == cifar.MIRRORS[0] + reader.filename
