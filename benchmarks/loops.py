"""Three ways to train the same model for an epoch: the notes' loop, a bare loop, dlrun's engine."""

import contextlib
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.engine import device as devices
from dlrun.engine.contracts import Loader, LoaderOptions, Part
from dlrun.engine.evaluate import evaluate
from dlrun.engine.fit import fit
from dlrun.engine.interrupt import Stop
from dlrun.engine.loading import PartLoader
from dlrun.engine.metrics import chosen
from dlrun.engine.state import State
from dlrun.optim.optimizers import sgd
from dlrun.tasks.multiclass import Multiclass

BATCH_SIZE = 64
CPU = torch.device("cpu")


def notes_epoch(model: nn.Module, train: Any, test: Any) -> float:
    """Seconds of one epoch with its test pass as the notes write it (chapter 8).

    `train` and `test` are torchvision data sets with ToTensor and Normalize.
    """
    train_loader = torch.utils.data.DataLoader(train, shuffle=True, batch_size=BATCH_SIZE)
    test_loader = torch.utils.data.DataLoader(test, shuffle=False, batch_size=BATCH_SIZE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    started, running_loss, correct = time.perf_counter(), 0.0, 0
    for inputs, target in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), target)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    with torch.no_grad():
        for inputs, target in test_loader:
            correct += (model(inputs).argmax(dim=1) == target).sum().item()
    return time.perf_counter() - started


def bare_steps(
    model: nn.Module, images: Tensor, target: Tensor, num_steps: int, scale: Tensor, shift: Tensor, autocast: Any
) -> float:
    """Seconds of `num_steps` training steps on tensors, written by hand with the same levers.

    Index, normalise, forward, backward, fused step; the loss is added up and read once.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5, fused=True)
    started, total = time.perf_counter(), torch.zeros(())
    for index in torch.randperm(len(target)).split(BATCH_SIZE)[:num_steps]:
        inputs = images[index].float().mul_(scale).add_(shift)
        with autocast:
            output = model(inputs)
        loss = F.cross_entropy(output.float(), target[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach()
    total.item()
    return time.perf_counter() - started


def resident(part: Part, prepare: Any, **options: Any) -> Loader:
    """The batches of a part that is held in memory."""
    return PartLoader(part, LoaderOptions(prepare, CPU, **{"batch_size": BATCH_SIZE} | options))


class Nothing:
    """A recorder and keeper that does nothing: the engine alone is timed."""

    def step(self, *args: Any) -> None: ...
    def epoch(self, *args: Any) -> None: ...
    def last(self, *args: Any) -> None: ...
    def best(self, *args: Any) -> None: ...


class Options:
    """One epoch with the defaults of conf/trainer/default.yaml."""

    epochs, accumulate, clip_grad_norm, patience = 1, 1, None, None
    log_every, eval_every, save_every = 50, 1, 1


def engine_epoch(model: nn.Module, train: Loader, test: Loader | None, precision: str, spec: Any) -> float:
    """Seconds of one epoch of dlrun's engine, with a test pass if `test` is given."""
    task = Multiclass(spec)
    optimizer = sgd(list(model.parameters()), lr=0.01, momentum=0.5)
    state = State(model, optimizer, devices.gradient_scaler("fp32", CPU), watch="accuracy", mode="max")
    autocast = devices.autocast(precision, CPU)
    started = time.perf_counter()
    fit(state, task, train, None, Options(), autocast=autocast, recorder=Nothing(), keeper=Nothing(), stop=Stop())
    if test is not None:
        evaluate(model, task, test, chosen(task.metrics(), "accuracy"), autocast)
    return time.perf_counter() - started


def autocast_of(precision: str) -> contextlib.AbstractContextManager[Any]:
    """The same context that the engine uses."""
    return devices.autocast(precision, CPU)


def interleaved(ways: dict, repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, taken in turns; the first turn of each is a warm-up and left out."""
    seconds = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            value = way()
            if turn:
                seconds[name].append(value)
    return seconds
