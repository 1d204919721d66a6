"""Graphs that come with dlrun: the four nodes of the notes, and Zachary's karate club."""

from typing import Literal

import torch

from dlrun.config.spec import DataSpec
from dlrun.data.graphs.graph import Graph, both_ways
from dlrun.data.graphs.parts import NodePart
from dlrun.engine.contracts import DataSet, Part


class Toy4(DataSet):
    """Four nodes and six directed edges, one of them a self-loop, on which the notes show message passing (GNN 3).

    The notes give two features a node and no class; here the class says whether a node stands at an end of the chain
    0 - 1 - 2 - 3 or in its middle. All four are to train on: there is no val and no test part.
    """

    kind: str = "graph"
    target: str = "node_class"
    source: str = "ships"
    has_val: bool = False

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="graph", target="node_class", level="node", in_features=2, num_edge_features=1, out_features=2,
            class_names=("end", "middle"),
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        x = torch.tensor([[1.0, 2.0], [2.0, 3.0], [8.0, 3.0], [2.0, 4.0]])
        edge_index = torch.tensor([[0, 0, 1, 2, 2, 3], [0, 1, 2, 1, 3, 2]])
        graph = Graph(x, edge_index, torch.ones(6))
        return {"train": NodePart(graph, torch.arange(4), torch.tensor([0, 1, 1, 0]))}


# The communities that modularity finds, as Kipf and Welling (2017) and torch_geometric have them.
COMMUNITIES = (1, 1, 1, 1, 3, 3, 3, 1, 0, 1, 3, 1, 1, 1, 0, 0, 3, 1, 0, 1, 0, 1, 0, 0, 2, 2, 0, 0, 2, 0, 0, 2, 0, 0)


class Karate(DataSet):
    """Who met whom in a karate club of 34 members, just before it broke apart (Zachary 1977).

    The class is the community, one of four, or with `labels` clubs the side that a member took. The first member of
    each community, or the two leaders, are to train on, all others are the test part; there is no val part. A node's
    features say only which node it is. `weighted` gives each edge the number of occasions on which the two met.
    """

    kind: str = "graph"
    target: str = "node_class"
    source: str = "ships"
    has_val: bool = False

    def __init__(self, *, labels: Literal["communities", "clubs"] = "communities", weighted: bool = False):
        """**Arguments:**

        - `labels`: what the class is.
        - `weighted`: whether an edge weighs the number of occasions on which the two members met, or 1.
        """
        self.labels, self.weighted = labels, weighted

    @property
    def spec(self) -> DataSpec:
        communities = tuple(f"community {number}" for number in range(1, 5))
        names = communities if self.labels == "communities" else ("Mr. Hi", "Officer")
        return DataSpec(
            kind="graph", target="node_class", level="node", in_features=34, num_edge_features=1,
            out_features=len(names), class_names=names,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        import networkx  # late: no other data need it

        club = networkx.karate_club_graph()
        edge_index = both_ways(torch.tensor(list(club.edges)).T)
        weights = [float(club.edges[edge]["weight"]) for edge in edge_index.T.tolist()]
        sides = [("Mr. Hi", "Officer").index(club.nodes[node]["club"]) for node in range(34)]
        target = torch.tensor(COMMUNITIES if self.labels == "communities" else sides)
        names = tuple(str(number) for number in range(1, 35))
        graph = Graph(torch.eye(34), edge_index, torch.tensor(weights) if self.weighted else torch.ones(156), names)
        is_known = torch.zeros(34, dtype=torch.bool)
        is_known[[0, 4, 8, 24] if self.labels == "communities" else [0, 33]] = True
        nodes = {"train": is_known.nonzero().flatten(), "test": (~is_known).nonzero().flatten()}
        return {part: NodePart(graph, seeds, target[seeds]) for part, seeds in nodes.items()}
