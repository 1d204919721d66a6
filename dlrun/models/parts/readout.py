"""From the vectors of the nodes to one vector a graph.

Vinyals et al., "Order matters: sequence to sequence for sets", 2016, for set2set.

Letters: N nodes of all graphs, H hidden features, G graphs. Graph g owns the nodes ptr[g] to ptr[g + 1] - 1.
"""

import torch
from torch import Tensor, nn


class Segments(nn.Module):
    """The sum, mean or max over the nodes of each graph, feature by feature."""

    def __init__(self, reduce: str):
        super().__init__()
        self.reduce = reduce

    def forward(self, h: Tensor, ptr: Tensor) -> Tensor:
        return torch.segment_reduce(h, self.reduce, offsets=ptr, axis=0)  # (N, H) -> (G, H)


class Set2Set(nn.Module):
    """An LSTM attends `num_steps` times to all nodes of a graph; its state and what it read are 2 H features."""

    def __init__(self, hidden_size: int, num_steps: int = 3):
        super().__init__()
        from torch_geometric.nn.aggr import Set2Set as Aggregation  # late: two seconds that most models do not need

        self.aggregation = Aggregation(hidden_size, num_steps)

    def forward(self, h: Tensor, ptr: Tensor) -> Tensor:
        return self.aggregation(h, graph_index(ptr, len(h)), dim_size=len(ptr) - 1)  # (N, H) -> (G, 2 H)


def make(name: str, hidden_size: int) -> tuple[nn.Module, int]:
    """The readout `name` of nodes with `hidden_size` features, and the number of features that a graph then has."""
    return (Set2Set(hidden_size), 2 * hidden_size) if name == "set2set" else (Segments(name), hidden_size)


def graph_index(ptr: Tensor, num_nodes: int) -> Tensor:
    """The graph (N,) that each node belongs to."""
    graphs = torch.arange(len(ptr) - 1, device=ptr.device)
    return graphs.repeat_interleave(ptr.diff(), output_size=num_nodes)
