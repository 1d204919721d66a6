"""Data sets of places that are downloaded, from a server on this machine with small ones of the same layout."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from dlrun.cli import main
from dlrun.data import download
from dlrun.data.boxes.oxford_pet import OxfordPet
from dlrun.data.boxes.published import VOC2007, VOC_CLASSES, PennFudan
from dlrun.errors import UserError


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def jpg(height, width):
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def tar(files, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def xml(stem, name, box):
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return (
        f"<annotation><filename>{stem}.jpg</filename><size><width>40</width><height>30</height></size><object><name>"
        f"{name}</name><difficult>0</difficult><bndbox>{sides}</bndbox></object></annotation>"
    ).encode()


def voc(stems, lists):
    files = {}
    for number, stem in enumerate(stems):
        files[f"VOCdevkit/VOC2007/JPEGImages/{stem}.jpg"] = jpg(30, 40)
        files[f"VOCdevkit/VOC2007/Annotations/{stem}.xml"] = xml(stem, VOC_CLASSES[number % 20], (1, 1, 20, 30))
    return tar(files | {f"VOCdevkit/VOC2007/ImageSets/Main/{part}.txt": text for part, text in lists.items()})


@pytest.fixture
def voc2007(server, tmp_path, monkeypatch):
    train, test = VOC2007.archives
    stems = [f"{number:02}" for number in range(1, 22)]
    monkeypatch.setattr(VOC2007, "archives", {train: None, test: None})
    server.answers[f"/{train}"] = server.content(voc(stems, {"train": "\n".join(stems[:20]).encode(), "val": b"21\n"}))
    server.answers[f"/{test}"] = server.content(voc(["30"], {"test": b"30\n"}))
    return lambda: VOC2007(root=str(tmp_path), image_size=40, mirrors=(f"{server.url}/gone", server.url))


def test_voc_2007_has_its_own_parts_and_all_of_its_classes(server, voc2007):
    data = voc2007()
    assert data.spec.out_features == 20 and server.asked == []
    parts = data.load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 20, "val": 1, "test": 1}
    assert parts["train"].target.boxes[0].tolist() == [[0, 5, 20, 35]]  # letterboxed: 40x30 in 40x40
    assert [own.tolist() for own in parts["train"].target.labels] == [[number] for number in range(20)]
    asked = len(server.asked)
    assert voc2007().load()["test"].target.labels[0].tolist() == [0] and len(server.asked) == asked


def test_checksums_are_those_of_the_published_files():
    assert all(checksum.startswith("md5:") and len(checksum) == 36 for checksum in VOC2007.archives.values())


@pytest.fixture
def penn_fudan(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(6):
            mask = np.zeros((30, 40), dtype=np.uint8)
            mask[5:25, 4:12] = 1
            if number % 2:
                mask[8:28, 20:30] = 2
                mask[8:10, 20:22] = 0
            archive.writestr(f"PennFudanPed/PNGImages/FudanPed{number}.png", png(np.zeros((30, 40, 3))))
            archive.writestr(f"PennFudanPed/PedMasks/FudanPed{number}_mask.png", png(mask))
        archive.writestr("PennFudanPed/Annotation/FudanPed0.txt", "not read")
    server.answers["/PennFudanPed.zip"] = server.content(buffer.getvalue())
    keys = {"root": str(tmp_path), "image_size": 40, "mirrors": (server.url,), "test_fraction": 0.2}
    return lambda **more: PennFudan(**keys | more)


def test_people_have_boxes_around_their_masks(server, penn_fudan):
    parts = penn_fudan(learn="instances").load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 4, "val": 1, "test": 1}
    batch = parts["train"].take(torch.arange(4))
    for boxes, masks in zip(batch.target.boxes, batch.target.masks, strict=True):
        assert boxes[0].tolist() == [4, 10, 12, 30] and masks[0].sum() == 8 * 20
        if len(boxes) == 2:
            assert boxes[1].tolist() == [20, 13, 30, 33] and masks[1].sum() == 10 * 20 - 4
    assert server.asked == ["/PennFudanPed.zip"]
    assert penn_fudan().load()["train"].target.masks is None


def test_a_person_without_a_mask_is_named(penn_fudan, tmp_path):
    penn_fudan().load()
    (tmp_path / "PennFudanPed/PedMasks/FudanPed3_mask.png").unlink()
    with pytest.raises(UserError, match=r"1 image without a mask.*FudanPed3"):
        penn_fudan().load()
    assert sum(len(part) for part in penn_fudan(broken="drop").load().values()) == 5


@pytest.fixture
def pets(server, tmp_path, monkeypatch):
    monkeypatch.setattr("dlrun.data.boxes.oxford_pet.ARCHIVES", {"images.tar.gz": None, "annotations.tar.gz": None})
    trimap = np.full((30, 40), 2)
    trimap[10:20, 10:30], trimap[12:18, 12:28] = 3, 1
    stems = [f"Beagle_{number}" for number in range(5)]
    images = {f"images/{stem}.jpg": jpg(30, 40) for stem in [*stems, "unlisted"]}
    notes = {f"annotations/trimaps/{stem}.png": png(trimap) for stem in stems}
    notes |= {f"annotations/trimaps/._{stem}.png": b"junk" for stem in stems}
    notes["annotations/trainval.txt"] = b"#Image CLASS-ID\n" + b"".join(b"%s 1 2 1\n" % s.encode() for s in stems[:4])
    notes["annotations/test.txt"] = f"{stems[4]} 1 2 1\n".encode()
    server.answers["/images.tar.gz"] = server.content(tar(images, "w:gz"))
    server.answers["/annotations.tar.gz"] = server.content(tar(notes, "w:gz"))
    return lambda: OxfordPet(root=str(tmp_path), image_size=(30, 40), val_fraction=0.25, mirrors=(server.url,))


def test_pets_are_one_class_and_their_seam_is_not_counted(server, pets, tmp_path):
    data = pets()
    assert data.spec.class_names == ("background", "pet") and server.asked == []
    parts = data.load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 3, "val": 1, "test": 1}
    mask = parts["test"].target[0]
    assert [(mask == value).sum().item() for value in (0, 1, 255)] == [1200 - 200, 96, 200 - 96]
    (tmp_path / "oxford-iiit-pet/images/Beagle_2.jpg").unlink()
    with pytest.raises(UserError, match=r"trainval\.txt:4: no file .*Beagle_2\.jpg; delete the folder"):
        pets().load()


def test_what_cannot_be_downloaded_names_data_of_the_same_kind(tmp_path, monkeypatch):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    for made in (VOC2007(root=str(tmp_path)), PennFudan(root=str(tmp_path)), OxfordPet(root=str(tmp_path))):
        with pytest.raises(UserError, match=r"DLRUN_OFFLINE is set; use data=shapes, which .* or put "):
            made.load()


@pytest.mark.parametrize(
    ("name", "says"), [("../out", "leads out of the folder"), ("/abs", "leads out"), ("a\\b", "leads out")]
)
def test_a_zip_that_leads_out_is_refused(name, says, tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("fine.txt", "fine")
        archive.writestr(zipfile.ZipInfo(name), "bad")
    with pytest.raises(UserError, match=says):
        download.unzip_all(tmp_path / "bad.zip", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip"]


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(2000))
    with pytest.raises(UserError, match="unpacks to more than 1000 bytes"):
        download.unzip_all(tmp_path / "bomb.zip", tmp_path)


def test_a_detector_and_a_segmenter_learn_from_them(server, penn_fudan, pets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = [f"data.root={tmp_path}", f"data.mirrors=[{server.url}]", "data.image_size=32", "trainer.epochs=1"]
    common += ["trainer.batch_size=2", "device=cpu", "logger=none"]
    small = ["model.channels=[4,8]", "model.hidden_size=8", "model.mask_channels=4"]
    assert main.main(["model=mask_rcnn", "data=penn_fudan", *small, *common, "folder=people"]) == 0
    assert main.main(["model=unet", "data=oxford_pet", "model.channels=4", *common, "folder=pets"]) == 0
