"""The same few nodes for a whole layer, drawn by how much they send.

Chen, Ma and Xiao, "FastGCN: fast learning with graph convolutional networks via importance sampling", 2018.

Departure: a node's own part, the self-loop of the paper's matrix, is not drawn but always there.
"""

import torch
from torch import Tensor

from dlrun.config.schema import PositiveInt
from dlrun.data.graphs.graph import Graph
from dlrun.data.graphs.parts import NodePart
from dlrun.engine.contracts import LoaderOptions
from dlrun.samplers.sampling import (
    GraphSampler,
    Numbering,
    Sample,
    SampleLoader,
    SeedLoader,
    by_weight,
    induced,
    loops_of,
)


class Layer(GraphSampler):
    """`sizes[h]` nodes of the whole graph, with replacement, that send to those h layers before the answer.

    Node j is drawn with probability q_j, proportional to the squared norm of its column of the normalised adjacency
    matrix, and its edges are scaled by 1 / (q_j x size), once for each time it was drawn: a sum or mean over neighbours
    is unbiased, and 0 for a node none of whose neighbours was drawn. A node that serves in two layers is there twice.
    Every train node is asked for once an epoch.
    """

    def __init__(self, *, sizes: tuple[PositiveInt, ...] = (1000, 400)):
        """**Arguments:**

        - `sizes`: the number of draws for each layer of the model; those next to the answer come first.
        """
        if not sizes:
            raise ValueError("sizes: is empty; one number a layer is needed, such as [1000,400]")
        self.sizes, self.num_hops = sizes, len(sizes)

    def of_graph(self, part: NodePart, options: LoaderOptions) -> SampleLoader:
        """`batch_size` nodes of `part` and the layers behind them."""
        graph, numbering = part.graph, Numbering(part.graph.num_nodes)
        chance = column_norms(graph)

        def draw(seeds: Tensor, generator: torch.Generator) -> Sample:
            return self._behind(graph, numbering, chance, seeds, generator)

        return SeedLoader(part, options, draw)

    def _behind(
        self, graph: Graph, numbering: Numbering, chance: Tensor, seeds: Tensor, generator: torch.Generator
    ) -> Sample:
        cumulative, incoming = chance.cumsum(0), graph.incoming
        layers, found, first = [seeds], [], 0
        for size in self.sizes:
            above = layers[-1]
            drawn, times = by_weight(cumulative, size, generator).unique(return_counts=True)
            # Where no node sends at all, every draw is of a node without an edge.
            scale = times * cumulative[-1].clamp(min=1e-300) / (chance[drawn] * size)
            with numbering:
                numbering.append(drawn)
                row, entry = induced(graph, numbering, above)
                column = numbering.position[incoming.source[entry]]
            found.append((first + len(above) + column, first + row, scale[column].float(), incoming.edge[entry]))
            first += len(above)
            layers.append(drawn)
        nodes = torch.cat(layers)
        source, target, scale, edge = (torch.cat(part) for part in zip(*found, strict=True))
        at, loops = loops_of(graph, nodes)
        scale = torch.cat([scale, torch.ones(len(loops))])
        return Sample(nodes, torch.cat([source, at]), torch.cat([target, at]), scale, torch.cat([edge, loops]))


def column_norms(graph: Graph) -> Tensor:
    """The squared norm (N,) of each column of D^-1/2 A D^-1/2 without self-loops, D the number of edges and 1 more."""
    incoming = graph.incoming
    share = 1 / (incoming.counts.double() + 1)
    target = torch.arange(graph.num_nodes).repeat_interleave(incoming.counts)
    return torch.zeros(graph.num_nodes, dtype=torch.float64).index_add(0, incoming.source, share[target]).mul_(share)
