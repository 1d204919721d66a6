"""The registries: every name that a config may use, and what it stands for.

A name maps to `module:attribute`, imported on first use, so that a run pays only for what it
names and a config from a stranger can run nothing but what is listed here. Plug-ins add to
the same tables with a decorator:

    @MODELS.register("mine")
    class Mine(torch.nn.Module): ...
"""

import importlib
import importlib.metadata
import importlib.util
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from dlrun import schema
from dlrun.errors import UserError


class Registry:
    """Names of one kind (`model`, `data`, ...) and the classes or functions behind them."""

    def __init__(self, kind: str, targets: dict[str, str]):
        self.kind = kind
        self._targets: dict[str, Any] = dict(targets)

    def names(self) -> list[str]:
        return sorted(self._targets)

    def plugin_names(self) -> list[str]:
        return sorted(name for name, target in self._targets.items() if not isinstance(target, str))

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def register(self, name: str):
        """Decorator for plug-ins. **Raises:** `UserError` if the name is taken."""

        def add(thing):
            if name in self._targets:
                raise UserError(f"{self.kind} {name!r} is already registered; choose another name")
            self._targets[name] = thing
            return thing

        return add

    def get(self, name: str) -> Any:
        """The class or function behind `name`. **Raises:** `UserError` with the nearest and all names."""
        target = self._find(name)
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            return getattr(importlib.import_module(module), attribute)
        return target

    def describe(self, name: str) -> schema.Description:
        """Doc, parameters and class attributes; built-in names are read without importing torch."""
        target = self._find(name)
        return schema.describe_source(target) if isinstance(target, str) else schema.describe_object(target)

    def _find(self, name: str) -> Any:
        if name not in self._targets:
            near, names = schema.suggest(name, self.names()), ", ".join(self.names())
            raise UserError(f"unknown {self.kind} {name!r}{near} ({self.kind} names: {names})")
        return self._targets[name]


MODELS = Registry(
    "model",
    {
        "linear": "dlrun.models.linear:Linear",
        "logistic": "dlrun.models.linear:Logistic",
        "mlp": "dlrun.models.mlp:MLP",
        "cnn": "dlrun.models.cnn:CNN",
        "googlenet_mini": "dlrun.models.googlenet_mini:GoogLeNetMini",
        "resnet": "dlrun.models.resnet:ResNet",
        "mobilenet_v1": "dlrun.models.mobilenet_v1:MobileNetV1",
        "mobilenet_v2": "dlrun.models.mobilenet_v2:MobileNetV2",
        "efficientnet": "dlrun.models.efficientnet:EfficientNet",
        "conv_filter": "dlrun.models.conv_filter:ConvFilter",
        "torchvision": "dlrun.models.zoo:TorchvisionClassifier",
        "rnn_cell": "dlrun.models.rnn_cell:RNNCell",
        "rnn": "dlrun.models.rnn:RNN",
        "lstm": "dlrun.models.rnn:LSTM",
        "gru": "dlrun.models.rnn:GRU",
        "tcn": "dlrun.models.tcn:TCN",
        "transformer": "dlrun.models.transformer:Transformer",
        "mamba": "dlrun.models.mamba:Mamba",
        "mamba2": "dlrun.models.mamba2:Mamba2",
        "message_passing": "dlrun.models.message_passing:MessagePassingNetwork",
        "gcn": "dlrun.models.gcn:GCN",
        "chebnet": "dlrun.models.chebnet:ChebNet",
        "graphsage": "dlrun.models.graphsage:GraphSAGE",
        "gat": "dlrun.models.gat:GAT",
        "mpnn": "dlrun.models.mpnn:MPNN",
        "ggnn": "dlrun.models.ggnn:GGNN",
        "gnn_recurrent": "dlrun.models.gnn_recurrent:RecurrentGNN",
        "jknet": "dlrun.models.jknet:JKNet",
        "deepgcn": "dlrun.models.deepgcn:DeepGCN",
        "gin": "dlrun.models.gin:GIN",
        "diffpool": "dlrun.models.diffpool:DiffPool",
        "sagpool": "dlrun.models.sagpool:SAGPool",
    },
)
DATA = Registry(
    "data",
    {
        "digits": "dlrun.data.digits:Digits",
        "mnist": "dlrun.data.mnist:MNIST",
        "fashion_mnist": "dlrun.data.mnist:FashionMNIST",
        "cifar10": "dlrun.data.cifar:CIFAR10",
        "cifar100": "dlrun.data.cifar:CIFAR100",
        "imagefolder": "dlrun.data.imagefolder:ImageFolder",
        "photos": "dlrun.data.photos:Photos",
        "synthetic": "dlrun.data.synthetic:Synthetic",
        "line": "dlrun.data.small:Line",
        "hours": "dlrun.data.small:Hours",
        "diabetes": "dlrun.data.tables:Diabetes",
        "diabetes_binary": "dlrun.data.tables:DiabetesBinary",
        "breast_cancer": "dlrun.data.tables:BreastCancer",
        "iris": "dlrun.data.tables:Iris",
        "wine": "dlrun.data.tables:Wine",
        "california_housing": "dlrun.data.tables:CaliforniaHousing",
        "csv": "dlrun.data.csv_file:CSVFile",
        "hello": "dlrun.data.hello:Hello",
        "names": "dlrun.data.names:Names",
        "text": "dlrun.data.text:Text",
        "copy_memory": "dlrun.data.sequences:CopyMemory",
        "adding": "dlrun.data.sequences:Adding",
        "selective_copying": "dlrun.data.sequences:SelectiveCopying",
        "induction_heads": "dlrun.data.sequences:InductionHeads",
        "toy4": "dlrun.data.small_graphs:Toy4",
        "karate": "dlrun.data.small_graphs:Karate",
        "block_model": "dlrun.data.block_model:BlockModel",
        "motifs": "dlrun.data.motifs:Motifs",
        "edges": "dlrun.data.edges:EdgeList",
        "cora": "dlrun.data.planetoid:Cora",
        "citeseer": "dlrun.data.planetoid:CiteSeer",
        "pubmed": "dlrun.data.planetoid:PubMed",
        "mutag": "dlrun.data.tu:MUTAG",
        "proteins": "dlrun.data.tu:Proteins",
        "enzymes": "dlrun.data.tu:Enzymes",
    },
)
TASKS = Registry(
    "task",
    {
        "multiclass": "dlrun.tasks.multiclass:Multiclass",
        "one_vs_rest": "dlrun.tasks.multiclass:OneVsRest",
        "binary": "dlrun.tasks.binary:Binary",
        "regression": "dlrun.tasks.regression:Regression",
        "image_regression": "dlrun.tasks.image_regression:ImageRegression",
        "step_class": "dlrun.tasks.steps:StepClass",
        "next_token": "dlrun.tasks.steps:NextToken",
        "node_class": "dlrun.tasks.graphs:NodeClass",
        "graph_class": "dlrun.tasks.graphs:GraphClass",
    },
)
OPTIMIZERS = Registry(
    "optimizer",
    {
        "sgd": "dlrun.optimizers:sgd",
        "adam": "dlrun.optimizers:adam",
        "adamw": "dlrun.optimizers:adamw",
        "rmsprop": "dlrun.optimizers:rmsprop",
        "adamax": "dlrun.optimizers:adamax",
        "nadam": "dlrun.optimizers:nadam",
        "radam": "dlrun.optimizers:radam",
        "adagrad": "dlrun.optimizers:adagrad",
        "adadelta": "dlrun.optimizers:adadelta",
        "asgd": "dlrun.optimizers:asgd",
        "rprop": "dlrun.optimizers:rprop",
        "lbfgs": "dlrun.optimizers:lbfgs",
        "muon": "dlrun.optimizers:muon",
    },
)
SCHEDULERS = Registry(
    "scheduler",
    {
        "none": "dlrun.schedulers:none",
        "step": "dlrun.schedulers:step",
        "cosine": "dlrun.schedulers:cosine",
        "onecycle": "dlrun.schedulers:onecycle",
        "plateau": "dlrun.schedulers:plateau",
        "multistep": "dlrun.schedulers:multistep",
        "exponential": "dlrun.schedulers:exponential",
        "warmup_cosine": "dlrun.schedulers:warmup_cosine",
    },
)
AUGMENTS = Registry(
    "augment",
    {
        "none": "dlrun.augment.augmentation:none",
        "geometric": "dlrun.augment.geometric:Geometric",
        "colour": "dlrun.augment.colour:Colour",
        "randaugment": "dlrun.augment.policies:RandAugment",
        "trivialaugment": "dlrun.augment.policies:TrivialAugment",
        "erasing": "dlrun.augment.erasing:Erasing",
        "mixup": "dlrun.augment.mixing:Mixup",
        "cutmix": "dlrun.augment.mixing:CutMix",
    },
)
SAMPLERS = Registry(
    "sampler",
    {
        "full": "dlrun.data.samplers:Full",
        "neighbor": "dlrun.data.samplers_neighbor:Neighbor",
        "pinsage": "dlrun.data.samplers_pinsage:PinSage",
        "layer": "dlrun.data.samplers_layer:Layer",
        "cluster": "dlrun.data.samplers_cluster:Cluster",
        "saint": "dlrun.data.samplers_saint:Saint",
    },
)

# The config groups whose `name` picks a registered thing.
REGISTRIES = {registry.kind: registry for registry in (MODELS, DATA, AUGMENTS, SAMPLERS, TASKS, OPTIMIZERS, SCHEDULERS)}

_loaded_plugins: set[str] = set()


def load_plugins() -> None:
    """Imports the files of `DLRUN_PLUGINS` (split as PATH is) and installed `dlrun.plugins` entry points.

    **Raises:** `UserError` naming the file and the reason if one cannot be imported.
    """
    for path in filter(None, os.environ.get("DLRUN_PLUGINS", "").split(os.pathsep)):
        resolved = pathlib.Path(path).expanduser().resolve()
        if not resolved.is_file():
            raise UserError(f"DLRUN_PLUGINS: no file {path}")
        _load_once(str(resolved), f"DLRUN_PLUGINS: {path}", lambda resolved=resolved: _import_file(resolved))
    for entry in importlib.metadata.entry_points(group="dlrun.plugins"):
        _load_once(entry.value, f"plug-in {entry.name} ({entry.value})", entry.load)


def _load_once(key: str, what: str, load: Callable[[], Any]) -> None:
    if key in _loaded_plugins:
        return
    try:
        load()
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{what}: cannot be imported: {type(error).__name__}: {reason}") from error
    _loaded_plugins.add(key)


def _import_file(path: pathlib.Path) -> None:
    name = f"dlrun_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError("is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    # Pickle, which sends data to loader processes, looks a class up by its module.
    sys.modules[name] = module
    spec.loader.exec_module(module)
