"""A run's config as a recipe says what is not a default, and composes to the same config."""

import pytest

from dlrun import compose, config, recipe


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
    before = config.parse(compose.tree(words, [])).to_dict()
    stored = before | {"folder": "multirun/x/3"}
    recipe.write(tmp_path, "best", stored, "Trial 3")
    after = config.parse(compose.tree(["experiment=best"], [str(tmp_path)])).to_dict()
    assert after == before
    text = (tmp_path / "experiment/best.yaml").read_text()
    assert text.startswith("# @package _global_\n# Trial 3\n")
    assert len(text.splitlines()) < 25
