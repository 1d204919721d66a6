"""Clusters of a graph that few edges leave, several a batch.

Chiang et al., "Cluster-GCN: an efficient algorithm for training deep and large graph convolutional networks", 2019.

Departure: what a node receives is divided by its degree in the whole graph, not in the batch.
"""

from typing import Literal

import torch
from torch import Tensor

from dlrun.config.schema import PositiveInt
from dlrun.data.graphs.parts import NodePart
from dlrun.engine.contracts import LoaderOptions
from dlrun.samplers.partition import partitioned
from dlrun.samplers.sampling import (
    CountingLoader,
    Drawn,
    GraphSampler,
    Numbering,
    SampleLoader,
    gathered,
    induced,
    order_of,
)


class Cluster(GraphSampler):
    """`clusters_per_batch` of `num_clusters` clusters, drawn anew each epoch, are a batch with all edges between them.

    A batch asks for the train nodes in it; every one is asked for once an epoch, and a cluster without any is left out.
    `trainer.batch_size` does not count. Biased: a node all of whose neighbours are in the batch receives exactly what
    it should, another lacks what the cut edges would bring, and there is no scale that makes up for it.

    `partition`: `metis`, which needs pymetis; `matching`, which needs nothing, and cuts somewhat more edges; `auto`
    takes METIS where it is installed.
    """

    def __init__(
        self, *, num_clusters: PositiveInt = 20, clusters_per_batch: PositiveInt = 4,
        partition: Literal["auto", "metis", "matching"] = "auto",
    ):  # fmt: skip
        """**Arguments:**

        - `num_clusters`: into how many clusters the graph is cut; at most one a node.
        - `clusters_per_batch`: how many of them are a batch, at most all.
        - `partition`: how the graph is cut.
        """
        if clusters_per_batch > num_clusters:
            raise ValueError(f"clusters_per_batch: is {clusters_per_batch}, and there are {num_clusters} clusters")
        self.num_clusters, self.clusters_per_batch, self.partition = num_clusters, clusters_per_batch, partition

    def of_graph(self, part: NodePart, options: LoaderOptions) -> SampleLoader:
        """Clusters with nodes of `part`."""
        cluster = partitioned(part.graph, min(self.num_clusters, part.graph.num_nodes), self.partition)
        return ClusterLoader(part, options, cluster, self.clusters_per_batch)


class ClusterLoader(CountingLoader):
    """`per_batch` of the clusters `cluster` (N,) of the graph's nodes a batch."""

    def __init__(self, part: NodePart, options: LoaderOptions, cluster: Tensor, per_batch: int):
        self.cluster, self.clusters = cluster, cluster[part.seeds].unique()
        super().__init__(part, options, order_of(len(self.clusters), per_batch, options))
        self.numbering = Numbering(part.graph.num_nodes)

    def sampled(self, asked: Tensor, epoch: int, batch: int) -> Drawn:
        nodes = torch.isin(self.cluster, self.clusters[asked]).nonzero().flatten()
        with self.numbering as numbering:
            numbering.append(nodes)
            target, entry = induced(self.nodes.graph, numbering, nodes)
            sample = gathered(self.nodes.graph, numbering, target, entry, torch.ones(len(entry)))
        return sample, *self.found(nodes), None
