"""A class for each node of a graph, or for each of many graphs: softmax and cross-entropy, and pictures of graphs."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import ProperFraction
from dlrun.config.spec import DataSpec
from dlrun.data.graphs.graph import Graph
from dlrun.data.graphs.parts import GraphsPart, NodePart
from dlrun.engine.contracts import Batch, Findings
from dlrun.tasks.multiclass import Multiclass

DRAWN_UP_TO = 60  # nodes of a graph that is drawn whole
AROUND_UP_TO = 30  # nodes of a neighbourhood that is drawn in place of a larger one
NUM_HOPS = 2
TRIED_UP_TO = 300  # nodes whose neighbourhoods are looked at
PLACED_UP_TO = 1000
SHOWN_GRAPHS = 9


class NodeClass(Multiclass):
    """Cross-entropy on logits (B, K) against the classes (B,) of the nodes that a batch asks for.

    `embedding` is how the picture of the nodes' vectors comes by its two axes; t-SNE takes seconds.
    """

    learns: str = "node_class"
    is_default: bool = True

    def __init__(
        self, spec: DataSpec, *, label_smoothing: ProperFraction = 0.0, embedding: Literal["pca", "tsne"] = "pca"
    ):
        super().__init__(spec, label_smoothing=label_smoothing)
        self.embedding = embedding

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The mean cross-entropy, in which a node counts as much as the batch says."""
        if batch.weight is None:
            return super().losses(output, batch)
        smoothing = self.label_smoothing
        each = F.cross_entropy(output.float(), batch.target, label_smoothing=smoothing, reduction="none")
        return {"loss": (each * batch.weight).mean()}

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Those of classes; the graph with what was predicted; the nodes' vectors; attention where there is any."""
        from dlrun.plots import graphs

        figures, part = super().pictures(findings), findings.part
        assert isinstance(part, NodePart)
        graph, model = part.graph, findings.model
        x, edge_index, edge_weight = graph.inputs(findings.loader.device)
        everywhere = torch.arange(graph.num_nodes, device=x.device)
        ptr = everywhere.new_tensor([0, graph.num_nodes])
        with torch.inference_mode():
            guess = model(x, edge_index, edge_weight, everywhere, ptr).argmax(dim=1).cpu()
            hidden = _shown(model, "embed", x, edge_index, edge_weight)
            attention = _shown(model, "attention", x, edge_index, edge_weight)
        wrong = torch.zeros(graph.num_nodes, dtype=torch.bool)
        wrong[part.seeds] = findings.outputs.argmax(dim=1) != findings.target
        shown, nodes = readable(graph, part.seeds)
        options: dict[str, Any] = {"wrong": wrong[nodes], "names": graph.names_of(nodes)}
        figures["graph"] = graphs.drawing(
            *graph.inside(nodes, graph.edge_index, graph.plain_weight), guess[nodes], self.class_names,
            title=f"{shown}:\ncoloured by the predicted class", directed=graph.is_directed(), **options,
        )  # fmt: skip
        if attention is not None:
            index, share = (tensor.cpu() for tensor in attention)
            figures["attention"] = graphs.drawing(
                *graph.inside(nodes, index, share), guess[nodes], self.class_names,
                title=f"{shown}:\nwhere the attention goes", directed=True,
                weight_label="attention, of all that a node receives", **options,
            )  # fmt: skip
        if hidden is not None:
            figures["embedding"] = self._embedded(hidden[part.seeds.to(x.device)].cpu(), findings.target)
        return figures

    def _embedded(self, hidden: Tensor, target: Tensor) -> Any:
        from dlrun.plots import graphs

        hidden, target = hidden[:PLACED_UP_TO].float(), target[:PLACED_UP_TO]
        if self.embedding == "tsne" and len(hidden) > 2:
            from sklearn.manifold import TSNE

            perplexity = min(30.0, (len(hidden) - 1) / 3)
            points = TSNE(perplexity=perplexity, random_state=0).fit_transform(hidden.numpy())
            return graphs.embedding(points, target, self.class_names, method="t-SNE")
        points, shares = plane(hidden)
        return graphs.embedding(points, target, self.class_names, method="principal component", shares=shares)


class GraphClass(Multiclass):
    """Cross-entropy on logits (B, K) against the classes (B,) of the graphs of a batch."""

    learns: str = "graph_class"
    is_default: bool = True

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Those of classes, and nine graphs with what was predicted, the wrong ones first."""
        from dlrun.plots import graphs

        figures, part = super().pictures(findings), findings.part
        assert isinstance(part, GraphsPart)
        guess = findings.outputs.argmax(dim=1)
        is_right = guess == findings.target
        shown = is_right.to(torch.uint8).argsort(stable=True)[:SHOWN_GRAPHS].tolist()
        drawn, titles = [], []
        for i in shown:
            graph = part.graph(i)
            drawn.append((graph.edge_index, graph.num_nodes))
            said, true = self.class_names[int(guess[i])], self.class_names[int(findings.target[i])]
            titles.append(said if is_right[i] else f"✗ {said}, true: {true}")
        figures["graphs"] = graphs.gallery(
            drawn, titles, is_right[shown].tolist(), "Graphs: what was predicted, and what is true where that was wrong"
        )
        return figures


def plane(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """(Vectors (N, E) by their two principal components (N, 2), the share of the variance of each)."""
    centred = nn.functional.pad((vectors - vectors.mean(dim=0)).float(), (0, 2))
    left, scale, _ = torch.linalg.svd(centred, full_matrices=False)
    left, scale = nn.functional.pad(left, (0, 2)), nn.functional.pad(scale, (0, 2))
    return left[:, :2] * scale[:2], scale[:2] ** 2 / (scale**2).sum().clamp(min=1e-30)


def readable(graph: Graph, seeds: Tensor) -> tuple[str, Tensor]:
    """(What they are, nodes that a drawing has room for): all, or a neighbourhood, the largest that fits."""
    if graph.num_nodes <= DRAWN_UP_TO:
        return "The graph", torch.arange(graph.num_nodes)
    fitting = {}
    for seed in seeds[:TRIED_UP_TO].tolist():
        nodes = graph.within(seed, NUM_HOPS)
        if len(nodes) <= AROUND_UP_TO:
            fitting[seed] = nodes
    if not fitting:
        seed = int(seeds[graph.degrees()[seeds].argmin()])
        nodes = graph.around(seed, AROUND_UP_TO)
        return f"{len(nodes)} of {graph.num_nodes} nodes, near {_name(graph, seed)}", nodes
    seed = max(fitting, key=lambda seed: len(fitting[seed]))
    others = len(fitting[seed]) - 1
    title = f"{_name(graph, seed)} and the {others} of {graph.num_nodes} nodes up to {NUM_HOPS} edges away"
    return title, fitting[seed]


def _name(graph: Graph, node: int) -> str:
    return f"node {node}" if graph.names is None else graph.names[node]


def _shown(model: nn.Module, method: str, *inputs: Tensor) -> Any:
    """What a model shows of itself by a method that not every one has; None without it."""
    show = getattr(model, method, None)
    return None if show is None else show(*inputs)
