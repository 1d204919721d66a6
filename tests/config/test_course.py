"""The course map is whole: each chapter of the notes has a command, and each recipe its chapter."""

import pytest

from dlrun.cli import main
from dlrun.config import catalogue, check, compose, course

# The notes' own chapters, in their order, by the title that the map gives them.
NOTES = [
    "1 linear models", "2 gradient descent", "3 backpropagation", "4 linear regression", "5 logistic regression",
    "6 hidden layers", "7 data sets", "8 classes", "9 convolution", "10 Inception and residual networks",
    "11 recurrent networks", "GRU", "LSTM", "TCN", "Transformer", "Mamba-1", "Mamba-2",
    "GNN 1 kinds of graph networks", "GNN 2 pictures of graphs", "GNN 3 message passing", "GNN 4 graph convolution",
    "filters and edges", "MobileNet", "EfficientNet", "transfer", "augmentation", "YOLO", "R-CNN", "U-Net", "faces",
    "style transfer",
]  # fmt: skip
RECIPES = {recipe["name"]: recipe for recipe in catalogue.experiments([])}


def test_the_chapters_are_those_of_the_notes():
    assert [chapter.title for chapter in course.CHAPTERS] == NOTES


@pytest.mark.parametrize("chapter", course.CHAPTERS, ids=lambda chapter: chapter.title)
def test_a_chapter_has_a_command_and_its_commands_compose(chapter):
    assert chapter.recipes or chapter.commands
    for name in chapter.recipes:
        assert RECIPES[name]["reached"], name  # a recipe that ships, with its figure
        check.parse(compose.tree([f"experiment={name}"], []))
    for command in chapter.commands:
        words = [word for word in command.split()[1:] if "=" in word]
        for job in compose.expand(words, []):
            check.parse(compose.tree(job, []))


LOOKS = [command for chapter in course.CHAPTERS for command in chapter.commands if command.startswith("dlrun show ")]


@pytest.mark.parametrize("command", LOOKS)
def test_a_command_that_shows_runs(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(command.split()[1:]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 3
    assert "data=k" not in command or (tmp_path / "outputs/graph-karate.png").exists()


def test_every_recipe_stands_in_a_chapter():
    assert {name for name in RECIPES if course.place_of(name) is None} == set()


def test_a_recipe_of_ones_own_stands_in_none():
    assert course.place_of("best") is None
