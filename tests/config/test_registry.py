"""Everything that is registered: its file says what its signature says, what is to work works, no name is lost."""

import functools
import inspect
import itertools
import typing

import pytest
import torch
from omegaconf import OmegaConf

from dlrun.cli import main
from dlrun.config import check, compose, pairing, places, registry, schema
from dlrun.config.registry import Registry
from dlrun.data import DATA
from dlrun.engine import device as devices
from dlrun.engine.state import seed_everything
from dlrun.errors import UserError
from dlrun.models import MODELS
from dlrun.run import assemble
from dlrun.store import checkpoint, runs

CONF = places.conf_folder()
FILES = sorted(CONF.glob("*/*.yaml"))
COMPOSER = compose.Composer([])
REGISTRIES = registry.registries()
ENTRIES = [(group, name) for group, entries in REGISTRIES.items() for name in entries.names()]
SECTIONS = {
    name: hint for name, hint in typing.get_type_hints(check.Config).items() if hasattr(hint, "__annotations__")
}


# ---- files


def test_every_file_composes_and_is_a_right_config():
    # What a registered thing's file holds is looked at below, and a recipe in tests/sweep/test_recipe.py.
    plain = [path for path in FILES if path.parent.name not in (*REGISTRIES, "experiment")]
    for path in plain + [next(path for path in FILES if path.parent.name == group) for group in REGISTRIES]:
        assert path.read_text().startswith("# "), path
        checked = check.parse(COMPOSER.tree([f"{path.parent.name}={path.stem}"]))
        if path.parent.name in REGISTRIES:
            assert getattr(checked, path.parent.name)["name"] == path.stem


@pytest.mark.parametrize("group", REGISTRIES)
def test_the_keys_of_a_file_are_the_parameters_with_their_defaults(group):
    for name in REGISTRIES[group].names():
        assert (CONF / group / f"{name}.yaml").read_text().startswith("# "), name
        values = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
        parameters = REGISTRIES[group].describe(name).parameters
        assert isinstance(values, dict)
        assert list(values) == ["name", *parameters], name
        assert values["name"] == name
        for key, parameter in parameters.items():
            if parameter.default is schema.REQUIRED:
                assert values[key] is None, f"{name}.{key} is filled from the data"
            else:
                assert schema.check(values[key], parameter.annotation) == parameter.default, f"{name}.{key}"


@pytest.mark.parametrize("group", SECTIONS)
def test_the_keys_of_every_option_of_a_section_are_its_fields(group):
    fields = set(SECTIONS[group].__annotations__)
    for path in sorted((CONF / group).glob("*.yaml")):
        assert set(COMPOSER.tree([f"{group}={path.stem}"])[group]) == fields, path.stem
        own = set(OmegaConf.to_container(OmegaConf.load(path))) - {"defaults"}
        assert own <= fields, path.stem


def test_the_keys_of_the_root_are_the_config_s():
    assert set(compose.tree([], [])) == set(typing.get_type_hints(check.Config))


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_file_has_an_entry_and_every_entry_a_file(kind):
    files = {path.stem for path in (CONF / kind).glob("*.yaml")}
    assert files - {"auto"} == set(REGISTRIES[kind].names())


SAID = ("accepts", "answers", "kind", "target", "source", "learns", "needs", "is_default", "watch", "mode")
SAID += ("spans_run", "warms_up", "one_rate", "watches", "needs_closure")


@pytest.mark.parametrize(("group", "name"), ENTRIES, ids=lambda word: word)
def test_what_is_read_from_the_source_is_what_is_there(group, name):
    thing = REGISTRIES[group].get(name)
    described, live = REGISTRIES[group].describe(name), schema.describe_object(thing)
    assert described.doc == live.doc != ""
    keyword_only = [p.name for p in inspect.signature(thing).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert list(described.parameters) == keyword_only
    # Without keyword-only parameters a plug-in's are all its keys; nothing of dlrun's own is meant so.
    assert described.parameters == live.parameters or not keyword_only
    assert described.attributes.items() <= live.attributes.items()
    for attribute in SAID:
        absent = object()
        assert described.attributes.get(attribute, absent) == live.attributes.get(attribute, absent) or (
            attribute not in described.attributes and attribute not in live.attributes
        ), attribute


def test_a_model_says_what_it_accepts_without_being_imported():
    kinds = {("image",), ("features",), ("tokens", "series"), ("graph",)}
    for name in MODELS.names():
        assert MODELS.describe(name).attributes["accepts"] in kinds, name


# ---- what works together, written down

FAMILIES = {
    "line": ["linear"],
    "one output": ["logistic"],
    "layers": ["mlp"],
    "images": ["cnn", "googlenet_mini", "resnet", "mobilenet_v1", "mobilenet_v2", "efficientnet", "torchvision"],
    "filter": ["conv_filter"],
    "pictures": ["canvas"],
    "localizers": ["localizer"],
    "landmarks": ["keypoint_net"],
    "detectors": ["yolo", "sliding_window", "rcnn", "fast_rcnn", "faster_rcnn", "torchvision_detector"],
    "instances": ["mask_rcnn"],
    "embedders": ["embedder"],
    "segmenters": ["unet", "torchvision_segmenter"],
    "sequences": ["rnn_cell", "rnn", "lstm", "gru", "tcn", "transformer", "mamba", "mamba2"],
    "nodes": [
        "message_passing", "gcn", "chebnet", "graphsage", "gat", "mpnn", "ggnn", "gnn_recurrent", "jknet", "deepgcn",
        "gin",
    ],
    "whole graphs": ["diffpool", "sagpool"],
}  # fmt: skip
# What models can learn: by the kind of the input and of the target, the data sets that need no download.
WORKS = {
    ("image", "class"): (["digits", "synthetic"], ["line", "layers", "images", "sequences"]),
    ("image", "image"): (["photos"], ["filter"]),
    ("image", "style"): (["style_pair"], ["pictures"]),
    ("image", "object"): (["shapes"], ["localizers"]),
    ("image", "points"): (["shapes"], ["landmarks"]),
    ("image", "boxes"): (["shapes"], ["detectors"]),
    ("image", "instances"): (["shapes"], ["instances"]),
    ("image", "identity"): (["drawn_faces", "identities"], ["embedders"]),
    ("image", "mask"): (["shapes"], ["segmenters"]),
    ("features", "value"): (["line", "diabetes"], ["line", "one output", "layers"]),
    ("features", "binary"): (["hours", "breast_cancer", "diabetes_binary"], ["line", "one output", "layers"]),
    ("features", "class"): (["iris", "wine"], ["line", "layers"]),
    ("tokens", "class"): (["names", "induction_heads"], ["sequences"]),
    ("tokens", "next_token"): (["text"], ["sequences"]),
    ("tokens", "step_class"): (["copy_memory", "selective_copying"], ["sequences"]),
    ("series", "value"): (["adding"], ["sequences"]),
    ("series", "step_class"): (["hello"], ["sequences"]),
    ("graph", "node_class"): (["toy4", "karate", "block_model"], ["nodes"]),
    ("graph", "graph_class"): (["motifs"], ["nodes", "whole graphs"]),
}
# All models on one data set of each kind, and one model of each family on the others.
WORKING = [
    (model, data, target)
    for (_, target), (data_sets, families) in WORKS.items()
    for place, data in enumerate(data_sets)
    for family in families
    for model in (FAMILIES[family] if place == 0 else FAMILIES[family][:1])
]
REFUSED = [
    (FAMILIES[family][0], data_sets[0], target)
    for (_, target), (data_sets, families) in WORKS.items()
    for family in FAMILIES
    if family not in families
]


def test_every_model_and_every_data_set_without_a_download_is_written_down():
    assert sorted(itertools.chain(*FAMILIES.values())) == MODELS.names()
    said = {name: DATA.describe(name).attributes for name in DATA.names()}
    offline = [name for name in said if said[name]["source"] in ("ships", "made")]
    assert sorted(set(itertools.chain(*(data_sets for data_sets, _ in WORKS.values())))) == offline
    for (kind, target), (data_sets, _) in WORKS.items():
        for name in data_sets:
            attributes = DATA.describe(name).attributes
            assert attributes["kind"] == kind and target in attributes["target"].split("|"), name


def test_the_rule_of_pairs_gives_those_that_are_written_down():
    # That it has one output, or answers for whole graphs, a model says when it is made.
    said_later = {("one output", "class"), ("whole graphs", "node_class")}
    for (kind, target), (_, families) in WORKS.items():
        told = {family for family, models in FAMILIES.items() if set(models) & set(pairing.models_for(kind, target))}
        assert {family for family in told if (family, target) not in said_later} == set(families), (kind, target)


def data_words(data, target):
    """What chooses a data set, the target of one that offers several, and few examples of one that is drawn."""
    keys = DATA.describe(data).parameters
    learn = [f"data.learn={target}"] if "learn" in keys else []
    return [f"data={data}", *learn, *(["data.num_train=8", "data.num_val=0"] if data == "shapes" else [])]


@functools.cache
def composed(words):
    return COMPOSER.tree(list(words))


@functools.cache
def loaded(words):
    dataset = assemble.data(check.parse(composed(words)))
    return dataset.spec, dataset.load()


def assembled(*words):
    """(model, task, the first batch of training, spec) as a run would build them."""
    chosen = tuple(word for word in words if word.startswith("data"))
    network = ("device=cpu", "trainer.batch_size=4", *(word for word in words if word not in chosen))
    # One composition a model and one a data set, not one a pair: most of the time would go into them.
    checked = check.parse(composed(network) | {"data": composed(chosen)["data"]})
    offered, parts = loaded(chosen)
    spec, prepare = assemble.view(checked, offered)
    train = assemble.loaders(checked, {"train": parts["train"]}, prepare, torch.device("cpu"))["train"]
    seed_everything(0)
    model = devices.place(assemble.model(checked, spec), torch.device("cpu"), checked.device.channels_last)
    return model, assemble.task(checked, spec), next(iter(train.batches())), spec


@pytest.mark.parametrize(("model", "data", "target"), WORKING)
def test_every_parameter_learns_from_one_step(model, data, target):
    # Of four nodes dropout can silence all that a parameter sees.
    keys = MODELS.describe(model).parameters
    calm = ["model.dropout=0.0"] if {"dropout", "level"} <= set(keys) else []
    network, task, batch, spec = assembled(f"model={model}", *data_words(data, target), *calm)
    if target == "identity":
        batch.target = torch.tensor([0, 0, 1, 1])  # a loss of pairs needs some
    output = task.forward(network.train(), batch)
    if task.needs == "values":
        steps = (spec.seq_len,) if spec.per_step else ()
        assert output.shape == (len(batch), *steps, spec.out_features)
    elif isinstance(output, torch.Tensor):
        task.check(output, batch)
    loss = task.losses(output, batch)["loss"]
    loss.backward()
    assert loss.isfinite()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.count_nonzero() > 0, name


@pytest.mark.parametrize(("model", "data", "target"), REFUSED)
def test_every_other_pair_is_refused_in_one_line(model, data, target):
    with pytest.raises(UserError, match=f"^model={model}.*") as caught:
        assembled(f"model={model}", *data_words(data, target))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("family", ["layers", "images", "sequences"])
def test_weights_that_were_saved_give_the_same_outputs(family, tmp_path):
    for model in FAMILIES[family][::2]:
        words = (f"model={model}", "data=synthetic", "data.image_size=32", "data.in_channels=3")
        network, _, batch, _ = assembled(*words)
        network.train()(*batch.inputs)  # moves the statistics of batch norms
        checkpoint.write(tmp_path / "x.safetensors", dict(network.state_dict()))
        other, _, _, _ = assembled(*words)
        torch.nn.init.normal_(next(other.parameters()))
        other.load_state_dict(checkpoint.read(tmp_path / "x.safetensors"))
        with torch.inference_mode():
            assert torch.equal(network.eval()(*batch.inputs), other.eval()(*batch.inputs)), model


@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet"])
def test_a_model_learns_one_batch_by_heart(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [f"model={model}", "data=digits", "trainer=overfit", "trainer.batch_size=16", "trainer.eval_every=50"]
    assert main.main([*words, "scheduler=none", "logger=none", "folder=run"]) == 0
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
    for name, other in (("mine", pytest.raises), ("pi", mine)):
        with pytest.raises(UserError, match=f"^thing '{name}' is already registered; choose another name$"):
            entries.register(name)(other)


def test_what_is_defined_again_takes_the_place_of_what_it_was():
    """As a cell of a notebook that runs twice does."""
    entries = Registry("thing", {})
    for width in (3, 4):
        exec(f"def mine(*, width: int = {width}): ...", cell := {"__name__": "__main__"})
        entries.register("mine")(cell["mine"])
        assert entries.get("mine") is cell["mine"]
        assert entries.describe("mine").parameters["width"].default == width
    assert entries.is_of_this_process("mine")


def test_the_registries_are_the_groups_that_pick_by_name():
    assert {kind: entries.kind for kind, entries in registry.registries().items()} == {
        kind: kind for kind in REGISTRIES
    }
    assert set(REGISTRIES) <= set(compose.groups([]))
