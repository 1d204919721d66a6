"""Runs of an older dlrun, whose config lacks what has been added since, are still read."""

import shutil

import pytest
import yaml

from dlrun.cli import main

SMALL = [
    "data=synthetic",
    "data.num_train=16",
    "data.num_val=4",
    "data.num_test=4",
    "model=cnn",
    "model.channels=[3,5]",
]
VERBS = {
    "eval": ["eval", "run"],
    "predict": ["predict", "run", "photo.png"],
    "resume": ["resume", "run", "trainer.epochs=2"],
    "show": ["show", "run"],
}
ADDED = ["sampler", "augment", "init", "trainer.watch", "view"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run, and the picture that can be shown to it."""
    from PIL import Image

    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        words = [*SMALL, "logger=none", "scheduler=none", "trainer.epochs=1", "folder=run"]
        assert main.main(words) == 0
    Image.new("L", (28, 28), 128).save(home / "photo.png")
    return home


@pytest.fixture
def older(trained, tmp_path, monkeypatch):
    """`older("sampler", ...)`: a copy of the run whose config lacks these, in the folder that the test works in."""
    monkeypatch.chdir(tmp_path)

    def call(*keys):
        shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
        path = tmp_path / "run/config.yaml"
        config = yaml.safe_load(path.read_text())
        for key in keys:
            section, _, name = key.partition(".")
            if name:
                del config[section][name]
            else:
                del config[section]
        path.write_text(yaml.safe_dump(config))

    return call


@pytest.mark.parametrize("verb", VERBS)
def test_it_still_opens_and_one_line_names_what_was_filled_in(older, capsys, verb):
    older(*ADDED)
    assert main.main(VERBS[verb]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dlrun: ")]
    assert len(notes) == 1
    start, _, named = notes[0].partition(": by default ")
    assert start == "dlrun: note: run is of an older dlrun"
    assert sorted(named.split(", ")) == sorted(ADDED)


@pytest.mark.parametrize("key", ADDED)
def test_each_of_them_alone_may_be_missing(older, capsys, key):
    older(key)
    assert main.main(VERBS["predict"]) == 0
    assert capsys.readouterr().err == f"dlrun: note: run is of an older dlrun: by default {key}\n"
