"""Training steps on a GPU that is not there: no operand on a wrong device, and the host never waits.

torch's FakeTensorMode gives tensors on cuda:0 without a driver: they have shapes, types and devices, and no values. An
operation over two devices fails in it, and so does every read by the host, of a value or of a size that depends on one.
What is drawn on the host is drawn for real. A backward pass wants a driver: gradients are put there by hand.
"""

import contextlib
import functools
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    unset_fake_temporarily,
)

from dlrun.augment import geometric
from dlrun.augment.augmentation import Augmentation
from dlrun.config import check, compose
from dlrun.data.graphs.parts import GraphsPart
from dlrun.engine.contracts import Loader
from dlrun.engine.draws import Draws
from dlrun.engine.metrics import Meter, chosen
from dlrun.engine.step import Step
from dlrun.run import assemble
from dlrun.run.transfer import Transfer
from dlrun.samplers.sampling import SampleLoader

GPU = torch.device("cuda:0")
# torch has no shapes for these kernels of its own.
KERNELS = torch.library.Library("aten", "IMPL", "Meta")
KERNELS.impl("_fused_sgd_", lambda *args, **options: None)
KERNELS.impl("_thnn_fused_gru_cell", lambda x, h, hx, *biases: (hx.clone(), x.new_empty(len(x), 5 * hx.shape[1])))
KERNELS.impl("_thnn_fused_lstm_cell", lambda x, h, cx, *biases: (cx.clone(), cx.clone(), x.clone()))
SMALL = {
    "digits": [], "synthetic": ["data.in_channels=3", "data.num_train=64", "data.num_val=0", "data.num_test=0"],
    "adding": ["data.seq_len=12", "data.num_train=16", "data.num_val=0", "data.num_test=0"],
    "copy_memory": ["data.blank_steps=4", "data.num_to_copy=2", "data.num_train=16", "data.num_val=0"],
    "induction_heads": ["data.seq_len=12", "data.num_train=16", "data.num_val=0", "data.num_test=0"],
    "shapes": ["data.num_train=16", "data.num_val=0", "data.num_test=0"],
    "motifs": ["data.num_train=16", "data.num_val=4", "data.num_test=4"], "block_model": ["data.num_nodes=80"],
}  # fmt: skip
IMAGES = ("cnn", "googlenet_mini", "resnet", "mobilenet_v1", "mobilenet_v2", "efficientnet", "torchvision")
SEQUENCES = ("rnn_cell", "rnn", "lstm", "gru", "tcn", "transformer", "mamba", "mamba2")
NODES = ("message_passing", "gcn", "chebnet", "graphsage", "gat", "mpnn", "ggnn", "jknet", "deepgcn", "gin")
OPTIMIZERS = (
    "sgd", "adam", "adamw", "rmsprop", "adamax", "nadam", "radam", "adagrad", "adadelta", "asgd", "rprop", "muon",
)  # fmt: skip
AUGMENTS = ("geometric", "colour", "randaugment", "trivialaugment", "erasing", "mixup", "cutmix")
PLACES = ("localizer", "keypoint_net", "yolo", "unet", "torchvision_segmenter")
SAMPLERS = ("neighbor", "pinsage", "layer", "cluster", "saint")
CASES = [
    *(["model=linear", f"data={data}"] for data in ("line", "hours", "diabetes", "breast_cancer", "iris", "wine")),
    *([f"model={model}", "data=diabetes"] for model in ("mlp", "logistic") if model == "mlp"),
    ["model=logistic", "data=breast_cancer"],
    ["model=mlp", "model.batch_norm=true", "model.dropout=0.5", "data=iris"],
    *([f"model={model}", "data=digits"] for model in (*IMAGES, "mlp", *SEQUENCES)),
    *([f"model={model}", "data=synthetic"] for model in ("resnet", "mobilenet_v2")),
    ["model=conv_filter", "data=photos", "data.patch_size=32"],
    ["model=cnn", "data=digits", "task=one_vs_rest"],
    # A model reads values or words, each of which is a code path of its own; names have a length each.
    *([f"model={model}", "data=adding"] for model in ("gru", "tcn", "transformer", "mamba2")),
    *([f"model={model}", "data=copy_memory"] for model in SEQUENCES),
    *([f"model={model}", "data=names"] for model in ("tcn", "transformer", "mamba", "mamba2", "rnn_cell")),
    ["model=lstm", "data=induction_heads"],
    ["model=rnn", "data=hello"],
    ["model=gru", "data=text", "data.seq_len=8"],
    *([f"model={model}", "data=block_model"] for model in NODES),
    *([f"model={model}", "data=motifs"] for model in (*NODES[1:4], "gin", "ggnn")),
    *(["model=gin", "data=motifs", f"model.readout={readout}"] for readout in ("mean", "max", "set2set")),
    *(["model=mlp", "data=iris", f"optimizer={optimizer}"] for optimizer in OPTIMIZERS),
    *(["model=cnn", "data=digits", f"optimizer={optimizer}"] for optimizer in ("sgd", "muon")),
    *(["model=cnn", "data=synthetic", f"augment={augment}"] for augment in AUGMENTS),
    *(["model=cnn", "data=digits", f"augment={augment}"] for augment in ("geometric", "colour", "cutmix")),
    *([f"model={model}", "data=shapes"] for model in PLACES),
    *([f"model={model}", "data=shapes", "augment=geometric", "augment.mirror=0.5"] for model in PLACES[:4:2]),
    ["model=keypoint_net", "data=shapes", "data.kinds=[square]", "augment=geometric", "augment.mirror=0.5"],
    ["model=unet", "data=shapes", "augment=geometric", "augment.crop=32"],
    ["model=yolo", "model.num_anchors=0", "data=shapes", "augment=colour"],
    *(["model=graphsage", "data=block_model", f"sampler={sampler}"] for sampler in SAMPLERS),
    *(["model=cnn", "data=digits", f"sampler={sampler}"] for sampler in ("balanced", "classes")),
    ["model=cnn", "data=digits", "trainer.ema_decay=0.9", "trainer.clip_grad_norm=1", "scheduler=warmup_cosine"],
    ["model=cnn", "data=digits", "scheduler=onecycle", "trainer.accumulate=2"],
    ["model=cnn", "data=digits", "scheduler=step", "trainer.warmup_steps=3", "freeze=1"],
]
# What must wait, each with its reason.
WAITS = {
    "rnn, lstm, gru on names": (
        ["model=gru", "data=names"], "torch packs rows by lengths that it wants on the host",
    ),
    "lbfgs": (
        ["model=mlp", "data=iris", "optimizer=lbfgs"], "torch's L-BFGS compares losses and gradients on the host",
    ),
    "gnn_recurrent": (
        ["model=gnn_recurrent", "data=block_model"], "the iteration ends when nothing changes any more",
    ),
    "sliding_window": (
        ["model=sliding_window", "data=shapes"], "how many windows hold nothing depends on the boxes",
    ),
    **{
        model: ([f"model={model}", "data=shapes"], "torchvision samples the regions that it learns from")
        for model in ("rcnn", "fast_rcnn", "faster_rcnn", "mask_rcnn", "torchvision_detector")
    },
    "diffpool": (["model=diffpool", "data=motifs"], "torch_geometric asks how many nodes the largest graph has"),
    "sagpool": (["model=sagpool", "data=motifs"], "how many nodes stay depends on the graphs"),
}  # fmt: skip


def on_host(call):
    """`call` with real tensors, as what the host draws is."""

    @functools.wraps(call)
    def real(*args, **options):
        with unset_fake_temporarily():
            return call(*args, **options)

    return real


@pytest.fixture(autouse=True)
def pretended(monkeypatch):
    def fill(loss, *args, **options):
        """In place of the backward pass: a gradient for each parameter of the model."""
        assert loss.device == GPU and loss.ndim == 0
        for parameter in fill.parameters:
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)

    monkeypatch.setattr(torch.Tensor, "backward", fill)
    monkeypatch.setattr(torch, "sparse_csr_tensor", Compressed)
    geometric._spline.cache_clear()
    yield fill
    # No pretended tensor may be found there by another test.
    geometric._spline.cache_clear()


def drawn_for_real(loader: Loader, monkeypatch) -> None:
    """Lets everything of a loader that belongs to the host happen outside of the pretence."""
    monkeypatch.setattr(loader.order, "batches", on_host(loader.order.batches))
    monkeypatch.setattr(Draws, "__init__", on_host(Draws.__init__))
    if isinstance(loader.options.augment, Augmentation):
        augment = loader.options.augment
        monkeypatch.setattr(augment, "partners", on_host(augment.partners))
        monkeypatch.setattr(augment.change, "draw", on_host(augment.change.draw))
    if isinstance(loader, SampleLoader):
        monkeypatch.setattr(loader, "sampled", on_host(loader.sampled))
    if isinstance(loader.part, GraphsPart):
        monkeypatch.setattr(loader.part, "places", on_host(loader.part.places))


class Compressed:
    """In place of a sparse tensor, which torch cannot pretend: sizes and a device, and products of the right shape."""

    dtype, layout = torch.float32, torch.sparse_csr

    def __init__(self, starts, column, value, shape, check_invariants=False):
        assert starts.device == column.device == value.device
        self.shape, self.device, self.value = shape, value.device, value

    def values(self):
        return self.value

    def __matmul__(self, dense):
        assert (dense.device, dense.shape[0]) == (self.device, self.shape[1])
        return dense.new_zeros(self.shape[0], dense.shape[1]) * self.value.sum()


def on_gpu(made: Loader) -> Loader:
    """A loader that was made for the CPU, moved."""
    made.options = replace(made.options, device=GPU)
    if isinstance(made, SampleLoader):
        made.x, made.edge_weight, made.degrees = (t.to(GPU) for t in (made.x, made.edge_weight, made.degrees))
    else:
        made.part = made.part.to(GPU)
    return made


def take_steps(words, monkeypatch, fill, steps=2):
    """The first steps of the second epoch, as `fit` takes them."""
    data = next(word.removeprefix("data=") for word in words if word.startswith("data="))
    config = check.parse(compose.tree([*words, *SMALL.get(data, []), "device=cpu", "trainer.batch_size=8"], []))
    dataset = assemble.data(config)
    spec, prepare = assemble.view(config, dataset.spec)
    sampler, augment = assemble.sampler(config, dataset.spec), assemble.augmentation(config, dataset.spec)
    train = {"train": dataset.load()["train"]}
    made = assemble.loaders(config, train, prepare, torch.device("cpu"), sampler, augment)["train"]
    with FakeTensorMode(allow_non_fake_inputs=True), torch.backends.cudnn.flags(enabled=False):
        loader = on_gpu(made)
        drawn_for_real(loader, monkeypatch)
        with GPU:
            model = assemble.model(config, spec)
        task = assemble.task(config, spec)
        task.to(GPU)
        fill.parameters = list(model.parameters())
        optimizer = assemble.optimizer(config, model, Transfer())
        state = assemble.state(config, model, optimizer, task, loader)
        step = Step(
            state, task, loader, accumulate=config.trainer.accumulate, clip_grad_norm=config.trainer.clip_grad_norm,
            autocast=contextlib.nullcontext(),
        )  # fmt: skip
        meter = Meter(chosen(task.metrics(), state.watch, in_training=True), state.sums)
        for taken, batch in enumerate(loader.batches(epoch=1)):
            assert all(value.device == GPU for value in batch.inputs)
            step(state.training_model(), batch)
            meter.update(step.output, batch, step.losses)
            if taken + 1 == steps:
                break
        assert state.batch == min(steps, loader.num_batches)
        assert all(total.device == GPU for total in state.sums.values())


@pytest.mark.parametrize("words", CASES, ids=" ".join)
def test_no_step_waits_for_the_device(words, monkeypatch, pretended):
    take_steps(words, monkeypatch, pretended)


@pytest.mark.parametrize("words", [words for words, _ in WAITS.values()], ids=list(WAITS))
def test_what_must_wait_is_listed(words, monkeypatch, pretended):
    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        take_steps(words, monkeypatch, pretended)
