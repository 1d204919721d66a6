"""Graphs that are made to hide a pattern: which one is it?"""

import random

import torch

from dlrun.config.schema import NonNegativeInt, PositiveInt, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.generated import Generated
from dlrun.data.graphs.graph import Graph, both_ways
from dlrun.data.graphs.parts import GraphsPart

Pairs = list[tuple[int, int]]
LARGEST_DEGREE = 7  # of a feature of its own; larger ones share it

# The nodes of each pattern, and its edges.
MOTIFS: dict[str, tuple[int, Pairs]] = {
    "star": (6, [(0, leaf) for leaf in range(1, 6)]),
    "clique": (5, [(i, j) for i in range(5) for j in range(i)]),
    "wheel": (6, [(0, rim) for rim in range(1, 6)] + [(1 + i, 1 + (i + 1) % 5) for i in range(5)]),
    "bipartite": (6, [(i, j) for i in range(3) for j in range(3, 6)]),
}


class Motifs(Generated):
    """Random graphs in each of which one pattern hides: a star, a clique, a wheel, or a complete bipartite graph.

    After Luo et al. 2020 (BA-2motifs). A ring of 12 to 24 nodes with random chords and leaves, and a pattern of five or
    six nodes that two edges tie to it. A node's features (N, 8) say how many neighbours it has, 0 to 7 or more. The
    four classes are equally likely, and neither the number of nodes nor that of edges gives them away.
    """

    kind: str = "graph"
    target: str = "graph_class"

    def __init__(
        self, *, num_train: PositiveInt = 800, num_val: NonNegativeInt = 200, num_test: NonNegativeInt = 400,
        seed: Seed = 0,
    ):  # fmt: skip
        """**Arguments:**

        - `num_train`, `num_val`, `num_test`: the number of graphs of each part; 0: there is no such part.
        - `seed`: from which the graphs are drawn.
        """
        super().__init__(num_train=num_train, num_val=num_val, num_test=num_test, seed=seed)

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="graph", target="graph_class", level="graph", in_features=LARGEST_DEGREE + 1, num_edge_features=1,
            out_features=len(MOTIFS), class_names=tuple(MOTIFS),
        )  # fmt: skip

    def generate(self, size: int, seed: int) -> GraphsPart:
        chance = random.Random(seed)
        drawn = [_graph(chance) for _ in range(size)]
        return GraphsPart.of([graph for graph, _ in drawn], torch.tensor([motif for _, motif in drawn]))


def _graph(chance: random.Random) -> tuple[Graph, int]:
    """A graph, and which pattern hides in it."""
    ring = chance.randint(12, 24)
    pairs = [(i, (i + 1) % ring) for i in range(ring)]
    chords = [(chance.randrange(ring), chance.randrange(ring)) for _ in range(chance.randint(0, ring // 2))]
    pairs += [(i, j) for i, j in chords if i != j]
    num_leaves = chance.randint(0, ring // 3)
    pairs += [(chance.randrange(ring), ring + leaf) for leaf in range(num_leaves)]
    motif = chance.randrange(len(MOTIFS))
    size, inner = list(MOTIFS.values())[motif]
    first = ring + num_leaves
    pairs += [(first + i, first + j) for i, j in inner]
    pairs += [(chance.randrange(ring), first + chance.randrange(size)) for _ in range(2)]
    num_nodes = first + size
    # No node is told by its number.
    order = chance.sample(range(num_nodes), num_nodes)
    edges = both_ways(torch.tensor([(order[i], order[j]) for i, j in pairs]).T)
    degree = torch.bincount(edges[0], minlength=num_nodes).clamp(max=LARGEST_DEGREE)
    x = torch.nn.functional.one_hot(degree, LARGEST_DEGREE + 1).float()
    return Graph(x, edges, torch.ones(edges.shape[1])), motif
