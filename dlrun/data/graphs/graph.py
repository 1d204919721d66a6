"""One graph in memory, what can be said of it, and what is wrong with it."""

import functools
import warnings
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dlrun.errors import UserError

# Said once a process, of an interface that has not changed since 2021.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")

PRINTED_UP_TO = 12  # nodes of an adjacency matrix


@dataclass
class Incoming:
    """Who sends to each node, in compressed rows, self-loops apart.

    **Fields:**

    - `starts` (N + 1,): the edges to node i are the entries `starts[i]` to `starts[i + 1] - 1` of `source` and `edge`.
    - `source`, `edge`: of each entry the node that sends, and which edge of the graph it is.
    - `loops` (L,): the edges that lead from a node to itself, sorted by the node, `owner` (L,).
    """

    starts: Tensor
    source: Tensor
    edge: Tensor
    loops: Tensor
    owner: Tensor

    @property
    def counts(self) -> Tensor:
        """(N,): how many others send to each node."""
        return self.starts.diff()


@dataclass
class Graph:
    """N nodes and E directed edges; an undirected edge is there twice.

    **Fields:**

    - `x`: features (N, F), dense or of layout CSR.
    - `edge_index` (2, E): edge e leads from node `edge_index[0, e]` to node `edge_index[1, e]`.
    - `edge_weight`: weights (E,), 1 where there are none, or features (E, D).
    - `names`: one name a node, for pictures.
    """

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor
    names: tuple[str, ...] | None = None
    _on: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict, repr=False)

    @property
    def num_nodes(self) -> int:
        return self.x.shape[0]

    @property
    def num_edges(self) -> int:
        return self.edge_index.shape[1]

    def inputs(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """(x, edge_index, edge_weight) on `device`: the same three tensors at each call, so that a model can tell."""
        if device not in self._on:
            self._on[device] = (self.x.to(device), self.edge_index.to(device), self.edge_weight.to(device))
        return self._on[device]

    def nbytes(self) -> int:
        """Bytes of features and edges."""
        values = self.x.values() if self.x.layout == torch.sparse_csr else self.x
        return values.nbytes + self.edge_index.nbytes + self.edge_weight.nbytes

    def degrees(self) -> Tensor:
        """The number (N,) of edges that arrive at each node."""
        return torch.bincount(self.edge_index[1], minlength=self.num_nodes)

    @functools.cached_property
    def incoming(self) -> Incoming:
        """The edges sorted by the node that receives."""
        source, target = self.edge_index
        edge = (source != target).nonzero().flatten()
        edge = edge[target[edge].argsort(stable=True)]
        starts = torch.zeros(self.num_nodes + 1, dtype=torch.int64)
        torch.cumsum(torch.bincount(target[edge], minlength=self.num_nodes), dim=0, out=starts[1:])
        loops = (source == target).nonzero().flatten()
        owner, order = source[loops].sort(stable=True)
        return Incoming(starts, source[edge], edge, loops[order], owner)

    def is_directed(self) -> bool:
        """Whether an edge is there that has no counterpart."""
        keys = self.edge_index[0] * self.num_nodes + self.edge_index[1]
        mirrored = self.edge_index[1] * self.num_nodes + self.edge_index[0]
        return not torch.equal(keys.unique(), mirrored.unique())

    @property
    def plain_weight(self) -> Tensor:
        """One number an edge (E,): its weight, or 1 where it has several."""
        return self.edge_weight if self.edge_weight.ndim == 1 else torch.ones(self.num_edges)

    def names_of(self, nodes: Tensor) -> list[str]:
        """What a picture writes at nodes: their names, or else their numbers."""
        return [str(node) if self.names is None else self.names[node] for node in nodes.tolist()]

    def around(self, start: int, limit: int) -> Tensor:
        """Nodes (up to `limit`): all, or those nearest to `start`, in the order of their numbers."""
        if self.num_nodes <= limit:
            return torch.arange(self.num_nodes)
        source, target = self.edge_index
        taken = torch.zeros(self.num_nodes, dtype=torch.bool)
        taken[start] = True
        while True:
            reached = torch.cat([target[taken[source]], source[taken[target]]]).unique()
            fresh = reached[~taken[reached]][: limit - int(taken.sum())]
            if len(fresh) == 0:
                return taken.nonzero().flatten()
            taken[fresh] = True

    def within(self, start: int, num_hops: int) -> Tensor:
        """Nodes that are at most `num_hops` edges away from `start`, in the order of their numbers."""
        source, target = self.edge_index
        taken = torch.zeros(self.num_nodes, dtype=torch.bool)
        taken[start] = True
        for _ in range(num_hops):
            reached = torch.cat([target[taken[source]], source[taken[target]]])
            taken[reached] = True
        return taken.nonzero().flatten()

    def inside(self, nodes: Tensor, edge_index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Of edges (2, E) with weights (E,) those between `nodes`, which are then numbered from 0."""
        number = torch.full((self.num_nodes,), -1)
        number[nodes] = torch.arange(len(nodes))
        edges = number[edge_index]
        kept = (edges >= 0).all(dim=0)
        return edges[:, kept], weight[kept]


def check(graph: Graph, where: str) -> Graph:
    """`graph`, if a model can learn from it.

    **Raises:** `UserError` for a graph without nodes, an end of an edge that is no node, a value that is no number.
    """
    if graph.num_nodes == 0:
        raise UserError(f"{where}: the graph is empty; a graph needs at least one node")
    if graph.num_edges and not 0 <= int(graph.edge_index.min()) <= int(graph.edge_index.max()) < graph.num_nodes:
        bad = torch.nonzero(((graph.edge_index < 0) | (graph.edge_index >= graph.num_nodes)).any(dim=0))[0].item()
        ends = " to ".join(map(str, graph.edge_index[:, int(bad)].tolist()))
        raise UserError(f"{where}: edge {bad} leads from {ends}, the nodes are 0 to {graph.num_nodes - 1}")
    values = graph.x.values() if graph.x.layout == torch.sparse_csr else graph.x
    for name, tensor in (("features", values), ("edge weights", graph.edge_weight)):
        if not tensor.isfinite().all():
            raise UserError(f"{where}: the {name} hold values that are not finite numbers (nan or infinite)")
    return graph


def sparse_features(row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    """Features of layout CSR from entries (nnz,) in any order.

    **Raises:** `RuntimeError` for an entry outside of `shape`: a product would read memory that is not its own.
    """
    positions = torch.stack([row.long(), column.long()])
    return torch.sparse_coo_tensor(positions, value, shape, check_invariants=True).coalesce().to_sparse_csr()


def members(sizes: Tensor, index: Tensor) -> Tensor:
    """The positions of what the segments `index` hold, where segment s has `sizes[s]` members; all on the host."""
    starts = sizes.cumsum(0) - sizes
    taken = sizes[index]
    before = taken.cumsum(0) - taken
    first = (starts[index] - before).repeat_interleave(taken)
    return first + torch.arange(len(first))


def rows(x: Tensor, index: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The rows `index` (M,), which is on the host, of features (N, F), in the layout that they have.

    `lengths` (N,) are the numbers of entries of the rows of a CSR tensor, on the host; None: asked for.
    """
    if x.layout != torch.sparse_csr:
        return x.index_select(0, index.to(x.device, non_blocking=True))
    lengths = x.crow_indices().diff().cpu() if lengths is None else lengths
    entries = members(lengths, index).to(x.device, non_blocking=True)
    starts = torch.zeros(len(index) + 1, dtype=torch.int64)
    torch.cumsum(lengths[index], dim=0, out=starts[1:])
    starts = starts.to(x.device, non_blocking=True)
    shape = (len(index), x.shape[1])
    return torch.sparse_csr_tensor(starts, x.col_indices()[entries], x.values()[entries], shape, check_invariants=False)


def both_ways(edges: Tensor) -> Tensor:
    """Undirected edges (2, E) as directed ones: each once in either direction, a self-loop once, sorted."""
    num_nodes = int(edges.max()) + 1 if edges.numel() else 1
    keys = torch.cat([edges[0] * num_nodes + edges[1], edges[1] * num_nodes + edges[0]]).unique()
    return torch.stack([keys // num_nodes, keys % num_nodes])


def describe(graph: Graph, target: Tensor | None = None) -> list[str]:
    """Lines for `dlrun show`; `target` (N,) holds the class of each node, -1 where it is not known."""
    (source, to), degrees = graph.edge_index, graph.degrees().float()
    loops = int((source == to).sum())
    kind = "directed" if graph.is_directed() else f"undirected ({(graph.num_edges + loops) // 2:,} pairs)"
    lines = [
        f"{graph.num_nodes:,} nodes, {graph.num_edges:,} edges, {kind}, {loops} self-loops, "
        f"{int((degrees == 0).sum())} nodes without an edge that arrives",
        f"degree: smallest {int(degrees.min())}, mean {degrees.mean():.2f}, largest {int(degrees.max())}",
    ]
    weights = graph.edge_weight
    if weights.ndim == 1 and weights.numel() and not bool((weights == 1).all()):
        lines.append(f"edge weights: {weights.min():g} to {weights.max():g}, mean {weights.mean():.4g}")
    if target is not None:
        known = (target[source] >= 0) & (target[to] >= 0) & (source != to)
        if known.any():
            share = (target[source] == target[to])[known].float().mean()
            lines.append(f"homophily: {share:.1%} of the edges join nodes of one class")
    if graph.num_nodes <= PRINTED_UP_TO:
        lines.append("adjacency (row: from, column: to):")
        matrix = torch.zeros(graph.num_nodes, graph.num_nodes)
        matrix.index_put_((source, to), torch.ones(graph.num_edges) if weights.ndim > 1 else weights, accumulate=True)
        lines += [f"  {' '.join(f'{value:g}' for value in row)}" for row in matrix.tolist()]
    return lines
