"""A run on a folder of images answers where that folder is gone, and where not all that it is asked is readable."""

import shutil

import numpy as np
import pytest
from PIL import Image

from dlrun.cli import main


def draw(path, number, depth=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    high = 255 if depth is np.uint8 else 4095
    low = number % 2 * high // 2
    pixels = np.random.default_rng(number).integers(low, low + high // 2, (8, 8)).astype(depth)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module", params=["8 bits", "12 bits"])
def trained(request, tmp_path_factory):
    """A folder with pictures of two classes, some new ones, and a run."""
    home = tmp_path_factory.mktemp("folder")
    depth = np.uint8 if request.param == "8 bits" else np.uint16
    for number in range(40):
        draw(home / f"pictures/{('dark', 'bright')[number % 2]}/{number}.png", number, depth)
    for number in range(4):
        draw(home / f"new/deep/er/{number}.png", 100 + number, depth)
    words = ["model=mlp", "model.hidden_sizes=[16]", "data=imagefolder", "data.root=pictures", "data.image_size=8"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main.main([*words, "data.in_channels=1", "trainer.epochs=15", "logger=none", "folder=run"]) == 0
    return home


@pytest.fixture
def home(trained, tmp_path, monkeypatch, capsys):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return tmp_path


def answers(capsys):
    return [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]]


RIGHT = [[f"new/deep/er/{number}.png", ("dark", "bright")[number % 2]] for number in range(4)]


def test_it_answers_without_the_pictures_it_was_trained_on(home, capsys):
    assert main.main(["predict", "run", "new"]) == 0
    assert answers(capsys) == RIGHT
    (home / "pictures/bright").rename(home / "pictures/glaring")
    assert main.main(["predict", "run", "new"]) == 0
    assert answers(capsys) == RIGHT
    shutil.rmtree(home / "pictures")
    assert main.main(["predict", "run", "new"]) == 0
    assert answers(capsys) == RIGHT


def test_eval_is_led_to_pictures_that_were_moved_and_renamed(home, capsys):
    assert main.main(["eval", "run", f"data.root={home}/pictures"]) == 0
    before = capsys.readouterr()
    for path in sorted((home / "pictures").glob("*/*.png"), reverse=True):
        path.rename(path.with_name(f"x{99 - int(path.stem)}.png"))
    (home / "pictures").rename(home / "elsewhere")
    draw(home / "elsewhere/dark/more.png", 50)
    assert main.main(["eval", "run", "data.root=elsewhere"]) == 0
    after = capsys.readouterr()
    assert after.out == before.out
    assert "of the run's 40 samples 0 changed and 0 missing (left out), 1 new (in no part)" in after.err


def test_a_class_that_is_called_otherwise_now_is_refused_in_one_line(home, capsys):
    (home / "pictures/bright").rename(home / "pictures/glaring")
    assert main.main(["eval", "run", "data.root=pictures"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith("was trained with class_names bright, dark, the data now have dark")


def test_the_good_ones_are_answered_and_the_bad_ones_named(home, capsys):
    (home / "new/deep/er/bad.png").write_bytes(b"no image")
    (home / "new/._0.png").write_bytes(b"of a Mac")
    (home / "new/notes.txt").write_text("x")
    assert main.main(["predict", "run", "new"]) == 1
    out, err = capsys.readouterr()
    assert [line.split()[:2] for line in out.splitlines()[1:]] == RIGHT
    note, warning = err.splitlines()
    assert note.endswith("1 of 6 files are no images that can be read here, and left out: 1 .txt")
    assert warning.startswith(
        "dlrun: warning: no answer for 1 that cannot be read: new/deep/er/bad.png (the first cannot"
    )
    for number in range(20):
        (home / f"new/bad{number}.png").write_bytes(b"no image")
    assert main.main(["predict", "run", "new"]) == 1
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert "no answer for 21" in warning and "and 18 more" in warning and len(warning) <= 300
    assert main.main(["predict", "run", "new/bad1.png", "new/bad2.png"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "new/bad1.png: cannot be decoded" in line and line.endswith("and 1 more")
