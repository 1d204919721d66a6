"""Each YAML of a group of registered things: its keys are the constructor's, with its defaults."""

import pathlib

import pytest
from omegaconf import OmegaConf

from dlrun import schema
from dlrun.registry import MODELS, OPTIMIZERS, SCHEDULERS

CONF = pathlib.Path(__file__).parents[2] / "conf"
FILES = [(registry, name) for registry in (MODELS, OPTIMIZERS, SCHEDULERS) for name in registry.names()]


@pytest.mark.parametrize(("registry", "name"), FILES, ids=[name for _, name in FILES])
def test_yaml_holds_exactly_the_parameters_and_their_defaults(registry, name):
    file = CONF / registry.kind / f"{name}.yaml"
    values = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(values, dict)
    parameters = registry.describe(name).parameters
    assert list(values) == ["name", *parameters]
    assert values["name"] == name
    for key, parameter in parameters.items():
        if parameter.default is schema.REQUIRED:
            assert values[key] is None, f"{key} is filled from the data"
        else:
            assert schema.check(values[key], parameter.annotation) == parameter.default, key


@pytest.mark.parametrize("registry", [MODELS, OPTIMIZERS, SCHEDULERS], ids=lambda registry: registry.kind)
def test_every_file_of_the_group_is_registered_and_starts_with_a_comment(registry):
    files = sorted((CONF / registry.kind).glob("*.yaml"))
    assert [file.stem for file in files] == registry.names()
    assert all(file.read_text().startswith("# ") for file in files)


@pytest.mark.parametrize("name", MODELS.names())
def test_a_model_says_what_it_accepts_without_being_imported(name):
    assert MODELS.describe(name).attributes["accepts"] in (
        ("image",),
        ("features",),
        ("tokens", "series"),
        ("graph",),
    )
    assert MODELS.describe(name).doc
