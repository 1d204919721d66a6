"""Everything that is registered: its file says what its signature says, every pair trains, and no name is lost."""

import functools
import typing

import pytest
import torch
from omegaconf import OmegaConf

from dlrun import batching, build, catalogue, checkpoint, cli, compose, config, registry, runs, schema
from dlrun.data import views
from dlrun.engine import device as devices
from dlrun.engine.state import seed_everything
from dlrun.errors import UserError
from dlrun.registry import DATA, MODELS, REGISTRIES, TASKS, Registry

CONF = catalogue.conf_folder()
FILES = sorted(CONF.glob("*/*.yaml"))
OFFLINE = [name for name in DATA.names() if DATA.describe(name).attributes["source"] in ("ships", "made")]
SECTIONS = {
    name: hint for name, hint in typing.get_type_hints(config.Config).items() if hasattr(hint, "__annotations__")
}


# ---- files


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_every_file_composes_and_is_a_right_config(path):
    assert path.read_text().startswith("# ")
    checked = config.parse(compose.tree([f"{path.parent.name}={path.stem}"], []))
    if path.parent.name in REGISTRIES:
        assert getattr(checked, path.parent.name)["name"] == path.stem


@pytest.mark.parametrize(
    ("entries", "name"),
    [(entries, name) for entries in (DATA, TASKS) for name in entries.names()],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_the_keys_of_a_file_are_the_parameters_with_their_defaults(entries, name):
    values = OmegaConf.to_container(OmegaConf.load(CONF / entries.kind / f"{name}.yaml"))
    parameters = entries.describe(name).parameters
    assert isinstance(values, dict)
    assert list(values) == ["name", *parameters]
    for key, parameter in parameters.items():
        assert schema.check(values[key], parameter.annotation) == parameter.default, key


@pytest.mark.parametrize("group", SECTIONS)
def test_the_keys_of_every_option_of_a_section_are_its_fields(group):
    fields = set(SECTIONS[group].__annotations__)
    for path in sorted((CONF / group).glob("*.yaml")):
        assert set(compose.tree([f"{group}={path.stem}"], [])[group]) == fields, path.stem
        own = set(OmegaConf.to_container(OmegaConf.load(path))) - {"defaults"}
        assert own <= fields, path.stem


def test_the_keys_of_the_root_are_the_config_s():
    assert set(compose.tree([], [])) == set(typing.get_type_hints(config.Config))


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_file_has_an_entry_and_every_entry_a_file(kind):
    files = {path.stem for path in (CONF / kind).glob("*.yaml")}
    assert files - {"auto"} == set(REGISTRIES[kind].names())


@pytest.mark.parametrize(
    ("entries", "name"),
    [(entries, name) for entries in REGISTRIES.values() for name in entries.names()],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_what_is_read_from_the_source_is_what_is_there(entries, name):
    described, live = entries.describe(name), schema.describe_object(entries.get(name))
    assert described.doc == live.doc != ""
    # Without keyword-only parameters a plug-in's are all its keys; nothing of dlrun's own is meant so.
    assert described.parameters == live.parameters or not described.parameters
    assert described.attributes.items() <= live.attributes.items()


# ---- every model on every data set that needs no download


@functools.cache
def composed(words):
    return compose.tree(list(words), [])


@functools.cache
def loaded(words):
    dataset = build.data(config.parse(composed(words)))
    return dataset.spec, dataset.load()


def assembled(*words):
    """(model, task, the first batch of training, spec) as a run would build them."""
    chosen = tuple(word for word in words if word.startswith("data"))
    network = ("device=cpu", "trainer.batch_size=4", *(word for word in words if word not in chosen))
    # One composition a model and one a data set, not one a pair: most of the time would go into them.
    checked = config.parse(composed(network) | {"data": composed(chosen)["data"]})
    offered, parts = loaded(chosen)
    spec, prepare = build.view(checked, offered)
    loaders = batching.loaders(checked, parts, prepare, torch.device("cpu"))
    seed_everything(0)
    model = devices.place(build.model(checked, spec), torch.device("cpu"), checked.device.channels_last)
    return model, build.task(checked, spec), next(iter(loaders["train"].batches())), spec


def fit_together(model, data):
    offer = DATA.describe(data).attributes
    has_one_output = offer["target"] in ("binary", "value")
    if (model == "logistic" and not has_one_output) or (model in WHOLE_GRAPHS and offer["target"] == "node_class"):
        return False
    offers = MODELS.describe(model).attributes
    return views.answers(offers.get("gives"), offer["target"]) and views.fits(offer["kind"], offers["accepts"])


WHOLE_GRAPHS = ("diffpool", "sagpool")
PAIRS = [(model, data) for model in MODELS.names() for data in OFFLINE]


@pytest.mark.parametrize(("model", "data"), [pair for pair in PAIRS if fit_together(*pair)])
def test_every_parameter_learns_from_one_step(model, data):
    # Of four nodes dropout can silence all that a parameter sees.
    keys = MODELS.describe(model).parameters
    calm = ["model.dropout=0.0"] if {"dropout", "level"} <= set(keys) else []
    network, task, batch, spec = assembled(f"model={model}", f"data={data}", *calm)
    output = network.train()(*batch.inputs)
    steps = (spec.seq_len,) if spec.per_step else ()
    assert output.shape == (batch.target.shape if spec.target == "image" else (len(batch), *steps, spec.out_features))
    loss = task.loss(output, batch)
    loss.backward()
    assert loss.isfinite()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.count_nonzero() > 0, name


@pytest.mark.parametrize(("model", "data"), [pair for pair in PAIRS if not fit_together(*pair)])
def test_every_other_pair_is_refused_in_one_line(model, data):
    with pytest.raises(UserError, match=f"^model={model}.*") as caught:
        assembled(f"model={model}", f"data={data}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("model", [name for name in MODELS.names() if fit_together(name, "synthetic")])
def test_weights_that_were_saved_give_the_same_outputs(model, tmp_path):
    words = (f"model={model}", "data=synthetic", "data.image_size=32", "data.in_channels=3")
    network, _, batch, _ = assembled(*words)
    network.train()(*batch.inputs)  # moves the statistics of batch norms
    checkpoint.write(tmp_path / "x.safetensors", dict(network.state_dict()))
    other, _, _, _ = assembled(*words)
    torch.nn.init.normal_(next(other.parameters()))
    other.load_state_dict(checkpoint.read(tmp_path / "x.safetensors"))
    with torch.inference_mode():
        assert torch.equal(network.eval()(*batch.inputs), other.eval()(*batch.inputs))


@pytest.mark.parametrize("model", ["mlp", "cnn", "googlenet_mini", "resnet"])
def test_a_model_learns_one_batch_by_heart(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [f"model={model}", "data=digits", "trainer=overfit", "trainer.batch_size=16", "trainer.eval_every=50"]
    assert cli.main([*words, "scheduler=none", "logger=none", "folder=run"]) == 0
    assert runs.open_run("run").metrics["train/accuracy"] == 1


# ---- the table itself


def test_a_miss_names_the_nearest_and_all():
    entries = Registry("thing", {"alpha": "math:pi", "beta": "math:e"})
    with pytest.raises(UserError, match=r"^unknown thing 'alpah'; did you mean alpha\? \(thing names: alpha, beta\)$"):
        entries.get("alpah")
    with pytest.raises(UserError, match=r"^unknown thing 'x' \(thing names: alpha, beta\)$"):
        entries.describe("x")


def test_a_name_is_imported_on_first_use():
    import math

    entries = Registry("thing", {"pi": "math:pi", "lost": "dlrun.nowhere:X"})
    assert entries.get("pi") == math.pi
    assert "lost" in entries
    with pytest.raises(ImportError):
        entries.get("lost")


def test_a_decorator_adds_a_name_once_and_returns_the_thing():
    entries = Registry("thing", {"pi": "math:pi"})

    @entries.register("mine")
    def mine(*, width: int = 3):
        """A thing."""

    assert entries.get("mine") is mine
    assert entries.plugin_names() == ["mine"]
    assert entries.names() == ["mine", "pi"]
    assert entries.describe("mine").parameters["width"].default == 3
    for name in ("mine", "pi"):
        with pytest.raises(UserError, match=f"^thing '{name}' is already registered; choose another name$"):
            entries.register(name)(mine)


def test_the_registries_are_the_groups_that_pick_by_name():
    assert {kind: entries.kind for kind, entries in registry.REGISTRIES.items()} == {kind: kind for kind in REGISTRIES}
    assert set(REGISTRIES) <= set(compose.groups([]))
