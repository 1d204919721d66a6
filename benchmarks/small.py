"""`DLRUN_DATA=... python -m benchmarks.small [--repeats 9]`

What the engine adds where a step is short or padded: 1000 full-batch epochs of a linear model, an epoch of the name
classifier, both against a bare loop in turns; and what a character costs a model that writes. Names are read from
DLRUN_DATA.
"""

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from benchmarks.loops import CPU, Nothing, resident
from dlrun.data import views
from dlrun.data.sequences.names import Names
from dlrun.data.tables.small import Line
from dlrun.engine import device as devices
from dlrun.engine.contracts import Loader
from dlrun.engine.fit import fit
from dlrun.engine.interrupt import Stop
from dlrun.engine.state import State
from dlrun.models import MODELS
from dlrun.optim.optimizers import adam, sgd
from dlrun.tasks.multiclass import Multiclass
from dlrun.tasks.regression import Regression

NAMES_BATCH_SIZE = 256
CHARACTERS = 1000


class Options:
    """What `trainer` has in the recipes of the two models."""

    accumulate, clip_grad_norm, patience, log_every = 1, None, None, 50

    def __init__(self, epochs: int, every: int):
        self.epochs, self.eval_every, self.save_every = epochs, every, epochs


def engine(model: nn.Module, optimizer: Any, task: Any, loader: Loader, options: Options) -> None:
    state = State(model, optimizer(list(model.parameters())), devices.gradient_scaler("fp32", CPU))
    autocast = devices.autocast("fp32", CPU)
    fit(state, task, loader, None, options, autocast=autocast, recorder=Nothing(), keeper=Nothing(), stop=Stop())


def line() -> dict[str, Callable[[], None]]:
    """1000 epochs of one step on three points."""
    data = Line()
    part = data.load()["train"]
    loader = resident(part, views.preparation(data.spec), batch_size=3, shuffle=True)

    def bare() -> None:
        model = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for _ in range(1000):
            loss = F.mse_loss(model(part.inputs[0]), part.target)
            loss.item()  # the notes print it
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def ours() -> None:
        model = MODELS.get("linear")(in_features=1, out_features=1)
        engine(model, lambda p: sgd(p, lr=0.01), Regression(data.spec), loader, Options(1000, 20))

    return {"bare": bare, "ours": ours}


class BareClassifier(nn.Module):
    """The notes' GRU, packed by length."""

    def __init__(self, vocab_size: int, out_features: int):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, 100)
        self.gru = nn.GRU(100, 100, 2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(200, out_features)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(self.embed(tokens), lengths, batch_first=True, enforce_sorted=False)
        _, hidden = self.gru(packed)
        return self.fc(torch.cat([hidden[-2], hidden[-1]], dim=1))


def names() -> dict[str, Callable[[], None]]:
    """An epoch of the name classifier on the course's files."""
    data = Names(collection="course")
    part, spec = data.load()["train"], data.spec
    loader = resident(part, views.preparation(spec), batch_size=NAMES_BATCH_SIZE, shuffle=True)
    tokens, lengths = part.inputs
    first = BareClassifier(spec.vocab_size, spec.out_features)
    model = MODELS.get("gru")(vocab_size=spec.vocab_size, per_step=False, causal=False, out_features=spec.out_features)

    def bare() -> None:
        network = copy.deepcopy(first)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for index in torch.randperm(len(tokens)).split(NAMES_BATCH_SIZE):
            ids = tokens[index][:, : int(lengths[index].max())]
            loss = F.cross_entropy(network(ids, lengths[index]), part.target[index])
            loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def ours() -> None:
        engine(copy.deepcopy(model), lambda p: adam(p, lr=1e-3), Multiclass(spec), loader, Options(1, 1))

    return {"bare": bare, "ours": ours}


def ratio(ways: dict[str, Callable[[], None]], repeats: int) -> tuple[float, str]:
    """Median seconds of the bare loop, and ours / bare in pairs; the first pair is a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    pairs = [ours / bare for ours, bare in zip(seconds["ours"][1:], seconds["bare"][1:], strict=True)]
    told = f"{statistics.median(pairs):.3f} ({min(pairs):.3f} to {max(pairs):.3f})"
    return statistics.median(seconds["bare"][1:]), told


@torch.inference_mode()
def character_cost(name: str) -> str:
    """Microseconds a character, median of the first and the last hundred of `CHARACTERS`."""
    torch.manual_seed(0)
    model = MODELS.get(name)(vocab_size=60, per_step=True, causal=True, out_features=60).eval()
    token, state, taken = torch.tensor([1]), None, []
    for _ in range(CHARACTERS):
        started = time.perf_counter()
        logits, state = model.step(token, state)
        taken.append((time.perf_counter() - started) * 1e6)
        token = logits.argmax(dim=1)
    early, late = statistics.median(taken[100:200]), statistics.median(taken[-100:])
    return f"{early:.0f} us at character 100 to 200, {late:.0f} us at the last hundred of {CHARACTERS}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small")
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.2f}, n = {repeats}")
    for title, ways, limit in (("linear, 1000 epochs", line(), 2.0), ("names, an epoch", names(), 1.1)):
        seconds, told = ratio(ways, repeats)
        print(f"{title:<20} bare loop {seconds:.3f} s, dlrun / bare {told}, at most {limit}")
    for name in ("rnn", "gru", "tcn", "transformer", "mamba", "mamba2"):
        print(f"{name:<20} {character_cost(name)}")


if __name__ == "__main__":
    main()
