"""Faces that are downloaded, from a server on this machine with small ones of the same layout."""

import io
import tarfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from dlrun.data.faces.lfw import LFW, margin
from dlrun.data.faces.olivetti import Olivetti
from dlrun.errors import UserError


def faces():
    """400 images of which no two are alike, and none is like its mirror image."""
    rows, columns = np.mgrid[:64, :64]
    images = np.stack([(rows * 3 + columns + k) % 256 for k in range(400)]).astype(np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.arange(400) // 10, np.arange(400) % 10
    return images


@pytest.fixture
def olivetti(server, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    # As MATLAB keeps an image: column by column, each image a column.
    savemat(buffer, {"faces": faces().transpose(0, 2, 1).reshape(400, 4096).T, "p": 1.0})
    monkeypatch.setattr(Olivetti, "files", {"olivettifaces.mat": None})
    server.answers["/files/5976027?/olivettifaces.mat"] = server.content(buffer.getvalue())
    mirrors = (f"{server.url}/gone", f"{server.url}/files/5976027?")
    return lambda **keys: Olivetti(root=str(tmp_path), mirrors=mirrors, **keys)


def test_olivetti_has_forty_people_with_ten_images_each(server, olivetti):
    data = olivetti()
    spec = data.spec
    assert (spec.target, spec.out_features, spec.in_channels, spec.image_size) == ("identity", 40, 1, (64, 64))
    assert spec.class_names[39] == "person 39" and server.asked == []
    parts = data.load()
    assert server.asked == ["/gone/olivettifaces.mat", "/files/5976027?/olivettifaces.mat"]
    assert {name: len(part) for name, part in parts.items()} == {"train": 220, "val": 80, "test": 100}
    expected, seen = faces(), []
    for part in parts.values():
        images = part.take(torch.arange(len(part))).inputs[0]
        people, numbers = images[:, 0, 0, 0].int(), images[:, 0, 0, 1].int()
        assert torch.equal(people.long(), part.labels)
        assert np.array_equal(images[:, 0].numpy(), expected[(people * 10 + numbers).numpy()])
        seen += people.unique().tolist()
    assert sorted(seen) == list(range(40))
    again = olivetti(split_seed=1).load()
    assert len(server.asked) == 2 and again["test"].labels.unique().tolist() != parts["test"].labels.unique().tolist()


def photograph(color, mark):
    """250x250, of which the middle half has one colour."""
    image = Image.new("RGB", (250, 250), mark)
    image.paste(color, (62, 62, 188, 188))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


COUNTS = {f"Name_{k:02}": 3 for k in range(12)} | {"Ann_One": 1, "Zoe_One": 1}


@pytest.fixture
def lfw(server, tmp_path, monkeypatch):
    files = {"lfw_funneled/pairs_01.txt": b"300\n"}
    for k, (name, count) in enumerate(COUNTS.items()):
        for number in range(1, count + 1):
            content = photograph((10 * k, 20, 30), (number, 255, 255))
            files[f"lfw_funneled/{name}/{name}_{number:04}.png"] = content
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(LFW, "files", {"lfw-funneled.tgz": None})
    monkeypatch.setattr(LFW, "num_people", len(COUNTS))
    server.answers["/lfw-funneled.tgz"] = server.content(buffer.getvalue())
    return lambda **keys: LFW(root=str(tmp_path), mirrors=(server.url,), image_size=8, **keys)


def test_lfw_is_split_by_person_and_cut_to_the_face(server, lfw, capsys):
    data = lfw()
    assert server.asked == []
    parts = data.load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 24, "val": 6, "test": 6 + 2}
    assert "2 people (Ann_One, Zoe_One) with a single image, of which no pair can be made" in capsys.readouterr().err
    spec = data.spec
    assert (spec.target, spec.out_features, spec.class_names) == ("identity", 14, tuple(sorted(COUNTS)))
    for part in parts.values():
        images = part.take(torch.arange(len(part))).inputs[0]
        assert images.shape == (len(part), 3, 8, 8)
        colors = [10 * list(COUNTS).index(spec.class_names[number]) for number in part.labels.tolist()]
        assert (images[:, 0] == torch.tensor(colors).view(-1, 1, 1)).all()  # nothing of what is around the face
    assert server.asked == ["/lfw-funneled.tgz"]


def test_what_lfw_takes_can_be_chosen(lfw):
    data = lfw(min_images=2, in_channels=1, crop=1.0, test_fraction=0.5)
    parts = data.load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 12, "val": 6, "test": 18}
    assert data.spec.out_features == 12 and data.spec.in_channels == 1
    image = parts["train"].take(torch.tensor([0])).inputs[0][0, 0]
    assert image.shape == (8, 8) and image[0, 0] != image[4, 4]


def test_a_photograph_to_predict_is_cut_as_those_of_the_training_are(lfw, tmp_path):
    data = lfw()
    part = data.load()["train"]
    image, frame = data.read_image(part.paths[0], data.spec)
    assert torch.equal(image, part.take(torch.tensor([0])).inputs[0][0])
    assert frame.tolist() == pytest.approx([8 / 126, 8 / 126, -62 * 8 / 126, -62 * 8 / 126, 250, 250])


@settings(deadline=None)
@given(side=st.integers(1, 1000), share=st.floats(0, 1, exclude_min=True))
def test_about_the_share_of_a_side_is_kept(side, share):
    kept = side - 2 * margin(side, share)
    assert 1 <= kept <= side and (abs(kept - share * side) <= 1 or kept <= 2)


def test_what_was_half_unpacked_is_unpacked_again(server, lfw, tmp_path):
    assert len(lfw().spec.class_names) == 14
    (tmp_path / "lfw-py/lfw_funneled/Zoe_One/Zoe_One_0001.png").unlink()
    (tmp_path / "lfw-py/lfw_funneled/Zoe_One").rmdir()
    assert len(lfw().spec.class_names) == 14 and len(server.asked) == 1
    assert len(lfw().load()["train"]) == 24 and len(server.asked) == 1


def test_checksums_are_those_of_the_published_files():
    for data in (Olivetti, LFW):
        assert all(checksum.startswith("sha256:") and len(checksum) == 7 + 64 for checksum in data.files.values())


def test_what_cannot_be_downloaded_names_data_of_the_same_kind(tmp_path, monkeypatch):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    for made in (Olivetti(root=str(tmp_path)), LFW(root=str(tmp_path))):
        with pytest.raises(UserError, match=r"DLRUN_OFFLINE is set; use data=drawn_faces, which .* or put "):
            made.load()
