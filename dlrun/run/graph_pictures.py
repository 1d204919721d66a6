"""A picture of graphs before anything is learned of them."""

import pathlib

import torch

from dlrun.config.check import Config
from dlrun.data.graphs.parts import GraphsPart, NodePart
from dlrun.engine.contracts import DataSet
from dlrun.plots.figure import png_bytes
from dlrun.store import files
from dlrun.tasks.graphs import readable

MOST = 9  # whole graphs


def picture(config: Config, dataset: DataSet) -> pathlib.Path:
    """A PNG in the folder `outputs`: the graph with the classes of its nodes, or the first whole graphs with theirs."""
    from dlrun.plots import graphs

    files.check_writable(config.outputs)
    parts, names = dataset.load(), list(dataset.spec.class_names or ())
    part, data = parts["train"], config.data["name"]
    if isinstance(part, GraphsPart):
        some = [part.graph(number) for number in range(min(MOST, len(part)))]
        figure = graphs.gallery(
            [(graph.edge_index, graph.num_nodes) for graph in some],
            [names[k] for k in part.target[: len(some)].tolist()], [True] * len(some), f"{data}: graphs of train",
        )  # fmt: skip
    else:
        assert isinstance(part, NodePart)
        graph = part.graph
        classes = torch.full((graph.num_nodes,), len(names))
        for other in parts.values():
            assert isinstance(other, NodePart)
            classes[other.seeds] = other.target
        shown, nodes = readable(graph, part.seeds)
        figure = graphs.drawing(
            *graph.inside(nodes, graph.edge_index, graph.plain_weight), classes[nodes], [*names, "in no part"],
            names=graph.names_of(nodes),
            title=f"{shown}, coloured by class", directed=graph.is_directed(),
        )  # fmt: skip
    return files.write_output(config.outputs, f"graph-{data}.png", png_bytes(figure))
