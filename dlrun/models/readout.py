"""From the vectors of the nodes to one vector a graph.

Vinyals et al., "Order matters: sequence to sequence for sets", 2016, for set2set.

Letters: N nodes of all graphs, H hidden features, G graphs. Graph g owns the nodes offsets[g] to offsets[g + 1] - 1.
"""

import torch
from torch import Tensor, nn


class Segments(nn.Module):
    """The sum, mean or max over the nodes of each graph, feature by feature."""

    def __init__(self, reduce: str, hidden_size: int):
        super().__init__()
        self.reduce, self.out_features = reduce, hidden_size

    def forward(self, h: Tensor, offsets: Tensor) -> Tensor:
        return torch.segment_reduce(h, self.reduce, offsets=offsets, axis=0)  # (N, H) -> (G, H)


class Set2Set(nn.Module):
    """An LSTM looks at the nodes `num_steps` times, each time attending to all of them: 2 H features."""

    def __init__(self, hidden_size: int, num_steps: int = 3):
        super().__init__()
        from torch_geometric.nn.aggr import Set2Set as Aggregation  # late: two seconds that most models do not need

        self.out_features = 2 * hidden_size
        self.aggregation = Aggregation(hidden_size, num_steps)

    def forward(self, h: Tensor, offsets: Tensor) -> Tensor:
        return self.aggregation(h, graph_index(offsets, len(h)), dim_size=len(offsets) - 1)  # (N, H) -> (G, 2 H)


def make(name: str, hidden_size: int) -> nn.Module:
    """The readout `name`; its `out_features` says how many features a graph then has."""
    return Set2Set(hidden_size) if name == "set2set" else Segments(name, hidden_size)


def graph_index(offsets: Tensor, num_nodes: int) -> Tensor:
    """The graph (N,) that each node belongs to."""
    graphs = torch.arange(len(offsets) - 1, device=offsets.device)
    return graphs.repeat_interleave(offsets.diff(), output_size=num_nodes)
