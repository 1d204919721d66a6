"""`DLRUN_DATA=... python -m benchmarks.graphs [--repeats 40] [--seeds 5]`

What a batch of neighbours costs on a graph of a million edges, in time on one core and in memory; and 200 epochs of
GCN on Cora beside the loop of torch_geometric's example, in turns. Cora is read from DLRUN_DATA.
"""

import argparse
import os
import resource
import statistics
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.loops import CPU, Nothing, resident
from dlrun.data.graphs.block_model import BlockModel
from dlrun.data.graphs.graph import Graph
from dlrun.data.graphs.parts import NodePart
from dlrun.data.graphs.planetoid import Cora
from dlrun.engine import device as devices
from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.evaluate import evaluate
from dlrun.engine.fit import fit
from dlrun.engine.interrupt import Stop
from dlrun.engine.metrics import chosen
from dlrun.engine.state import State, seed_everything
from dlrun.models import MODELS
from dlrun.optim.optimizers import adam
from dlrun.samplers import SAMPLERS
from dlrun.tasks.graphs import NodeClass

NUM_NODES, NUM_FEATURES, BATCH_SIZE = 100_000, 64, 1024
BATCH_LIMIT_MS = 50
EPOCHS = 200
EPOCH_TARGET = 15


class Options:
    """What `trainer` has in experiment=gcn_cora."""

    epochs, accumulate, clip_grad_norm, patience = EPOCHS, 1, None, None
    log_every, eval_every, save_every = 50, 1, EPOCHS


def large_part() -> NodePart:
    """All nodes of a made graph of a million edges, each once in either direction."""
    part = BlockModel(num_nodes=NUM_NODES, degree=10.0).load()["train"]
    assert isinstance(part, NodePart)
    graph = Graph(torch.randn(NUM_NODES, NUM_FEATURES), part.graph.edge_index, part.graph.edge_weight)
    return NodePart(graph, torch.arange(NUM_NODES), torch.zeros(NUM_NODES, dtype=torch.int64))


def peak_mb() -> float:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def batches(part: NodePart, name: str, repeats: int, **keys: Any) -> str:
    """Milliseconds a batch of a sampler, by the clock and of the core's own, and what the last one holds.

    The first batch is a warm-up. Beside other programs the clock says more than the work takes.
    """
    sampler = SAMPLERS.get(name)(**keys)
    started = time.perf_counter()
    options = LoaderOptions(lambda inputs: inputs, CPU, batch_size=BATCH_SIZE, shuffle=True)
    loader = sampler.loader(part, options)
    source = loader.batches()
    inputs = next(source).inputs
    first, taken, before = time.perf_counter() - started, [], peak_mb()
    for _ in range(min(repeats, loader.num_batches - 1)):
        started, own = time.perf_counter(), time.process_time()
        inputs = next(source).inputs
        taken.append(((time.perf_counter() - started) * 1000, (time.process_time() - own) * 1000))
    clock, core = (sorted(column) for column in zip(*taken, strict=True))
    low, high = (clock[round(share * (len(clock) - 1))] for share in (0.1, 0.9))
    return (
        f"{statistics.median(clock):6.1f} ms a batch (a tenth below {low:.1f}, a tenth above {high:.1f}; of the core "
        f"{statistics.median(core):.1f} ms), {len(inputs[0]):,} nodes, "
        f"{inputs[1].shape[1]:,} edges; {first * 1000:.0f} ms to start, then {peak_mb() - before:.0f} MB more at most"
    )


class Best(Nothing):
    """Keeps the test accuracy of the epoch with the best val accuracy."""

    def __init__(self, task: NodeClass, test: Any):
        self.task, self.test, self.accuracy = task, test, 0.0

    def best(self, state: State) -> None:
        found = evaluate(
            state.eval_model,
            self.task,
            self.test,
            chosen(self.task.metrics(), "accuracy"),
            devices.autocast("fp32", CPU),
        )
        self.accuracy = found.metrics["accuracy"] if found is not None else 0.0


def ours(data: Cora, seed: int) -> tuple[float, float]:
    """(Seconds, test accuracy) of experiment=gcn_cora's training."""
    seed_everything(seed)
    loaders = {name: resident(part, lambda inputs: inputs) for name, part in data.load().items()}
    model = MODELS.get("gcn")(in_features=1433, level="node", out_features=7)
    optimizer = adam(list(model.parameters()), lr=0.01, weight_decay=5e-4)
    state, task = State(model, optimizer, devices.gradient_scaler("fp32", CPU)), NodeClass(data.spec)
    state.watch, state.mode = task.watch, task.mode
    keeper, autocast = Best(task, loaders["test"]), devices.autocast("fp32", CPU)
    started = time.perf_counter()
    fit(
        state, task, loaders["train"], loaders["val"], Options(),
        autocast=autocast, recorder=Nothing(), keeper=keeper, stop=Stop(),
    )  # fmt: skip
    return time.perf_counter() - started, keeper.accuracy


class ExampleGCN(nn.Module):
    """The network of torch_geometric's examples/gcn.py."""

    def __init__(self):
        from torch_geometric.nn import GCNConv

        super().__init__()
        self.conv1, self.conv2 = GCNConv(1433, 16, cached=True), GCNConv(16, 7, cached=True)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        x = F.dropout(x, p=0.5, training=self.training)
        x = self.conv1(x, edge_index).relu()
        x = F.dropout(x, p=0.5, training=self.training)
        return self.conv2(x, edge_index)


def example(data: Cora, seed: int) -> tuple[float, float]:
    """(Seconds, test accuracy) of the example's loop."""
    torch.manual_seed(seed)
    parts = data.load()
    graph = parts["train"].graph  # type: ignore[attr-defined]
    x, model, best = graph.x.to_dense(), ExampleGCN(), (0.0, 0.0)
    optimizer = torch.optim.Adam(
        [{"params": model.conv1.parameters(), "weight_decay": 5e-4}, {"params": model.conv2.parameters()}], lr=0.01
    )
    seeds = {name: (part.seeds, part.target) for name, part in parts.items()}  # type: ignore[attr-defined]
    started = time.perf_counter()
    for _ in range(EPOCHS):
        model.train()
        optimizer.zero_grad()
        nodes, target = seeds["train"]
        loss = F.cross_entropy(model(x, graph.edge_index)[nodes], target)
        loss.backward()
        optimizer.step()
        loss.item()
        model.eval()
        with torch.no_grad():
            guess = model(x, graph.edge_index).argmax(dim=-1)
        right = {name: int((guess[nodes] == target).sum()) / len(nodes) for name, (nodes, target) in seeds.items()}
        best = max(best, (right["val"], right["test"]), key=lambda pair: pair[0])
    return time.perf_counter() - started, best[1]


def told(accuracies: list[float]) -> str:
    return f"{statistics.mean(accuracies):.3f} ± {statistics.stdev(accuracies):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graphs")
    parser.add_argument("--repeats", type=int, default=40, help="batches")
    parser.add_argument("--seeds", type=int, default=5, help="of GCN on Cora, at least 2")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, load {os.getloadavg()[0]:.2f}, n = {options.repeats} batches")
    part = large_part()
    print(
        f"{part.graph.num_nodes:,} nodes, {part.graph.num_edges:,} edges, {NUM_FEATURES} features: {peak_mb():.0f} MB"
    )
    for name, keys, limit in (
        ("neighbor", {"fanouts": (10, 10)}, f" (limit {BATCH_LIMIT_MS} ms)"),
        ("neighbor", {"fanouts": (5, 5)}, ""),
        ("pinsage", {}, ""),
        ("layer", {"sizes": (10_000, 10_000)}, ""),
        ("cluster", {"num_clusters": 100, "clusters_per_batch": 2}, ""),
        ("saint", {"size": 2000, "coverage": 2, "num_batches": options.repeats + 1}, ""),
    ):
        print(f"{name:<9} {batches(part, name, options.repeats, **keys)}{limit}")
    data, pairs = Cora(), []
    for seed in range(-1, options.seeds):  # the first pair is a warm-up
        pairs.append((ours(data, max(seed, 0)), example(data, max(seed, 0))))
    pairs = pairs[1:]
    ratios = [theirs[0] / own[0] for own, theirs in pairs]
    own, theirs = (statistics.median(pair[way][0] for pair in pairs) for way in (0, 1))
    print(
        f"gcn on Cora, an epoch with its val pass: dlrun {own / EPOCHS * 1000:.1f} ms, the example "
        f"{theirs / EPOCHS * 1000:.1f} ms, {statistics.median(ratios):.1f} x ({min(ratios):.1f} to {max(ratios):.1f}), "
        f"at least {EPOCH_TARGET}; test accuracy {told([own[1] for own, _ in pairs])} and "
        f"{told([theirs[1] for _, theirs in pairs])}, seeds 0 to {options.seeds - 1}"
    )


if __name__ == "__main__":
    main()
