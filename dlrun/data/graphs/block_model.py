"""A graph that is made: groups of nodes that are joined more often within than across."""

import torch

from dlrun.config.schema import NonNegativeFloat, PositiveFloat, PositiveInt, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.graphs.graph import Graph, both_ways
from dlrun.data.graphs.parts import NodePart
from dlrun.data.splits import split_off
from dlrun.engine.contracts import DataSet, Part


class BlockModel(DataSet):
    """A stochastic block model with features (Holland, Laskey and Leinhardt 1983; Deshpande et al. 2018).

    `num_nodes` nodes in `num_classes` groups of one size. A node has about `degree` neighbours, the share `homophily`
    of them in its own group (1 / num_classes: the edges say nothing). Its features are drawn around the centre of its
    group, `signal` away from 0 in units of the noise; alone they tell little, with the neighbours' they tell much.

    **Raises:** `ValueError` if a group would have less than two nodes.
    """

    kind: str = "graph"
    target: str = "node_class"
    source: str = "made"

    def __init__(
        self, *, num_nodes: PositiveInt = 600, num_classes: PositiveInt = 4, in_features: PositiveInt = 16,
        degree: PositiveFloat = 8.0, homophily: ProperFraction = 0.8, signal: NonNegativeFloat = 1.0,
        val_fraction: ProperFraction = 0.2, test_fraction: ProperFraction = 0.5, seed: Seed = 0,
    ):  # fmt: skip
        """**Arguments:**

        - `num_nodes`: N.
        - `num_classes`: the number of groups.
        - `in_features`: F of the features (N, F).
        - `degree`: the number of neighbours of a node, on average.
        - `homophily`: the share of its neighbours that are in a node's own group.
        - `signal`: the distance of a group's centre from 0, in standard deviations of the noise.
        - `val_fraction`, `test_fraction`: the shares of the nodes that become the val and the test part.
        - `seed`: draws edges and features, and chooses the nodes of each part.
        """
        if num_nodes < 2 * num_classes:
            raise ValueError(f"{num_nodes} nodes are too few for {num_classes} groups of two at least")
        self.num_nodes, self.num_classes, self.in_features = num_nodes, num_classes, in_features
        self.degree, self.homophily, self.signal, self.seed = degree, homophily, signal, seed
        self.val_fraction, self.test_fraction = val_fraction, test_fraction

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="graph", target="node_class", level="node", in_features=self.in_features, num_edge_features=1,
            out_features=self.num_classes,
            class_names=tuple(f"group {number}" for number in range(1, self.num_classes + 1)),
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        generator = torch.Generator().manual_seed(self.seed)
        target = torch.arange(self.num_nodes) % self.num_classes
        edges = self._edges(target, generator)
        centres = torch.randn(self.num_classes, self.in_features, generator=generator)
        centres *= self.signal / centres.norm(dim=1, keepdim=True)
        x = centres[target] + torch.randn(self.num_nodes, self.in_features, generator=generator)
        whole = NodePart(Graph(x, edges, torch.ones(edges.shape[1])), torch.arange(self.num_nodes), target)
        return split_off(whole, val_fraction=self.val_fraction, test_fraction=self.test_fraction, seed=self.seed)

    def _edges(self, target: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Pairs drawn one by one, so that a million edges take a second and no matrix of all pairs."""
        count = round(self.num_nodes * self.degree / 2)
        source = torch.randint(self.num_nodes, (count,), generator=generator)
        # A node of the same group: the groups are the classes of the remainder.
        sizes = torch.bincount(target)
        inside = (torch.rand(count, generator=generator) * sizes[target[source]]).long() * self.num_classes
        inside += target[source]
        other = (target[source] + 1 + torch.randint(max(1, self.num_classes - 1), (count,), generator=generator)) % (
            self.num_classes
        )
        outside = (torch.rand(count, generator=generator) * sizes[other]).long() * self.num_classes + other
        is_inside = torch.rand(count, generator=generator) < self.homophily
        pairs = torch.stack([source, torch.where(is_inside, inside, outside)])
        return both_ways(pairs[:, pairs[0] != pairs[1]])
