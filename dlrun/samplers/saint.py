"""Subgraphs around drawn nodes, edges or walks, whose probabilities are estimated beforehand.

Zeng et al., "GraphSAINT: graph sampling based inductive learning method", 2020.
"""

from typing import Literal

import torch
from torch import Tensor

from dlrun.config.schema import NonNegativeInt, PositiveInt
from dlrun.data.graphs.parts import NodePart
from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.order import Sequential
from dlrun.errors import UserError
from dlrun.samplers.layer import column_norms
from dlrun.samplers.pinsage import walk
from dlrun.samplers.sampling import (
    BEFORE,
    CountingLoader,
    Drawn,
    GraphSampler,
    Numbering,
    SampleLoader,
    by_weight,
    gathered,
    induced,
)

ATTEMPTS = 100


class Saint(GraphSampler):
    """`num_batches` times an epoch the nodes that were drawn, and all edges between them.

    `method`: `node`, with `size` nodes by the squared norm of their column of the normalised adjacency; `edge`, with
    both ends of `size` edges, likelier between nodes of small degree; `walk`, with the nodes of `size` random walks of
    `walk_length` steps. All with replacement. `trainer.batch_size` does not count.

    So many subgraphs are drawn before training that each node is seen `coverage` times on average. From how often a
    node and an edge were there, what an edge carries and what a node counts in the loss are scaled: both are unbiased
    up to the error of that estimate. A batch asks for the train nodes in it, of which an epoch may see some twice and
    others not at all; a draw without any is repeated.

    **Raises:** `UserError` if 100 draws in a row had none, or if edges are to be drawn where there are none.
    """

    def __init__(
        self, *, method: Literal["node", "edge", "walk"] = "walk", size: PositiveInt = 300,
        walk_length: NonNegativeInt = 2, num_batches: PositiveInt = 5, coverage: PositiveInt = 50,
    ):  # fmt: skip
        """**Arguments:**

        - `method`: what is drawn.
        - `size`: how many nodes, edges or walks are drawn for a subgraph.
        - `walk_length`: the number of steps of a walk; of `method=walk` alone.
        - `num_batches`: the number of subgraphs of an epoch, each a batch.
        - `coverage`: how often each node is seen, on average, in the subgraphs from which the probabilities are
          estimated.
        """
        self.method, self.size, self.walk_length = method, size, walk_length
        self.num_batches, self.coverage = num_batches, coverage

    def of_graph(self, part: NodePart, options: LoaderOptions) -> SampleLoader:
        """Subgraphs with nodes of `part`, after as many as the estimate takes."""
        return SaintLoader(part, options, self)


class SaintLoader(CountingLoader):
    """The subgraphs of `sampler`; `node_counts` (N,) and `edge_counts` say how often each was there of `num_drawn`."""

    def __init__(self, part: NodePart, options: LoaderOptions, sampler: Saint):
        super().__init__(part, options, Sequential(sampler.num_batches, 1, limit=options.limit))
        self.sampler, self.numbering = sampler, Numbering(part.graph.num_nodes)
        self.cumulative = self._chances().cumsum(0)
        self.node_counts = torch.zeros(part.graph.num_nodes)
        self.edge_counts = torch.zeros(len(part.graph.incoming.edge))
        seen, self.num_drawn = 0, 0
        while seen < sampler.coverage * part.graph.num_nodes:
            nodes = self._nodes(self.generator(BEFORE, self.num_drawn))
            with self.numbering as numbering:
                numbering.append(nodes)
                _, entry = induced(part.graph, numbering, nodes)
            self.node_counts[nodes] += 1
            self.edge_counts[entry] += 1
            self.num_drawn += 1
            seen += len(nodes)

    def sampled(self, asked: Tensor, epoch: int, batch: int) -> Drawn:
        graph, nodes = self.nodes.graph, self._nodes(self.generator(epoch, batch))
        with self.numbering as numbering:
            numbering.append(nodes)
            target, entry = induced(graph, numbering, nodes)
            # How often the edge was there of the times that its node was; what was never seen counts as seen once.
            scale = self.node_counts[nodes[target]].clamp(min=1) / self.edge_counts[entry].clamp(min=1)
            sample = gathered(graph, numbering, target, entry, scale)
        seeds, index = self.found(nodes)
        share = self.node_counts[nodes[seeds]].clamp(min=1) / self.num_drawn
        return sample, seeds, index, len(index) / (share * len(self.nodes))

    def _chances(self) -> Tensor:
        """How likely each node, or edge, is; the walks start anywhere."""
        graph = self.nodes.graph
        counts = graph.incoming.counts.double()
        if self.sampler.method == "node":
            # With the self-loop of the paper's matrix, so that every node may be drawn.
            return column_norms(graph) + (counts + 1) ** -2
        if self.sampler.method == "walk":
            return torch.ones_like(counts)
        target = torch.arange(graph.num_nodes).repeat_interleave(graph.incoming.counts)
        if not len(target):
            raise UserError("sampler.method: edge draws edges, and the graph has none; use sampler.method=node")
        # The source of a directed edge may itself receive nothing.
        return 1 / counts[target] + 1 / counts[graph.incoming.source].clamp(min=1)

    def _nodes(self, generator: torch.Generator) -> Tensor:
        """The nodes of one subgraph, rising, at least one of the part among them."""
        incoming, sampler = self.nodes.graph.incoming, self.sampler
        for _ in range(ATTEMPTS):
            drawn = by_weight(self.cumulative, sampler.size, generator)
            if sampler.method == "edge":
                target = torch.searchsorted(incoming.starts, drawn, right=True) - 1
                drawn = torch.cat([incoming.source[drawn], target])
            elif sampler.method == "walk" and sampler.walk_length:
                drawn = torch.cat([drawn, walk(incoming, drawn, sampler.walk_length, generator).flatten()])
            nodes = drawn.unique()
            if (self.position[nodes] >= 0).any():
                return nodes
        raise UserError(
            f"sampler.size: none of {ATTEMPTS} subgraphs of size {sampler.size} had one of the {len(self.nodes)} train "
            "nodes; use a larger one"
        )
