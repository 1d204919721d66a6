"""A class for each node of a graph, or for each of many graphs: softmax and cross-entropy, and pictures of graphs."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.data.graph import Graph
from dlrun.data.graph_parts import NodePart
from dlrun.data.spec import DataSpec
from dlrun.schema import ProperFraction
from dlrun.tasks.findings import Findings
from dlrun.tasks.multiclass import Multiclass

DRAWN_UP_TO = 200  # nodes
PLACED_UP_TO = 1000
SHOWN_GRAPHS = 9


class NodeClass(Multiclass):
    """Cross-entropy on logits (B, K) against the classes (B,) of the nodes that a batch asks for.

    `embedding` is how the picture of the nodes' vectors comes by its two axes; t-SNE takes seconds.
    """

    target: str = "node_class"
    watch: str = "accuracy"
    mode: str = "max"

    def __init__(
        self, spec: DataSpec, *, label_smoothing: ProperFraction = 0.0, embedding: Literal["pca", "tsne"] = "pca"
    ):
        super().__init__(spec, label_smoothing=label_smoothing)
        self.embedding = embedding

    def loss(self, output: Tensor, batch: Any) -> Tensor:
        """The mean cross-entropy, in which a node counts as much as the batch says."""
        if batch.weight is None:
            return super().loss(output, batch)
        smoothing = self.label_smoothing
        losses = F.cross_entropy(output.float(), batch.target, label_smoothing=smoothing, reduction="none")
        return (losses * batch.weight).mean()

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Those of classes; the graph with what was predicted; the nodes' vectors; attention where there is any."""
        from dlrun.plots import graphs

        figures, part = super().pictures(findings), findings.part
        assert isinstance(part, NodePart)
        graph = part.graph
        given = graph.inputs(next(iter(findings.batches())).inputs[0].device)
        with torch.inference_mode():
            guess = findings.model(*given, torch.arange(graph.num_nodes, device=given[0].device)).argmax(dim=1).cpu()
            hidden = findings.model.embed(*given)[part.seeds.to(given[0].device)].cpu()  # type: ignore[operator]
            attention = findings.model.attention(*given) if hasattr(findings.model, "attention") else None  # type: ignore[operator]
        nodes = _around(graph, int(part.seeds[graph.degrees()[part.seeds].argmax()]), DRAWN_UP_TO)
        wrong = torch.zeros(graph.num_nodes, dtype=torch.bool)
        wrong[part.seeds] = findings.outputs.argmax(dim=1) != findings.target
        names = None if graph.names is None else [graph.names[node] for node in nodes.tolist()]
        options: dict[str, Any] = {"wrong": wrong[nodes], "names": names}
        shown = "The graph" if len(nodes) == graph.num_nodes else f"{len(nodes)} of {graph.num_nodes} nodes"
        weight = graph.edge_weight if graph.edge_weight.ndim == 1 else torch.ones(graph.num_edges)
        figures["graph"] = graphs.drawing(
            *_inside(nodes, graph.edge_index, weight), guess[nodes], self.class_names,
            title=f"{shown}, coloured by the predicted class", directed=graph.is_directed(), **options,
        )  # fmt: skip
        if attention is not None:
            edges, share = _inside(nodes, attention[0].cpu(), attention[1].cpu())
            figures["attention"] = graphs.drawing(
                edges, share, guess[nodes], self.class_names, title=f"{shown}: where the attention goes",
                directed=True, weight_label="attention, of all that a node receives", **options,
            )  # fmt: skip
        figures["embedding"] = self._embedded(hidden, findings.target)
        return figures

    def _embedded(self, hidden: Tensor, target: Tensor) -> Any:
        from dlrun.plots import graphs

        hidden, target = hidden[:PLACED_UP_TO].float(), target[:PLACED_UP_TO]
        if self.embedding == "tsne" and len(hidden) > 2:
            from sklearn.manifold import TSNE

            perplexity = min(30.0, (len(hidden) - 1) / 3)
            points = TSNE(perplexity=perplexity, random_state=0).fit_transform(hidden.numpy())
            return graphs.embedding(points, target, self.class_names, method="t-SNE")
        centred = hidden - hidden.mean(dim=0)
        left, scale, _ = torch.linalg.svd(torch.nn.functional.pad(centred, (0, 2)), full_matrices=False)
        scale = torch.nn.functional.pad(scale, (0, 2))
        points = torch.nn.functional.pad(left, (0, 2))[:, :2] * scale[:2]
        shares = scale[:2] ** 2 / (scale**2).sum().clamp(min=1e-30)
        return graphs.embedding(points, target, self.class_names, method="principal component", shares=shares)


class GraphClass(Multiclass):
    """Cross-entropy on logits (B, K) against the classes (B,) of the graphs of a batch."""

    target: str = "graph_class"
    watch: str = "accuracy"
    mode: str = "max"

    def __init__(self, spec: DataSpec, *, label_smoothing: ProperFraction = 0.0):
        super().__init__(spec, label_smoothing=label_smoothing)

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Those of classes, and nine graphs with what was predicted, the wrong ones first."""
        from dlrun.plots import graphs

        figures = super().pictures(findings)
        guess = findings.outputs.argmax(dim=1)
        is_right = guess == findings.target
        shown = is_right.to(torch.uint8).argsort(stable=True)[:SHOWN_GRAPHS].tolist()
        drawn, titles = [], []
        for i in shown:
            x, edge_index, _ = findings.part.read(i)
            drawn.append((edge_index, len(x)))
            said, true = self.class_names[int(guess[i])], self.class_names[int(findings.target[i])]
            titles.append(said if is_right[i] else f"✗ {said}, true: {true}")
        figures["graphs"] = graphs.gallery(drawn, titles, is_right[shown].tolist())
        return figures


def _around(graph: Graph, start: int, limit: int) -> Tensor:
    """Nodes (up to `limit`): all, or those nearest to `start`, in the order of their numbers."""
    if graph.num_nodes <= limit:
        return torch.arange(graph.num_nodes)
    source, target = graph.edge_index
    taken = torch.zeros(graph.num_nodes, dtype=torch.bool)
    taken[start] = True
    while True:
        reached = torch.cat([target[taken[source]], source[taken[target]]]).unique()
        fresh = reached[~taken[reached]][: limit - int(taken.sum())]
        if len(fresh) == 0:
            return taken.nonzero().flatten()
        taken[fresh] = True


def _inside(nodes: Tensor, edge_index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The edges between `nodes`, which are then numbered from 0, and their weights."""
    number = torch.full((int(max(nodes.max(), edge_index.max() if edge_index.numel() else 0)) + 1,), -1)
    number[nodes] = torch.arange(len(nodes))
    edges = number[edge_index]
    kept = (edges >= 0).all(dim=0)
    return edges[:, kept], weight[kept]
