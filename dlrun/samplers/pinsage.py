"""The neighbours that short random walks visit most, weighed by their visits.

Ying et al., "Graph convolutional neural networks for web-scale recommender systems", 2018 (PinSage).
"""

import torch
from torch import Tensor

from dlrun.config.schema import PositiveInt
from dlrun.data.graphs.graph import Incoming
from dlrun.data.graphs.parts import NodePart
from dlrun.engine.contracts import LoaderOptions
from dlrun.samplers.sampling import GraphSampler, Numbering, Sample, SampleLoader, SeedLoader


class PinSage(GraphSampler):
    """From each node `num_walks` walks of `walk_length` steps against the edges; the most visited are its neighbours.

    `num_neighbors[h]` of them for a node that is h such steps away from what a batch asks for. The mean over a node's
    neighbours is then weighed by their shares of the visits: importance pooling, and no estimate of the plain mean. A
    sum counts each node as having that many neighbours. Every train node is asked for once an epoch.
    """

    def __init__(
        self, *, num_neighbors: tuple[PositiveInt, ...] = (10, 10), num_walks: PositiveInt = 50,
        walk_length: PositiveInt = 2,
    ):  # fmt: skip
        """**Arguments:**

        - `num_neighbors`: the most neighbours of a node, for each layer of the model; those of the nodes asked for
          first.
        - `num_walks`: the number of walks from each node.
        - `walk_length`: the number of steps of a walk.
        """
        if not num_neighbors:
            raise ValueError("num_neighbors: is empty; one number a layer is needed, such as [10,10]")
        self.num_neighbors, self.num_walks, self.walk_length = num_neighbors, num_walks, walk_length
        self.num_hops = len(num_neighbors)

    def of_graph(self, part: NodePart, options: LoaderOptions) -> SampleLoader:
        """`batch_size` nodes of `part` and what the walks found around them."""
        incoming, numbering = part.graph.incoming, Numbering(part.graph.num_nodes)

        def draw(seeds: Tensor, generator: torch.Generator) -> Sample:
            return self._around(incoming, numbering, seeds, generator)

        return SeedLoader(part, options, draw)

    def _around(self, incoming: Incoming, numbering: Numbering, seeds: Tensor, generator: torch.Generator) -> Sample:
        found, degrees = [], []
        with numbering:
            frontier = numbering.append(seeds)
            for count in self.num_neighbors:
                visited = walk(incoming, frontier.repeat_interleave(self.num_walks), self.walk_length, generator)
                visited = visited.reshape(len(frontier), self.num_walks * self.walk_length)
                row, node, share = most_visited(visited, frontier, count)
                target = numbering.position[frontier][row]
                degrees.append(torch.full((len(frontier), 3), float(count)))
                frontier = numbering.add(node)
                found.append((numbering.position[node], target, share * count))
            degrees.append(torch.full((len(frontier), 3), float(self.num_neighbors[-1])))
            source, target, scale = (torch.cat(column) for column in zip(*found, strict=True))
            return Sample(numbering.nodes(), source, target, scale, degrees=torch.cat(degrees))


def walk(incoming: Incoming, start: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """The nodes (M, length) of random walks from `start` (M,) against the edges; without an edge a walk stays."""
    counts, steps, here = incoming.counts, [], start
    for _ in range(length):
        can_move = (counts[here] > 0).nonzero().flatten()
        degree = counts[here[can_move]]
        offset = (torch.rand(len(degree), generator=generator, dtype=torch.float64) * degree).long()
        entry = incoming.starts[here[can_move]] + torch.minimum(offset, degree - 1)
        here = here.index_put((can_move,), incoming.source[entry])
        steps.append(here)
    return torch.stack(steps, dim=1)


def most_visited(visited: Tensor, start: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row of `visited` (M, V) the up to `count` nodes other than `start` (M,) that are there most often.

    (The row (K,), the node (K,), its share (K,) of the visits to the row's nodes); of equals the lower number wins.
    """
    num_nodes = int(visited.max()) + 1 if visited.numel() else 1
    row = torch.arange(len(start))[:, None].expand_as(visited)
    key, visits = (row * num_nodes + visited)[visited != start[:, None]].unique(return_counts=True)
    row, node = key // num_nodes, key % num_nodes
    order = (row * (visited.shape[1] + 1) - visits).argsort(stable=True)
    row, node, visits = row[order], node[order], visits[order]
    sizes = torch.bincount(row, minlength=len(start))
    rank = torch.arange(len(row)) - (sizes.cumsum(0) - sizes)[row]
    is_kept = rank < count
    row, node, visits = row[is_kept], node[is_kept], visits[is_kept].float()
    total = torch.zeros(len(start)).index_add(0, row, visits)
    return row, node, visits / total[row]
