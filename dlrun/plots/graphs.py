"""Graphs drawn by NetworkX, and where a model has put their nodes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import COLORS, MUTED, WRONG, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERS_UP_TO = 12  # nodes whose edges show their weight
NAMES_UP_TO = 60
NAME_LENGTH = 22
RIM = "#FF0000"  # of no class
MORE_COLORS = "tab20"
SLOPE = np.array([[0.87, 0.5], [-0.5, 0.87]])  # a turn by 30 degrees


@styled
def drawing(
    edges: Any, weights: Any, classes: Any, class_names: Sequence[str], *, wrong: Any = None,
    names: Sequence[str] | None = None, directed: bool = False, title: str = "", weight_label: str | None = None,
) -> "Figure":  # fmt: skip
    """A graph with nodes coloured by class and sized by degree; an edge is the broader the heavier it is.

    `edges` (2, E), `weights` (E,), `classes` (N,); nodes where `wrong` (N,) is true get a red rim. With `weight_label`
    the weights, 0 to 1, are also the colour of the edges.
    """
    classes = np.asarray(classes)
    figure, (ax,) = new_figure(width=8.5, height=6.5)
    _draw(ax, np.asarray(edges), np.asarray(weights), classes, len(class_names), wrong, names, directed, weight_label)
    if weight_label is not None:
        from matplotlib.cm import ScalarMappable

        figure.colorbar(ScalarMappable(cmap="viridis_r"), ax=ax, label=weight_label, shrink=0.7)
    for k in np.unique(classes):
        ax.scatter([], [], color=_color(k, len(class_names)), label=shorten(class_names[int(k)], NAME_LENGTH))
    if wrong is not None:
        ax.scatter([], [], facecolor="none", edgecolor=RIM, linewidth=1.8, label="wrong")
    figure.legend(loc="outside right upper")
    ax.set_title(title)
    return figure


@styled
def gallery(graphs: Sequence[tuple[Any, int]], titles: Sequence[str], right: Sequence[bool], title: str) -> "Figure":
    """Up to nine graphs, each (edges (2, E), number of nodes), under what is said of it; wrong ones in red."""
    figure, axes = new_figure(3, 3, width=9, height=9)
    for ax, (edges, num_nodes), said, is_right in zip(axes, graphs, titles, right, strict=False):
        edges = np.asarray(edges)
        _draw(ax, edges, np.ones(edges.shape[1]), np.zeros(num_nodes, dtype=int), 1, None, None, False, None)
        ax.set_title(said, fontsize=9, color="black" if is_right else WRONG)
    for ax in axes[len(graphs) :]:
        ax.remove()
    figure.suptitle(title)
    return figure


@styled
def messages(edges: Any, names: Sequence[str], texts: Sequence[str], title: str) -> "Figure":
    """Nodes with their `names` (N,), and on each of the directed `edges` (2, E) what it carries, `texts` (E,)."""
    import networkx  # late, as matplotlib is

    graph = networkx.DiGraph()
    graph.add_nodes_from(range(len(names)))
    pairs = [(source, target) for source, target in np.asarray(edges).T.tolist()]
    graph.add_edges_from(pairs)
    carried = {pair: "\n".join(text for own, text in zip(pairs, texts, strict=True) if own == pair) for pair in pairs}
    found = networkx.kamada_kawai_layout(graph.to_undirected())
    # A chain goes up from left to right: what stands below a node, at its right, is out of the way of its edges.
    spread = np.array([found[node] for node in graph])
    spread -= spread.mean(axis=0)
    spread = spread @ np.linalg.svd(spread)[2].T @ SLOPE
    places = dict(zip(graph, spread, strict=True))
    width, height = 1.4 * np.maximum(np.abs(spread).max(axis=0), (0.5, 0.5))
    figure, (ax,) = new_figure(width=9, height=min(1 + 8 * height / width, 9), title=title)
    ax.set(xlim=(-width, width), ylim=(-height, height))
    bent = {"connectionstyle": "arc3,rad=0.25", "node_size": 500}  # one way beside the other
    networkx.draw_networkx_nodes(graph, places, ax=ax, node_size=500, node_color=COLORS[5])
    networkx.draw_networkx_labels(graph, places, {node: str(node) for node in graph}, ax=ax, font_size=10)
    networkx.draw_networkx_edges(graph, places, ax=ax, edge_color=MUTED, arrowsize=14, **bent)
    networkx.draw_networkx_edge_labels(
        graph, places, carried, ax=ax, font_size=8, rotate=False, **bent,
    )  # fmt: skip
    for node, name in enumerate(names):
        x, y = places[node]
        ax.annotate(
            name, (x, y), (10, -11), textcoords="offset points", ha="left", va="top", fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    ax.set_axis_off()
    return figure


@styled
def embedding(points: Any, classes: Any, class_names: Sequence[str], *, method: str, shares: Any = None) -> "Figure":
    """Nodes (N, 2) in the plane, coloured by their true class; `shares` (2,): of the variance, by axis."""
    points, classes = np.asarray(points), np.asarray(classes)
    figure, (ax,) = new_figure(width=8, height=6)
    for k in np.unique(classes):
        own = classes == k
        ax.scatter(
            *points[own].T, s=14, color=_color(k, len(class_names)), label=shorten(class_names[int(k)], NAME_LENGTH)
        )
    for axis, set_label in enumerate((ax.set_xlabel, ax.set_ylabel)):
        share = "" if shares is None else f" ({float(shares[axis]):.0%} of the variance)"
        set_label(f"{method} {axis + 1}{share}")
    figure.legend(loc="outside right upper")
    ax.set_title(f"The vectors of {len(points)} nodes before the answer, by their true class")
    return figure


def _draw(
    ax: "Axes",
    edges: np.ndarray,
    weights: np.ndarray,
    classes: np.ndarray,
    num_classes: int,
    wrong: Any,
    names: Sequence[str] | None,
    directed: bool,
    weight_label: str | None,
) -> None:
    import networkx  # late, as matplotlib is

    num_nodes = len(classes)
    graph = networkx.DiGraph() if directed else networkx.Graph()
    graph.add_nodes_from(range(num_nodes))
    pairs = zip(edges.T.tolist(), weights.tolist(), strict=True)
    graph.add_weighted_edges_from((source, target, weight) for (source, target), weight in pairs)
    places = networkx.spring_layout(graph, seed=0, weight=None)
    drawn = list(graph.edges)
    values = np.array([graph.edges[edge]["weight"] for edge in drawn])
    top = np.abs(values).max(initial=0) or 1
    degree = np.array([graph.degree[node] for node in range(num_nodes)])
    size = (40 + 260 * degree / max(1, degree.max())) * min(1.0, 6 / num_nodes**0.5)
    rim = np.where(np.zeros(num_nodes, dtype=bool) if wrong is None else np.asarray(wrong), RIM, "white")
    networkx.draw_networkx_nodes(
        graph, places, ax=ax, node_size=size, node_color=[_color(k, num_classes) for k in classes], edgecolors=rim,
        linewidths=1.8 if wrong is not None else 0.5,
    )  # fmt: skip
    color: Any = MUTED
    if weight_label is not None:
        from matplotlib import colormaps

        color = colormaps["viridis_r"](np.clip(values, 0, 1))
    arrows = {"arrows": True, "node_size": size, "arrowsize": 8} if directed else {}
    width = 0.4 + 1.6 * np.abs(values) / top if num_nodes <= NAMES_UP_TO or weight_label else 0.5
    networkx.draw_networkx_edges(graph, places, ax=ax, edge_color=color, width=width, alpha=0.7, **arrows)
    if num_nodes <= NAMES_UP_TO:
        labels = {node: names[node] if names else str(node) for node in range(num_nodes)}
        networkx.draw_networkx_labels(graph, places, labels, ax=ax, font_size=7)
    if num_nodes <= NUMBERS_UP_TO:
        texts = {edge: f"{value:.3g}" for edge, value in zip(drawn, values, strict=True)}
        networkx.draw_networkx_edge_labels(graph, places, texts, ax=ax, font_size=7)
    ax.set_axis_off()


def _color(k: int, num_classes: int) -> Any:
    if num_classes <= len(COLORS):
        return COLORS[int(k)]
    from matplotlib import colormaps

    return colormaps[MORE_COLORS](int(k) % 20)
