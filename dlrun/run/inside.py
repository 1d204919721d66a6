"""What models of sequences and of graphs show of themselves: attention, positions, embeddings, clusters, kept nodes.

A model shows what it has by a method: `attention`, `positions`, `clusters` or `kept`.
"""

from typing import Any

import torch
from torch import nn

from dlrun.config.spec import last_part
from dlrun.data.graphs.parts import GraphsPart
from dlrun.run.trained import Trained
from dlrun.tasks.graphs import plane

MOST_STEPS = 64
MOST_TOKENS = 200
MOST_LOOKED_AT = 32  # examples, of which the longest is shown


def pictures(run: Trained) -> dict[str, tuple[Any, str]]:
    """(Figure, what it shows) by name, for the first example of the last part; empty if the model shows nothing.

    **Raises:** `UserError` if the data cannot be read.
    """
    if run.spec.kind == "graph":
        return _of_graph(run) if hasattr(run.model, "clusters") or hasattr(run.model, "kept") else {}
    return _of_sequence(run)


def _of_sequence(run: Trained) -> dict[str, tuple[Any, str]]:
    from dlrun.plots import attention as figures

    model: Any = run.model.eval()
    found, vocabulary = {}, run.spec.vocabulary
    if hasattr(model, "attention"):
        parts = run.dataset.load()
        part = last_part(parts)
        inputs = run.prepare(parts[part].take(torch.arange(min(len(parts[part]), MOST_LOOKED_AT))).inputs)
        longest = int(inputs[1].argmax()) if len(inputs) > 1 else 0
        x, *lengths = (value[longest : longest + 1] for value in inputs)
        length = min(int(lengths[0]) if lengths else x.shape[1], MOST_STEPS)
        x, lengths = x[:, :length], [value.clamp(max=length) for value in lengths]
        steps = [str(step + 1) for step in range(length)]
        if vocabulary is not None and x.ndim == 2:
            steps = [vocabulary[token] for token in x[0].tolist()]
        with torch.inference_mode():
            layers = [layer[0] for layer in model.attention(x, *lengths)]
        about = f"what each of {length} steps of an example of {part} takes from which, layer by layer"
        found["attention"] = (figures.attention_maps(layers, steps), about)
    if hasattr(model, "positions"):
        found["positions"] = (figures.positions(model.positions(MOST_STEPS)), "the positional encoding")
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    if embeddings and vocabulary is not None and len(vocabulary) == embeddings[0].num_embeddings:
        points, shares = plane(embeddings[0].weight.detach()[:MOST_TOKENS])
        about = "the vectors of the tokens, by their two principal components"
        found["embedding"] = (figures.token_vectors(points, vocabulary[:MOST_TOKENS], shares), about)
    return found


def _of_graph(run: Trained) -> dict[str, tuple[Any, str]]:
    from dlrun.plots import graphs

    parts = run.dataset.load()
    model: Any = run.model.eval()
    part = last_part(parts)
    whole = parts[part]
    assert isinstance(whole, GraphsPart), "the model answers for whole graphs"
    graph, inputs = whole.graph(0), run.prepare(whole.take(torch.zeros(1, dtype=torch.int64)).inputs)
    edges, weights = graph.edge_index, torch.ones(graph.num_edges)
    with torch.inference_mode():
        if hasattr(model, "clusters"):
            shares = model.clusters(*inputs)[0, : graph.num_nodes]  # (M, C)
            cluster = shares.argmax(dim=1)
            used, group = cluster.unique(return_inverse=True)
            title = f"The first graph of {part}: its nodes are in {len(used)} of {shares.shape[1]} clusters"
            names = [f"cluster {number + 1}" for number in used.tolist()]
            figure = graphs.drawing(edges, weights, group, names, title=title)
            return {"clusters": (figure, f"the nodes of the first graph of {part} by their likeliest cluster")}
        poolings = model.kept(*inputs)
    times = torch.zeros(graph.num_nodes, dtype=torch.int64)
    for nodes in poolings:
        times[nodes] += 1
    names = [f"left out by pooling {number + 1}" for number in range(len(poolings))] + ["kept to the end"]
    title = f"The first graph of {part}: {len(poolings[-1])} of {graph.num_nodes} nodes are kept"
    figure = graphs.drawing(edges, weights, times, names, title=title)
    return {"kept": (figure, f"which nodes of the first graph of {part} each pooling keeps")}
