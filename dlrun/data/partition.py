"""Clusters of a graph's nodes, of about one size, that few edges leave.

Karypis and Kumar, "A fast and high quality multilevel scheme for partitioning irregular graphs", 1998 (METIS), or only
its first half: pairs of neighbours are joined until a cluster is full, and nothing is moved afterwards.

Letters: N nodes, G groups of nodes.
"""

import torch
from torch import Tensor

from dlrun.data.graph import Graph, both_ways


def partitioned(graph: Graph, num_clusters: int, method: str) -> Tensor:
    """The cluster (N,) of each node, by `method`: `metis`, `matching`, or `auto` for METIS where it is installed.

    **Raises:** `ValueError` if `method` is `metis` and pymetis is not there.
    """
    pairs = both_ways(graph.edge_index[:, graph.edge_index[0] != graph.edge_index[1]])
    if method != "matching":
        try:
            import pymetis  # type: ignore[import-not-found]
        except ImportError:
            if method == "metis":
                raise ValueError("partition: metis needs pymetis (pip install pymetis); or use matching") from None
        else:
            starts = torch.zeros(graph.num_nodes + 1, dtype=torch.int64)
            torch.cumsum(torch.bincount(pairs[0], minlength=graph.num_nodes), dim=0, out=starts[1:])
            _, cluster = pymetis.part_graph(num_clusters, xadj=starts.numpy(), adjncy=pairs[1].numpy())
            return torch.as_tensor(cluster)
    group = torch.arange(graph.num_nodes)
    generator = torch.Generator().manual_seed(0)
    while (joined := _join(group, pairs, graph.num_nodes / num_clusters, generator)) is not None:
        group = joined
    return _packed(group, num_clusters)


def _join(group: Tensor, pairs: Tensor, largest: float, generator: torch.Generator) -> Tensor | None:
    """`group` (N,) after every group has joined the one it is tied to most, if that is mutual; None if none can.

    How much two groups are tied is the number of edges between them for each pair of their nodes.
    """
    sizes = torch.bincount(group)
    count = len(sizes)
    first, second = group[pairs]
    key, weight = (first * count + second)[first != second].unique(return_counts=True)
    first, second = key // count, key % count
    fits = sizes[first] + sizes[second] <= largest
    if not fits.any():
        return None
    first, second, weight = first[fits], second[fits], weight[fits]
    # A little chance, the same from both sides: where all ties are equal, nothing would be mutual.
    chance = torch.rand(count, generator=generator, dtype=torch.float64)
    tie = weight / (sizes[first] * sizes[second]) * (1 + 1e-3 * (chance[first] + chance[second]))
    strongest = torch.zeros(count, dtype=torch.float64).scatter_reduce(0, first, tie, "amax")
    is_strongest = tie == strongest[first]
    itself = torch.arange(count)
    wish = itself.clone()
    wish[first[is_strongest]] = second[is_strongest]
    joined = torch.where(wish[wish] == itself, torch.minimum(wish, itself), itself)
    return joined[group].unique(return_inverse=True)[1]


def _packed(group: Tensor, num_clusters: int) -> Tensor:
    """Clusters (N,) of whole groups: the largest first, each cluster one in turn, there and back."""
    order = torch.bincount(group).argsort(descending=True, stable=True)
    turn, place = torch.arange(len(order)) // num_clusters, torch.arange(len(order)) % num_clusters
    cluster = torch.empty_like(order)
    cluster[order] = torch.where(turn % 2 == 0, place, num_clusters - 1 - place)
    return cluster[group]
