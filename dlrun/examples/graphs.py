"""What a node becomes of its neighbours: by plain message passing, and by a graph convolution.

Letters: N nodes, F features.
"""

import torch
from torch import Tensor, nn

from dlrun.config.schema import NonNegativeInt, Number, says
from dlrun.data.graphs.parts import NodePart
from dlrun.data.graphs.small_graphs import Toy4
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step, matrix, seeded, text
from dlrun.models.gcn import GCNConv
from dlrun.models.message_passing import MessagePassing
from dlrun.models.parts.edges import Edges
from dlrun.plots import graphs as figures
from dlrun.plots import grids

MOST_NODES, MOST_FEATURES, MOST_EDGES = 10, 6, 40


@says(chapter="GNN 3 message passing")
def message_passing(
    *,
    x: tuple[tuple[Number, ...], ...] | None = None,
    edges: tuple[tuple[NonNegativeInt, NonNegativeInt], ...] | None = None,
) -> Lesson:
    """Every edge carries a message to the node at its end, and a node becomes the sum of what arrives.

    **Arguments:**

    - `x`: features, a row a node; null: the notes' four nodes, which are `data=toy4`.
    - `edges`: pairs [from, to] of nodes, counted from 0; null: the notes' six edges.
    """
    features, index = _graph(x, edges)
    result = MessagePassing()(features, Edges(index, torch.ones(index.shape[1]), len(features)))
    source, target = index.tolist()
    rows = [
        [f"{j} -> {i}", _vector(features[j]), _vector(features[i]), _vector(features[j] + features[i])]
        for j, i in zip(source, target, strict=True)
    ]
    nodes = [f"node {i}" for i in range(len(features))]
    received = [
        " + ".join(row[3] for row, i in zip(rows, target, strict=True) if i == node) for node in range(len(nodes))
    ]
    steps = [
        Step("The features x, a row a node.", values=features, rows=nodes),
        Step(
            "A message on each edge j -> i: the features of both its ends, added.",
            "message = x_j + x_i",
            rows,
            columns=("j -> i", "x_j", "x_i", "message"),
        ),
        Step(
            "What arrives at each node.",
            values=[[node, what or "nothing"] for node, what in zip(nodes, received, strict=True)],
            columns=("", "sum of the messages"),
        ),
        Step("The new features: the sums.", "x_i <- sum over the edges j -> i of (x_j + x_i)", result, rows=nodes),
    ]
    names = [f"{_vector(before)} -> {_vector(after)}" for before, after in zip(features, result, strict=True)]
    figure = figures.messages(
        index, names, [row[3] for row in rows], "Messages on the edges, and what the nodes become"
    )
    return Lesson(steps, figure)


@says(chapter="GNN 4 graph convolution")
def gcn_norm(
    *,
    x: tuple[tuple[Number, ...], ...] | None = None,
    edges: tuple[tuple[NonNegativeInt, NonNegativeInt], ...] | None = None,
) -> Lesson:
    """A graph convolution counts an edge the less, the more edges its two ends have.

    **Arguments:**

    - `x`: features, a row a node; null: the notes' four nodes, which are `data=toy4`.
    - `edges`: pairs [from, to] of nodes, counted from 0; null: the notes' six edges.
    """
    features, index = _graph(x, edges)
    num_nodes, num_features = features.shape
    graph = Edges(index, torch.ones(index.shape[1]), num_nodes)
    adjacency, normalized = graph.adjacency.to_dense(), graph.normalized.to_dense()
    looped = adjacency + torch.diag((adjacency.diagonal() == 0).float())
    degrees = looped.sum(dim=1)
    with seeded(0), torch.no_grad():
        layer = GCNConv(num_features, num_features)
        nn.init.eye_(layer.lin.weight)
        result = layer(features, graph)
    nodes = [f"node {i}" for i in range(num_nodes)]
    steps = [
        Step(
            "The adjacency matrix A: row i has a 1 for each node that i hears of.",
            values=adjacency,
            rows=nodes,
            columns=nodes,
        ),
        Step(
            "Loops, so that a node hears of itself too; one that is there already stays as it is.",
            "A + I",
            looped,
            rows=nodes,
            columns=nodes,
        ),
        Step("Degrees: the sums of the rows.", "d_i", degrees, columns=nodes),
        Step(
            "Each number divided by the root of both degrees, that of its row and that of its column.",
            "D^-1/2 (A + I) D^-1/2:  [i, j] / sqrt(d_i d_j)",
            normalized,
            rows=nodes,
            columns=nodes,
        ),
        Step("The features x.", values=features, rows=nodes),
        Step(
            "What the layer makes of them, here with weights that change nothing (W = I, b = 0).",
            "D^-1/2 (A + I) D^-1/2 x W^T + b",
            result,
            rows=nodes,
        ),
    ]
    numbers = [str(i) for i in range(num_nodes)]
    panels = [
        grids.Grid("A + I", looped, rows=numbers, columns=numbers),
        grids.Grid("D^-1/2 (A + I) D^-1/2", normalized, rows=numbers, columns=numbers),
        grids.Grid("x", features, rows=numbers),
        grids.Grid("the product", result, rows=numbers),
    ]
    return Lesson(steps, grids.grids(panels, "A graph convolution without weights: two matrices and their product"))


def _graph(x: tuple[tuple[float, ...], ...] | None, edges: tuple[tuple[int, int], ...] | None) -> tuple[Tensor, Tensor]:
    """Features (N, F) and edges (2, E). **Raises:** `UserError` for a node that is not there, or too many."""
    notes = Toy4().load()["train"]
    assert isinstance(notes, NodePart)
    features = notes.graph.x if x is None else matrix("x", x)
    index = notes.graph.edge_index if edges is None else torch.tensor(edges, dtype=torch.int64).view(-1, 2).T
    found = (*features.shape, index.shape[1])
    most = (MOST_NODES, MOST_FEATURES, MOST_EDGES)
    if any(number > limit for number, limit in zip(found, most, strict=True)):
        raise UserError(f"x, edges: at most {most[0]} nodes, {most[1]} features and {most[2]} edges, found {found}")
    if index.numel() and int(index.max()) >= len(features):
        raise UserError(f"edges: node {int(index.max())} is not there; x has nodes 0 to {len(features) - 1}")
    return features, index


def _vector(values: Tensor) -> str:
    return f"[{' '.join(map(text, values.tolist()))}]"
