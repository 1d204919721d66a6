"""A smoke run is short whatever the recipe says, and needs no file that is not there."""

import pytest

from dlrun.cli import main
from dlrun.config import catalogue, check, compose, registry, stand_ins

RECIPES = [recipe["name"] for recipe in catalogue.experiments([])]
SMOKE = {"epochs": 1, "limit_batches": 2, "log_every": 1}


@pytest.fixture(autouse=True)
def nothing_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_smoke_run_of_a_recipe_is_short_and_needs_no_download(recipe):
    tree = compose.tree([f"experiment={recipe}", "trainer=smoke"], [])
    config = check.parse(tree)
    assert {key: tree["trainer"][key] for key in SMOKE} == SMOKE
    facts = registry.of("data").describe(config.data["name"]).attributes
    assert facts["source"] in ("ships", "made")
    assert config.data.get("collection", "ships") == "ships"


def test_what_is_said_of_a_trainer_wins_over_a_recipe_and_a_key_over_both():
    def trainer(*words):
        return compose.tree(["experiment=resnet_mnist", *words], [])["trainer"]

    assert trainer()["epochs"] > 3
    assert trainer("trainer=smoke", "trainer.epochs=3")["epochs"] == 3
    assert trainer("trainer.epochs=3", "trainer=smoke")["epochs"] == 3
    assert trainer("trainer=overfit")["epochs"] == 150
    # What the file of the trainer does not say stays as the recipe has it.
    assert trainer("trainer=smoke")["batch_size"] == trainer()["batch_size"]


@pytest.mark.parametrize(
    ("words", "name", "note"),
    [
        (
            ["experiment=gcn_cora"],
            "block_model",
            "data=cora is not here, and trainer=smoke downloads nothing: data=block",
        ),
        (["experiment=gcn_cora", "data=pubmed"], "pubmed", ""),
        (["experiment=gcn_cora", "data.root=there"], "cora", ""),
        (["experiment=unet_membrane"], "shapes", "data=masks is not here"),
        (["experiment=unet_membrane", "data.root=there"], "masks", ""),
        (
            ["experiment=gru_names"],
            "names",
            "data=names is not here, and trainer=smoke downloads nothing: data.collection",
        ),
        (["data=digits"], "digits", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_data_that_are_here_or_were_chosen_stay(words, name, note, tmp_path, capsys):
    place = tmp_path / "there/planetoid/Cora/raw/ind.cora.x"
    place.parent.mkdir(parents=True)
    place.write_text("")
    assert compose.tree([*words, "trainer=smoke"], [])["data"]["name"] == name
    lines = [line for line in capsys.readouterr().err.splitlines() if "not here" in line]
    assert [line.startswith(f"dlrun: note: {note}") for line in lines] == ([True] if note else [])
    assert compose.tree(words, [])["data"]["name"] != "block_model"


def test_all_data_that_may_not_be_here_name_some_that_are():
    entries = registry.of("data")
    for name in entries.names():
        source, word = entries.describe(name).attributes["source"], stand_ins.word(name)
        if source in ("download", "yours"):
            assert word and word.startswith("data=")
        if word:
            instead = word.removeprefix("data=") if word.startswith("data=") else name
            assert entries.describe(instead).attributes["source"] in ("ships", "made")


def test_the_doctor_tries_recipes_and_names_one_that_fails(monkeypatch, capsys):
    found = [{"name": "linear_regression"}, {"name": "rnn_hello"}]
    monkeypatch.setattr(catalogue, "experiments", lambda folders: found)
    assert main.main(["doctor", "--recipes"]) == 0
    out = capsys.readouterr().out
    assert "experiment=rnn_hello" in out and out.splitlines()[-1].startswith("ok: 2 recipes in ")
