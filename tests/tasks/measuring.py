"""What tests of tasks share: a task's metrics of outputs, and the findings that its pictures are drawn from."""

import torch
from torch import nn

from dlrun.engine.contracts import Batch, Findings, LoaderOptions
from dlrun.engine.loading import PartLoader
from dlrun.engine.metrics import Meter
from dlrun.engine.parts import TensorPart


def batch(target):
    return Batch((), target, torch.arange(len(target)))


def loss(task, output, target):
    return task.losses(output, batch(target))["loss"]


def measured(task, output, target):
    """Loss and metrics of one batch."""
    meter, whole = Meter(task.metrics()), batch(target)
    meter.update(output, whole, task.losses(output, whole))
    return meter.compute(len(target))


def findings(outputs, target, inputs, forward=lambda raw: raw, model=None):
    part = TensorPart((inputs,), target)
    loader = PartLoader(part, LoaderOptions(lambda raw: raw, torch.device("cpu")))
    return Findings(outputs, target, part, forward, model or nn.Identity(), loader)
