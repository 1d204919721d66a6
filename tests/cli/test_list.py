"""`dlrun list`: everything registered is there, runs newest first, nothing broken is fatal."""

import json
import re

import pytest
from stored_runs import write_run

from dlrun.cli import main
from dlrun.config import catalogue
from dlrun.data import DATA
from dlrun.models import MODELS


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DLRUN_DATA", raising=False)
    monkeypatch.delenv("DLRUN_PLUGINS", raising=False)


def listed(capsys, *words):
    assert main.main(["list", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_models_names_kinds_and_keys(capsys):
    found = {row["name"]: row for row in listed(capsys, "models")}
    assert sorted(found) == MODELS.names()
    assert all(row["about"] for row in found.values())
    assert found["mlp"]["accepts"] == ["features"]
    assert found["mlp"]["takes"] == ["features", "image"]
    assert found["mlp"]["keys"]["dropout"]["default"] == 0.0
    assert "below 1" in found["mlp"]["keys"]["dropout"]["type"]
    assert found["mlp"]["keys"]["in_features"]["from_data"] is True


def test_the_table_of_models_has_a_line_each(capsys):
    assert main.main(["list", "models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    families = list(dict.fromkeys(row["family"] for row in catalogue.models()))
    assert families == ["features", "images", "places in images", "pictures", "faces", "sequences", "graphs"]
    assert [line for line in lines if line in families] == families
    assert len(lines) == 1 + 3 * len(families) + len(MODELS.names())
    resnet = next(line for line in lines if line.startswith("resnet "))
    assert "image" in resnet
    assert "kernel_size, pool_size" in resnet
    assert "in_channels" not in resnet


def test_which_fits_which(capsys):
    """Written down, not computed by the rule under test."""
    found = {row["name"]: row["fits"] for row in listed(capsys, "models")}
    assert found["resnet"] == [
        "digits", "synthetic", "cifar10", "cifar100", "fashion_mnist", "imagefolder", "mnist",
    ]  # fmt: skip
    assert found["unet"][0] == "shapes" and {"masks", "oxford_pet"} <= set(found["unet"])
    assert {"names", "text", "digits", "adding"} <= set(found["gru"]) and "iris" not in found["gru"]
    assert [row["name"] for row in listed(capsys, "models", "data=iris")] == ["linear", "logistic", "mlp"]
    names = [row["name"] for row in listed(capsys, "data", "model=gin")]
    assert {"karate", "motifs", "cora", "edges"} <= set(names) and "digits" not in names
    assert main.main(["list", "models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "digits, synthetic, cifar10 and 4 more" in next(line for line in lines if line.startswith("cnn "))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["models", "data=iriss"], "did you mean iris?"),
        (["data", "model=resnt"], "did you mean resnet?"),
        (["models", "data=iris", "data=wine"], "too many words: data=iris data=wine"),
        (["models", "model=mlp"], "too many words: model=mlp"),
        (["experiments", "data=iris"], "too many words: data=iris"),
    ],
)
def test_a_list_is_narrowed_by_one_name_that_there_is(capsys, words, says):
    assert main.main(["list", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and says in err


def test_data_says_what_is_there(capsys, tmp_path, monkeypatch):
    found = {row["name"]: row for row in listed(capsys, "data")}
    assert sorted(found) == DATA.names()
    assert (found["digits"]["source"], found["digits"]["is_there"]) == ("ships", True)
    assert (found["mnist"]["source"], found["mnist"]["is_there"]) == ("download", False)
    assert (found["imagefolder"]["source"], found["imagefolder"]["is_there"]) == ("yours", None)
    (tmp_path / "data/MNIST/raw").mkdir(parents=True)
    (tmp_path / "data/MNIST/raw/train-images-idx3-ubyte").touch()
    assert {row["name"] for row in listed(capsys, "data") if row["files"] and row["is_there"]} == {"mnist"}
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path / "elsewhere"))
    assert not any(row["is_there"] for row in listed(capsys, "data") if row["source"] == "download")


def test_every_download_says_where_its_files_lie(tmp_path):
    for name in DATA.names():
        described = DATA.describe(name)
        if described.attributes["source"] == "download":
            assert catalogue.files_of(described.doc, tmp_path) is not None, name


def test_experiments_from_a_folder_of_ones_own(capsys, tmp_path):
    (tmp_path / "mine/experiment").mkdir(parents=True)
    text = (
        "# @package _global_\n# My best network\n#\n#   dlrun experiment=best seed=1\n#\n"
        "# Reached: 98.1 % test accuracy,\n#   mean of 3 seeds.\nseed: 1\n# Reached: no header\n"
    )
    (tmp_path / "mine/experiment/best.yaml").write_text(text)
    (tmp_path / "mine/experiment/plain.yaml").write_text("seed: 1\n")
    found = {row["name"]: row for row in listed(capsys, "experiments", "--config-dir", "mine")}
    assert found["best"] == {
        "name": "best",
        "family": "other",
        "chapter": None,
        "title": "My best network",
        "command": "dlrun experiment=best seed=1",
        "headline": "98.1 % test accuracy, mean of 3 seeds.",
        "time": None,
        "reached": "98.1 % test accuracy, mean of 3 seeds.",
        "smoke": None,
    }
    assert found["plain"]["command"] == "dlrun experiment=plain"
    assert main.main(["list", "experiments", "--config-dir=mine"]) == 0
    assert "98.1 % test accuracy" in capsys.readouterr().out


def test_experiments_come_by_family_and_chapter_a_short_line_each(capsys):
    found = listed(capsys, "experiments")
    features = [row["name"] for row in found if row["family"] == "features"]
    assert features == [
        "weight_search", "gradient_descent", "linear_regression", "logistic_regression", "diabetes_classifier",
        "diabetes_regression",
    ]  # fmt: skip
    assert not any(row["family"] == "other" for row in found)
    rows = {row["name"]: row for row in found}
    assert (rows["cnn_mnist"]["headline"], rows["cnn_mnist"]["time"]) == ("test accuracy 0.9869 ± 0.0011", "67 s")
    assert all(len(row["headline"]) <= 60 and any(map(str.isdigit, row["headline"])) for row in found)
    assert main.main(["list", "experiments"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 250


def test_experiments_come_by_chapter_too_and_those_of_none_last(capsys, tmp_path):
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/best.yaml").write_text("seed: 1\n")
    found = listed(capsys, "experiments", "--by", "chapter", "--config-dir", "mine")
    chapters = list(dict.fromkeys(row["chapter"] for row in found))
    assert chapters[:2] == ["1 linear models", "2 gradient descent"]
    assert chapters[-1] is None
    assert [row["name"] for row in found if row["chapter"] == "U-Net"] == ["unet", "unet_membrane"]
    assert main.main(["list", "experiments", "--by", "chapter", "--config-dir", "mine"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in chapters] == chapters[:-1]
    assert lines[-3] == "of no chapter"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_at_a_terminal_experiments_are_folded_to_its_width(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main.main(["list", "experiments"]) == 0
    lines = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines[1:])) <= columns
    assert any(line.startswith("logistic_regression ") for line in lines) or columns == 60


def test_show_has_the_whole_header_of_a_recipe(capsys):
    assert main.main(["show", "experiment=linear_regression"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("recipe  Linear regression on three points")
    assert all(line in out for line in catalogue.header("linear_regression", []))


def test_without_a_word_everything_and_the_number_of_runs(capsys, tmp_path):
    write_run(tmp_path / "outputs/a/1")
    write_run(tmp_path / "multirun/b/0")
    write_run(tmp_path / "multirun/b/1")
    found = listed(capsys)
    assert list(found) == ["models", "data", "experiments", "examples", "runs"]
    assert found["runs"] == {"outputs": 1, "multirun": 2}
    assert main.main(["list"]) == 0
    assert "runs: 1 in outputs, 2 in multirun" in capsys.readouterr().out


def test_runs_newest_first_with_what_they_reached(capsys, tmp_path):
    write_run(tmp_path / "outputs/a/old", started="2026-01-01T00:00:00+00:00")
    write_run(tmp_path / "outputs/a/new", values=(0.5, 0.9, 0.8), started="2026-03-01T00:00:00+00:00")
    write_run(tmp_path / "multirun/s/0", state="interrupted", started="2026-02-01T12:00:00+00:00", finished=None)
    found = listed(capsys, "runs")
    assert [row["path"] for row in found] == ["outputs/a/new", "multirun/s/0", "outputs/a/old"]
    assert found[0] == {
        "path": "outputs/a/new",
        "state": "done",
        "metric": "val/accuracy",
        "value": 0.9,
        "epochs": 3,
        "seconds": 2.25,
        "started": "2026-03-01T00:00:00+00:00",
    }
    assert (found[1]["state"], found[1]["value"], found[1]["seconds"]) == ("interrupted", 0.7, None)
    assert [row["path"] for row in listed(capsys, "runs", "multirun")] == ["multirun/s/0"]


def test_a_value_that_is_no_number_is_null_in_json(capsys, tmp_path):
    write_run(tmp_path / "outputs/a/1", values=(float("nan"),))
    assert listed(capsys, "runs")[0]["value"] is None


def test_help_says_how_to_use_it(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["list", "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("usage: dlrun list [models [data=NAME]|data [model=NAME]|")


def test_no_runs_is_no_error(capsys):
    assert main.main(["list", "runs"]) == 0
    assert "no runs in outputs or multirun" in capsys.readouterr().out
    assert listed(capsys, "runs") == []


def test_an_unreadable_run_is_named_and_the_rest_is_listed(capsys, tmp_path):
    write_run(tmp_path / "outputs/a/good")
    write_run(tmp_path / "outputs/a/damaged")
    (tmp_path / "outputs/a/damaged/summary.json").write_text('{"metrics": ')
    write_run(tmp_path / "outputs/a/begun")
    (tmp_path / "outputs/a/begun/config.yaml").unlink()
    assert main.main(["list", "runs"]) == 0
    out, err = capsys.readouterr()
    assert "outputs/a/good" in out
    assert "damaged" not in out
    assert len(err.splitlines()) == 2
    assert "outputs/a/damaged/summary.json" in err
    assert "outputs/a/begun" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["modls"], "did you mean models?"),
        (["--jsn"], "--jsn"),
        (["models", "x"], "too many words: x"),
        (["runs", "a", "b"], "too many words: a b"),
        (["runs", "nope"], "no folder nope"),
        (["experiments", "--config-dir", "nope"], "no folder nope"),
        (["--config-dir"], "--config-dir"),
        (["experiments", "--by", "size"], "--by"),
    ],
)
def test_wrong_use_is_one_line(capsys, words, says):
    assert main.main(["list", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("dlrun: error: list: ")
    assert says in err


def test_a_plug_in_is_listed_too(capsys, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from dlrun.models import MODELS\n"
        "@MODELS.register('listed_mine')\n"
        "class Mine:\n"
        "    'Mine alone. It does more.'\n"
        "    def __init__(self, width: int = 3): pass\n"
    )
    monkeypatch.setenv("DLRUN_PLUGINS", str(tmp_path / "mine.py"))
    monkeypatch.setattr(MODELS, "_targets", dict(MODELS._targets))
    found = {row["name"]: row for row in listed(capsys, "models")}
    assert found["listed_mine"]["about"] == "Mine alone"
    assert found["listed_mine"]["keys"]["width"]["default"] == 3


@pytest.mark.parametrize(
    ("doc", "first"),
    [
        ("One. Two.", "One"),
        ("Ends\nlater (LeCun et al. 1998). Then more.", "Ends later (LeCun et al. 1998)"),
        ("No stop\n\nNext paragraph.", "No stop"),
        ("For each of `c`: a. `b` is b.", "For each of `c`: a"),
        ("", ""),
    ],
)
def test_first_sentence(doc, first):
    assert catalogue.first_sentence(doc) == first
