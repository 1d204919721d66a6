"""Models and data sets of a user's own, from a folder that is not the repository."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from plugged_in import MODEL, plugged_in

from dlrun.cli import main
from dlrun.config import pairing, registry
from dlrun.errors import UserError
from dlrun.models import MODELS
from dlrun.store import runs

SMALL = ["data=synthetic", "data.image_size=4", "data.num_train=16", "trainer.epochs=1", "logger=none"]
WIDE = "# A wider ResNet.\nname: resnet\nchannels: [3, 5]\n"


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """A plug-in file, named by DLRUN_PLUGINS, in the folder that the test works in."""
    monkeypatch.chdir(tmp_path)
    with plugged_in(tmp_path / "my_models.py") as path:
        yield path


def only_run(pattern):
    (folder,) = pathlib.Path.cwd().glob(pattern)
    return runs.open_run(folder)


def test_a_model_needs_no_yaml(plug_in):
    assert main.main(["model=mine", "model.width=64", *SMALL]) == 0
    run = only_run("outputs/mine-synthetic/*")
    assert run.config["model"] == {
        "name": "mine", "in_features": None, "width": 64, "batch_norm": False, "fate": "fine", "nan_step": None,
        "tell": None, "hold": None, "out_features": None,
    }  # fmt: skip
    assert run.summary["parameters"] == (16 * 64 + 64) + (64 * 10 + 10)


def test_a_data_set_of_ones_own_meets_the_models_of_dlrun(plug_in):
    assert main.main(["model=mlp", "data=table", "data.num_train=20", "trainer.epochs=1", "logger=none"]) == 0
    assert only_run("outputs/mlp-table/*").config["data"]["num_train"] == 20


def test_the_verbs_know_the_plug_in(plug_in, capsys):
    assert main.main(["model=mine", *SMALL, "folder=run", "scheduler=none"]) == 0
    accuracy = runs.open_run("run").metrics["test/accuracy"]
    forget_plugins()
    assert main.main(["eval", "run"]) == 0
    assert f"{accuracy:.4f}" in capsys.readouterr().out
    forget_plugins()
    assert main.main(["resume", "run", "trainer.epochs=2"]) == 0
    assert runs.open_run("run").summary["epochs"] == 2
    forget_plugins()
    assert main.main(["show", "model=mine", "data=table"]) == 0
    assert main.main(["list", "models"]) == 0
    assert "mine" in capsys.readouterr().out


def forget_plugins():
    """As in a new process."""
    registry._loaded_plugins.clear()
    for entries in registry.registries().values():
        for name in entries.plugin_names():
            del entries._targets[name]


def test_without_the_file_a_verb_names_the_missing_model(plug_in, capsys):
    assert main.main(["model=mine", *SMALL, "folder=run"]) == 0
    forget_plugins()
    del os.environ["DLRUN_PLUGINS"]  # as `plugged_in` does at its end
    capsys.readouterr()
    assert main.main(["eval", "run"]) == 2
    assert "run: was trained with model=mine, which is not known here; name its file" in capsys.readouterr().err


def test_a_plug_in_file_that_has_changed_is_read_again(plug_in, capsys):
    words = ["model=mine", *SMALL, "trainer.epochs=1"]
    assert main.main(words) == 0
    before = capsys.readouterr().out
    plug_in.write_text(plug_in.read_text().replace("width: int = 8", "width: int = 9"))
    assert main.main(words) == 0
    after = capsys.readouterr().out
    assert ["model   mine, 226 parameters" in before, "model   mine, 253 parameters" in after] == [True, True]


def test_a_yaml_of_ones_own_gives_a_model_of_dlrun_other_sizes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("my_conf/model").mkdir(parents=True)
    pathlib.Path("my_conf/model/wide.yaml").write_text(WIDE)
    words = ["--config-dir", "my_conf", "model=wide", "data=synthetic", "data.image_size=16", "trainer=smoke"]
    assert main.main([*words, "logger=none"]) == 0
    run = only_run("outputs/resnet-synthetic/*")
    assert run.config["model"]["channels"] == [3, 5]
    assert run.words[:2] == ["--config-dir", "my_conf"]


def test_both_work_in_a_sweep_from_any_folder_and_jobs_share_the_cores(tmp_path):
    (tmp_path / "my_models.py").write_text(MODEL)
    (tmp_path / "my_conf/model").mkdir(parents=True)
    (tmp_path / "my_conf/model/wide.yaml").write_text(WIDE)
    words = ["-m", "--config-dir=my_conf", "model=mine,wide", "data=synthetic", "data.image_size=16", "trainer=smoke"]
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-m", "dlrun", *words, "logger=none", "sweep.jobs=2", "sweep.folder=sweep"],
        cwd=tmp_path,
        env=environment | {"DLRUN_PLUGINS": "my_models.py"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (runs.open_run(tmp_path / "sweep" / number) for number in "01")
    assert (first.config["model"]["name"], second.config["model"]["channels"]) == ("mine", [3, 5])
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert [run.summary["threads"] for run in (first, second)] == [share, share]
    jobs = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]
    assert [(job["state"], job["changed"]) for job in jobs] == [
        ("done", {"model": "mine"}),
        ("done", {"model": "wide"}),
    ]
    assert {path.name for path in (tmp_path / "sweep").iterdir()} >= {"report.csv", "report.md", "sweep.json", "logs"}


MARGIN = '''
from dlrun.tasks import TASKS
from dlrun.tasks.multiclass import Multiclass


@TASKS.register("arcface")
class ArcFace(Multiclass):
    """Classes, with a name that sorts before multiclass."""
'''


def test_a_task_that_inherits_from_the_usual_one_is_not_the_usual_one_and_runs_to_its_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with plugged_in(tmp_path / "margin.py", MARGIN):
        words = [*SMALL, "model=mlp"]
        assert main.main([*words, "task=arcface", "folder=chosen"]) == 0
        assert pairing.usual_task("class") == "multiclass"
        assert main.main([*words, "folder=auto"]) == 0
        assert (tmp_path / "auto/metrics.csv").read_text() == (tmp_path / "chosen/metrics.csv").read_text()
        for name in ("chosen", "auto"):
            run = runs.open_run(name)
            assert (run.state, run.watch) == ("done", ("val/accuracy", "max"))
        described = registry.of("task").describe("arcface").attributes
        assert (described["learns"], described["watch"], described["mode"]) == ("class", "accuracy", "max")
        assert "is_default" not in described


def test_two_usual_tasks_of_one_target_are_refused_by_name(tmp_path):
    usual = MARGIN.replace('before multiclass."""', 'before multiclass."""\n\n    is_default: bool = True')
    with plugged_in(tmp_path / "margin.py", usual):
        registry.load_plugins()
        with pytest.raises(UserError, match=r"^task: arcface and multiclass learn a target of kind 'class'; choose"):
            pairing.usual_task("class")


# ---- how plug-ins are found


def test_several_files_are_loaded_once_each(tmp_path):
    text = "from dlrun.models import MODELS\n@MODELS.register('{0}')\ndef {0}(*, size: int = 1):\n    '''Doc.'''\n"
    with plugged_in(tmp_path / "one.py", text.format("one")):
        (tmp_path / "two.py").write_text(text.format("two"))
        os.environ["DLRUN_PLUGINS"] = os.pathsep.join([str(tmp_path / "one.py"), "", str(tmp_path / "two.py")])
        registry.load_plugins()
        registry.load_plugins()
        assert MODELS.plugin_names() == ["one", "two"]
        assert MODELS.describe("two").doc == "Doc."


def test_an_installed_package_adds_by_its_entry_point_as_soon_as_it_is_there(monkeypatch, tmp_path):
    def install(package):
        metadata = tmp_path / f"site/{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[dlrun.plugins]\n{package} = json:{package}\n")

    with plugged_in(tmp_path / "one.py", ""):
        (tmp_path / "site").mkdir()
        monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
        registry.load_plugins()
        install("loads")  # what json has already
        registry.load_plugins()
        install("mine")
        with pytest.raises(UserError, match=r"^plug-in mine \(json:mine\): cannot be imported: AttributeError"):
            registry.load_plugins()
