"""Clusters of a graph that few edges leave, several a batch.

Chiang et al., "Cluster-GCN: an efficient algorithm for training deep and large graph convolutional networks", 2019.

Departure: what a node receives is divided by its degree in the whole graph, not in the batch.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from dlrun.data.graph_parts import NodePart
from dlrun.data.loading import Batch, Loader, Prepare
from dlrun.data.partition import partitioned
from dlrun.data.samplers import CountingLoader, Numbering, gathered, induced
from dlrun.schema import PositiveInt


class Cluster:
    """`clusters_per_batch` of `num_clusters` clusters, drawn anew each epoch, are a batch with all edges between them.

    A batch asks for the train nodes in it; every one is asked for once an epoch, and a cluster without any is left out.
    `trainer.batch_size` does not count. Biased: a node all of whose neighbours are in the batch receives exactly what
    it should, another lacks what the cut edges would bring, and there is no scale that makes up for it.

    `partition`: `metis`, which needs pymetis; `matching`, which needs nothing, and cuts somewhat more edges; `auto`
    takes METIS where it is installed.
    """

    def __init__(
        self,
        *,
        num_clusters: PositiveInt = 20,
        clusters_per_batch: PositiveInt = 4,
        partition: Literal["auto", "metis", "matching"] = "auto",
    ):
        if clusters_per_batch > num_clusters:
            raise ValueError(f"clusters_per_batch: is {clusters_per_batch}, and there are {num_clusters} clusters")
        self.num_clusters, self.clusters_per_batch, self.partition = num_clusters, clusters_per_batch, partition

    def loader(self, part: NodePart, prepare: Prepare, device: torch.device, **options: Any) -> Loader:
        """Clusters with nodes of `part`."""
        cluster = partitioned(part.graph, min(self.num_clusters, part.graph.num_nodes), self.partition)
        return ClusterLoader(part, prepare, device, cluster=cluster, per_batch=self.clusters_per_batch, **options)


class ClusterLoader(CountingLoader):
    """`per_batch` of the clusters `cluster` (N,) of the graph's nodes a batch."""

    def __init__(
        self,
        part: NodePart,
        prepare: Prepare,
        device: torch.device,
        *,
        cluster: Tensor,
        per_batch: int,
        **options: Any,
    ):
        super().__init__(part, prepare, device, **options)
        self.cluster, self.per_batch = cluster, per_batch
        self.clusters = cluster[part.seeds].unique()
        self.num_batches = self.batches_of(len(self.clusters), per_batch)
        self.numbering = Numbering(part.graph.num_nodes)

    def order(self, epoch: int | None) -> Tensor:
        """The order of the clusters in `epoch`."""
        return self.clusters[self.order_of(len(self.clusters), epoch)]

    def batch(self, order: Tensor, epoch: int, batch: int) -> Batch:
        taken = order[batch * self.per_batch : (batch + 1) * self.per_batch]
        nodes = torch.isin(self.cluster, taken).nonzero().flatten()
        with self.numbering as numbering:
            numbering.append(nodes)
            target, place = induced(self.part.graph, numbering, nodes)
            sample = gathered(self.part.graph, numbering, target, place, torch.ones(len(place)))
        return self.sampled(sample, *self.asked(nodes))
