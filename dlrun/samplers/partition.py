"""Clusters of a graph's nodes, of about one size, that few edges leave.

Karypis and Kumar, "A fast and high quality multilevel scheme for partitioning irregular graphs", 1998 (METIS), or only
its first half: pairs of neighbours are joined until a cluster is full, and nothing is moved afterwards.

Letters: N nodes, G groups of nodes.
"""

import torch
from torch import Tensor

from dlrun.data.graphs.graph import Graph, both_ways
from dlrun.errors import UserError


def partitioned(graph: Graph, num_clusters: int, method: str) -> Tensor:
    """The cluster (N,) of each node, by `method`: `metis`, `matching`, or `auto` for METIS where it is installed.

    **Raises:** `UserError` if `method` is `metis` and pymetis is not there.
    """
    pairs = both_ways(graph.edge_index[:, graph.edge_index[0] != graph.edge_index[1]])
    if method != "matching":
        try:
            import pymetis  # type: ignore[import-not-found]
        except ImportError:
            if method == "metis":
                raise UserError(
                    "sampler.partition: metis needs pymetis, which is not installed; pip install pymetis, or use "
                    "sampler.partition=matching"
                ) from None
        else:
            starts = torch.zeros(graph.num_nodes + 1, dtype=torch.int64)
            torch.cumsum(torch.bincount(pairs[0], minlength=graph.num_nodes), dim=0, out=starts[1:])
            _, cluster = pymetis.part_graph(num_clusters, xadj=starts.numpy(), adjncy=pairs[1].numpy())
            return torch.as_tensor(cluster)
    return _packed(_joined(pairs, graph.num_nodes, graph.num_nodes / num_clusters), num_clusters)


def _joined(pairs: Tensor, num_nodes: int, largest: float) -> Tensor:
    """Groups (N,) of at most `largest` nodes: round by round any two join that are tied to each other most.

    How much two groups are tied is the number of edges between them for each pair of their nodes, and a little chance.
    """
    generator = torch.Generator().manual_seed(0)
    group, (first, second) = torch.arange(num_nodes), pairs[:, pairs[0] < pairs[1]]
    weight = torch.ones(len(first), dtype=torch.float64)
    while True:
        sizes = torch.bincount(group)
        count = len(sizes)
        # Groups that are too large for each other now will be so for good.
        is_open = (first != second) & (sizes[first] + sizes[second] <= largest)
        if not is_open.any():
            return group
        low, high = torch.minimum(first, second), torch.maximum(first, second)
        key, pair = (low * count + high)[is_open].unique(return_inverse=True)
        first, second = key // count, key % count
        weight = torch.zeros(len(key), dtype=torch.float64).index_add(0, pair, weight[is_open])
        chance = torch.rand(len(key), generator=generator, dtype=torch.float64)
        tie = weight / (sizes[first] * sizes[second]) * (1 + 0.3 * chance)
        strongest = torch.zeros(count, dtype=torch.float64)
        strongest = strongest.scatter_reduce(0, first, tie, "amax").scatter_reduce(0, second, tie, "amax")
        is_mutual = (tie == strongest[first]) & (tie == strongest[second])
        joined = torch.arange(count).index_put((second[is_mutual],), first[is_mutual])
        new = joined.unique(return_inverse=True)[1]
        group, first, second = new[group], new[first], new[second]


def _packed(group: Tensor, num_clusters: int) -> Tensor:
    """Clusters (N,) of whole groups: the largest first, each cluster one in turn, there and back."""
    order = torch.bincount(group).argsort(descending=True, stable=True)
    turn, slot = torch.arange(len(order)) // num_clusters, torch.arange(len(order)) % num_clusters
    cluster = torch.empty_like(order)
    cluster[order] = torch.where(turn % 2 == 0, slot, num_clusters - 1 - slot)
    return cluster[group]
