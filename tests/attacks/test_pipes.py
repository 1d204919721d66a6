"""What stands in the place of a file and is none is refused at once: no command waits for a pipe."""

import os
import socket

import pytest
from attacking import some

RECORDS = [
    *("config.yaml", "status.json", "overrides.json", "spec.json", "offered.json", "metrics.csv", "summary.json"),
    *("samples.safetensors", "checkpoints/last.safetensors", "checkpoints/best.safetensors", ".lock"),
]
KINDS = ["pipe", "socket", "folder", "endless"]
VERBS = {
    "list": lambda run, table: ("list", "runs", run),
    "show": lambda run, table: ("show", run),
    "report": lambda run, table: ("report", run),
    "eval": lambda run, table: ("eval", run),
    "predict": lambda run, table: ("predict", run, table),
    "resume": lambda run, table: ("resume", run, "trainer.epochs=2"),
}


def put(place, kind, monkeypatch):
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        monkeypatch.chdir(place.parent)  # its address has room for a short name only
        socket.socket(socket.AF_UNIX).bind(place.name)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("/dev/zero")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("name", "kind"), some([(name, kind) for name in RECORDS for kind in KINDS], 5))
def test_no_command_waits_for_what_is_no_file(trained, copied, attempt, monkeypatch, name, kind, verb):
    run = copied("table")
    put(run / name, kind, monkeypatch)
    attempt(*VERBS[verb](run, trained / "table.csv"))


@pytest.mark.parametrize("kind", KINDS)
def test_no_sweep_record_is_waited_for(copied, attempt, monkeypatch, kind):
    home = copied("table").parent / "sweep"
    home.mkdir()
    put(home / "sweep.json", kind, monkeypatch)
    for words in (("resume", home), ("report", home), ("list", "runs", home)):
        attempt(*words)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "words",
    [
        ("model=mlp", "data=csv", "data.path={place}"),
        ("model=gcn", "data=edges", "data.nodes={place}", "data.edges={place}"),
        ("model=rnn", "data=text", "data.path={place}"),
        ("model=cnn", "data=imagefolder", "data.root={folder}"),
        ("model=unet", "data=masks", "data.root={folder}"),
        ("model=mlp", "data=digits", "init.from={place}"),
        ("--config-dir", "{folder}", "experiment=mine"),
    ],
    ids=lambda words: words[1].strip("{}").replace("data=", ""),
)
def test_no_data_and_no_config_are_waited_for(tmp_path, attempt, monkeypatch, kind, words):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "given"
    names = ["experiment/mine.yaml", "images/a.png", "masks/a.png", "cats/a.png", "dogs/b.png", "given.csv"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        put(folder / name, kind, monkeypatch)
    monkeypatch.chdir(tmp_path)
    code, printed = attempt(*(word.format(place=folder / "given.csv", folder=folder) for word in words))
    assert code == 2 and printed.startswith("dlrun: error: ")
    assert not (tmp_path / "outputs").exists()
