"""The recipes that ship, and a run's config as one: what is not a default, and the same config once composed."""

import pathlib
import shlex
import subprocess

import pytest

from dlrun.cli.help import VERBS
from dlrun.config import check, compose
from dlrun.sweep import recipe

SHIPPED = sorted((pathlib.Path(__file__).parents[2] / "conf/experiment").glob("*.yaml"))
COMPOSER = compose.Composer([])


def commands(path):
    """The command lines in the head of a recipe, without what is said of them."""
    return [line.removeprefix("#   ") for line in path.read_text().splitlines() if line.startswith("#   dlrun ")]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_recipe_that_ships_is_right_and_tells_how_to_run_it_and_what_came_of_it(path):
    check.parse(COMPOSER.tree([f"experiment={path.stem}"]))
    head = path.read_text().partition("\ndefaults:")[0].splitlines()
    assert head[0] == "# @package _global_" and all(line.startswith("# ") for line in head)
    assert any(f"experiment={path.stem}" in shlex.split(line, comments=True) for line in commands(path))
    assert any(line.startswith("# Reached: ") and any(map(str.isdigit, line)) for line in head)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_command_in_the_head_of_a_recipe_is_one_that_dlrun_takes(path):
    for line in commands(path):
        words = shlex.split(line, comments=True)[1:]
        if words[0] in VERBS:
            continue
        overrides = [word for word in words if "=" in word and not word.startswith("-")]
        jobs = (
            compose.expand(overrides, []) if "-m" in words and not any("sweeper" in w for w in words) else [overrides]
        )
        for job in jobs:
            check.parse(COMPOSER.tree([word for word in job if "interval(" not in word]))


def test_a_shell_takes_the_commands_in_the_recipes():
    script = "\n".join(line for path in SHIPPED for line in commands(path))
    assert subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ["model=mlp", "model.hidden_sizes=[7,5]", "optimizer=sgd", "optimizer.lr=1e-05", "seed=3"],
        ["experiment=cnn_mnist", "device.precision=bf16", "trainer.clip_grad_norm=0.5"],
        ["model=torchvision", "model.arch='a \"b\": c'", "logger=none"],
        [],
    ],
    ids=" ".join,
)
def test_a_recipe_composes_to_the_config_it_was_written_from(tmp_path, words):
    before = check.parse(compose.tree(words, [])).to_dict()
    stored = before | {"folder": "multirun/x/3"}
    recipe.write(tmp_path, "best", stored, "Trial 3")
    after = check.parse(compose.tree(["experiment=best"], [str(tmp_path)])).to_dict()
    assert after == before
    text = (tmp_path / "experiment/best.yaml").read_text()
    assert text.startswith("# @package _global_\n# Trial 3\n")
    assert len(text.splitlines()) < 25
