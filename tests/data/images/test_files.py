"""Which files are images, and what is said of the others."""

import io

import pytest
from PIL import Image

from dlrun.data.faces.folder import FaceFolder
from dlrun.data.images.files import LeftOut, is_image
from dlrun.data.images.imagefolder import ImageFolder


def encoded(kind, colour=7):
    buffer = io.BytesIO()
    Image.new("L", (4, 4), colour).save(buffer, kind)
    return buffer.getvalue()


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(root)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
@pytest.mark.parametrize("name", ["a", "a.jfif", "a.JPE", "a.dat", "a.b.c"])
def test_an_image_is_known_by_its_content_whatever_its_ending(tmp_path, kind, name):
    (tmp_path / name).write_bytes(encoded(kind))
    assert is_image(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", b"BMX and more"), ("a", b""), ("a.heic", HEIC), ("a.pdf", b"%PDF-1.4"), ("a.md", b"P3 x")],
)
def test_what_is_none_is_not_taken_for_one(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert not is_image(tmp_path / name)


def test_every_file_of_a_folder_is_counted(tmp_path, capsys):
    images = {f"{label}/{number}.png": encoded("PNG", number) for label in "ab" for number in range(5)}
    others = {f"a/{number}.heic": HEIC for number in range(3)} | {"b/notes.txt": b"x", "b/LICENSE": b"x"}
    clutter = {"a/._0.png": b"x", "a/Thumbs.db": b"x", "b/.DS_Store": b"x", "b/desktop.ini": b"x"}
    root = write(tmp_path, images | others | clutter | {"a/five": encoded("JPEG"), "b/six.jfif": encoded("JPEG")})
    (part,) = ImageFolder(root=root, val_fraction=0, test_fraction=0).load().values()
    assert len(part) == 12
    assert capsys.readouterr().err == (
        "dlrun: note: data=imagefolder: 5 of 17 files are no images that can be read here, and left out: "
        "3 .heic, 1 without an ending, 1 .txt\n"
    )


def test_a_list_of_endings_ends():
    left_out = LeftOut()
    left_out.counts.update({f".{number}": 1 for number in range(9)})
    assert str(left_out) == "1 .0, 1 .1, 1 .2, 1 .3 and 5 more"


@pytest.mark.parametrize("make", [ImageFolder, FaceFolder])
def test_what_lies_beside_the_folders_that_are_read_is_said(tmp_path, capsys, make):
    files = {f"train/{label}/{number}.png": encoded("PNG", number) for label in "abcdefgh" for number in range(3)}
    beside = {f"test/{number}.png": encoded("PNG") for number in range(3)} | {"spare/a/1.png": encoded("PNG")}
    root = write(tmp_path, files | beside | {"train/loose.jpg": encoded("JPEG"), "README.md": b"x"})
    parts = make(root=root).load()
    assert sum(map(len, parts.values())) == 24
    name = "imagefolder" if make is ImageFolder else "faces"
    assert capsys.readouterr().err == (
        f"dlrun: note: data={name}: not read in {root}: test, no part, since it holds files and no folders as train "
        "does; folder spare; 1 images in no such folder (loose.jpg ...)\n"
    )
