"""Some neighbours of each node, drawn evenly.

Hamilton, Ying and Leskovec, "Inductive representation learning on large graphs", 2017 (GraphSAGE).
"""

import torch
from torch import Tensor

from dlrun.config.schema import PositiveInt
from dlrun.data.graphs.graph import Graph
from dlrun.data.graphs.parts import NodePart
from dlrun.engine.contracts import LoaderOptions
from dlrun.samplers.sampling import GraphSampler, Numbering, Sample, SampleLoader, SeedLoader, gathered


class Neighbor(GraphSampler):
    """`fanouts[h]` neighbours of each node that is h edges away from what a batch asks for.

    Without replacement, all of them where there are no more; with `replace`, the same one may be drawn twice. Either
    way what an edge carries is scaled up by the neighbours that it stands for, so a sum or mean over neighbours is
    unbiased (what is behind a nonlinearity is not). Every train node is asked for once an epoch.
    """

    def __init__(self, *, fanouts: tuple[PositiveInt, ...] = (10, 10), replace: bool = False):
        """**Arguments:**

        - `fanouts`: the most neighbours of a node, for each layer of the model; those of the nodes asked for first.
        - `replace`: whether the same neighbour may be drawn twice.
        """
        if not fanouts:
            raise ValueError("fanouts: is empty; one number a layer is needed, such as [10,10]")
        self.fanouts, self.replace, self.num_hops = fanouts, replace, len(fanouts)

    def of_graph(self, part: NodePart, options: LoaderOptions) -> SampleLoader:
        """`batch_size` nodes of `part` and what was drawn around them."""
        graph, numbering = part.graph, Numbering(part.graph.num_nodes)

        def draw(seeds: Tensor, generator: torch.Generator) -> Sample:
            return around(graph, numbering, seeds, self.fanouts, self.replace, generator)

        return SeedLoader(part, options, draw)


def around(
    graph: Graph,
    numbering: Numbering,
    seeds: Tensor,
    fanouts: tuple[int, ...],
    replace: bool,
    generator: torch.Generator,
) -> Sample:
    """`seeds` (B,), which come first, and hop by hop the neighbours that were drawn; each node is looked at once."""
    incoming = graph.incoming
    counts, found, first = incoming.counts, [], 0
    with numbering:
        frontier = numbering.append(seeds)
        for fanout in fanouts:
            degree = counts[frontier]
            row, offset = choose(degree, fanout, replace, generator)
            entry = incoming.starts.index_select(0, frontier).index_select(0, row).add_(offset)
            scale = degree / (degree.clamp(max=fanout) if not replace else fanout)
            # The nodes of a hop have positions one after another.
            found.append((first + row, entry, scale.index_select(0, row)))
            first += len(frontier)
            frontier = numbering.add(incoming.source.index_select(0, entry))
        target, entry, scale = (torch.cat(column) for column in zip(*found, strict=True))
        return gathered(graph, numbering, target, entry, scale)


def choose(degree: Tensor, fanout: int, replace: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(Whose neighbour (K,), its number (K,) among the `degree` (M,) that there are) of up to `fanout` of each."""
    largest = int(degree.max()) if len(degree) else 0
    if replace:
        row = (degree > 0).nonzero().flatten().repeat_interleave(fanout)
        return row, _uniform(degree.index_select(0, row), generator)
    width = min(fanout, largest)
    offset = torch.arange(width).repeat(len(degree), 1)
    is_cut = degree > width
    if is_cut.any():
        offset[is_cut] = _distinct(degree[is_cut], width, generator)
    drawn = (torch.arange(width) < degree[:, None]).flatten().nonzero().flatten()
    return drawn // max(width, 1), offset.flatten().index_select(0, drawn)


def _distinct(degree: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` different numbers below `degree` (M,), every set equally likely: (M, count).

    Floyd's way: the i-th is drawn from one number more than the one before, and that number stands in for a repetition.
    It costs nothing that grows with the degrees (Bentley and Floyd, "A sample of brilliance", 1987).
    """
    chosen = torch.empty(len(degree), count, dtype=torch.int64)
    for i in range(count):
        last = degree - count + i
        drawn = _uniform(last + 1, generator)
        is_repeated = (chosen[:, :i] == drawn[:, None]).any(dim=1)
        chosen[:, i] = torch.where(is_repeated, last, drawn)
    return chosen


def _uniform(below: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers from 0, each below its own of `below`."""
    points = torch.rand(below.shape, generator=generator, dtype=torch.float64)
    return torch.minimum((points * below).long(), (below - 1).clamp(min=0))
