"""`dlrun doctor`: a line for each finding, a real small training, `ok` or the one line that says what is wrong."""

import importlib
import importlib.metadata
import pathlib
import types

import pytest

import dlrun.run
from dlrun.cli import main
from dlrun.cli.verbs import doctor
from dlrun.errors import RunError
from dlrun.models import MODELS


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DLRUN_DATA", raising=False)
    monkeypatch.delenv("DLRUN_PLUGINS", raising=False)


def fake_training(monkeypatch, accuracy=1.0, error=None):
    def run(config, words):
        print("what a run prints")
        if error is not None:
            raise error
        return types.SimpleNamespace(metrics={"train/accuracy": accuracy})

    monkeypatch.setattr(dlrun.run.run, "run", run)


def test_everything_is_in_place(capfd, tmp_path):
    assert main.main(["doctor"]) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[-1] == "ok"
    assert lines[-2].startswith("ok       training         model=cnn data=synthetic trainer=overfit: accuracy 1.00")
    assert {line[:9].strip() for line in lines[:-1]} <= {"ok", "missing", "warning"}
    assert all(len(line) > 26 and line[8] == " " and line[25] == " " for line in lines[:-1])
    found = {line[9:25].strip() for line in lines[:-1]}
    assert {"python", "torch", "hydra-core", "cpu", "memory", "data", "outputs", "plug-ins", "training"} <= found
    assert "epoch" not in out
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ({"accuracy": 0.1}, "a small training learns nothing: accuracy 0.10 on one batch, 0.95 expected"),
        ({"error": RunError("the loss is not finite")}, "a small training fails: the loss is not finite"),
        ({"error": OSError("no space\nleft")}, "a small training fails: OSError: no space"),
    ],
)
def test_a_training_that_goes_wrong_is_one_line(monkeypatch, capsys, trouble, says):
    fake_training(monkeypatch, **trouble)
    assert main.main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert err == f"dlrun: error: {says}\n"
    assert "what a run prints" not in out
    assert "ok" not in out.splitlines()


def test_torch_that_cannot_be_imported(monkeypatch, capsys):
    def broken(name):
        raise OSError("libcudart.so.13: cannot open shared object file\nmore")

    monkeypatch.setattr(importlib, "import_module", lambda name: broken(name) if name == "torch" else __import__(name))
    with pytest.raises(RunError, match=r"^torch cannot be imported: libcudart\.so\.13.*file; reinstall"):
        doctor.main([])


def test_missing_and_old_packages_are_marked(monkeypatch, capsys):
    fake_training(monkeypatch)
    needs = ["torch>=99", "not-there>=1", "numpy", "pytest>=99; extra == 'dev'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needs)
    assert main.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "missing  not-there        pip install 'not-there>=1'" in out
    assert "but dlrun needs >=99" in out
    assert "pytest" not in {line[9:25].strip() for line in out.splitlines()}


def test_data_folders_say_what_they_hold(monkeypatch, tmp_path):
    assert ["no ./data yet" in finding for _, _, finding in doctor._data()] == [True]
    (tmp_path / "store/MNIST/raw").mkdir(parents=True)
    (tmp_path / "store/MNIST/raw/train-images-idx3-ubyte").touch()
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path / "store"))
    store, local = doctor._data()
    assert store == ("ok", "data", f"{tmp_path / 'store'}: mnist")
    assert "none of the known data sets (not used: DLRUN_DATA is set)" in local[2]
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path / "lost"))
    mark, _, finding = next(iter(doctor._data()))
    assert (mark, "no such folder" in finding) == ("warning", True)


def test_outputs_that_cannot_be_written(tmp_path):
    (tmp_path / "outputs").touch()
    findings = {what: (mark, finding) for mark, what, finding in doctor._folders()}
    assert findings["outputs"][0] == "warning"
    assert "is not a folder" in findings["outputs"][1]
    assert findings["multirun"][0] == "ok"


def test_warnings_of_a_busy_and_a_small_machine(monkeypatch):
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (1000.0, 0, 0))
    assert ("warning", "load") in {line[:2] for line in doctor._processor()}
    small = types.SimpleNamespace(total=64 * 2**20, free=1)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: small)
    if pathlib.Path("/dev/shm").is_dir():
        warned = [finding for mark, what, finding in doctor._memory() if what == "shared memory"]
        assert warned == ["64 MiB in /dev/shm: loader processes may die (Docker: --shm-size=1g)"]


def test_plug_ins_are_named(monkeypatch):
    monkeypatch.setattr(MODELS, "_targets", dict(MODELS._targets))
    assert list(doctor._plugins()) == [("ok", "plug-ins", "none")]
    MODELS.register("doctored")(object)
    assert list(doctor._plugins()) == [("ok", "plug-ins", "model=doctored")]


def test_wrong_use_is_one_line(capsys):
    assert main.main(["doctor", "now"]) == 2
    err = capsys.readouterr().err
    assert err.splitlines() == ["dlrun: error: doctor: unrecognized arguments: now; usage: dlrun doctor [--recipes]"]
