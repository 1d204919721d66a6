"""Graphs drawn: what is asked for is on the figure."""

import numpy as np
import pytest

from dlrun.plots import graphs
from dlrun.plots.figure import png_bytes

EDGES = np.array([[0, 1, 2, 2], [1, 2, 0, 2]])
WEIGHTS = np.array([1.0, 2.0, 0.5, 1.0])


@pytest.mark.parametrize("directed", [True, False])
def test_a_small_graph_shows_names_weights_and_what_is_wrong(directed):
    figure = graphs.drawing(
        EDGES, WEIGHTS, [0, 1, 1], ["a", "US$"], wrong=[False, True, False], names=["x", "y", "z"], directed=directed,
        title="mine",
    )  # fmt: skip
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"x", "y", "z", "2", "0.5"} <= texts
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["a", "US$", "wrong"]
    assert figure.axes[0].get_title() == "mine"
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_attention_has_a_scale():
    figure = graphs.drawing(EDGES, WEIGHTS / 2, [0, 1, 1], ["a", "b"], directed=True, weight_label="attention")
    assert figure.axes[1].get_ylabel() == "attention"


def test_a_graph_without_edges_and_with_many_classes():
    names = [str(k) for k in range(30)]
    figure = graphs.drawing(np.zeros((2, 0), dtype=int), np.zeros(0), np.arange(30), names)
    assert len(figure.legends[0].get_texts()) == 30


def test_a_gallery_marks_wrong_ones():
    figure = graphs.gallery([(EDGES, 3), (EDGES[:, :1], 2)], ["star", "✗ star, true: wheel"], [True, False], "")
    assert [ax.get_title() for ax in figure.axes] == ["star", "✗ star, true: wheel"]
    assert figure.axes[0].title.get_color() != figure.axes[1].title.get_color()


def test_an_embedding_says_how_much_it_shows():
    figure = graphs.embedding(np.eye(3, 2), [0, 1, 1], ["a", "b"], method="principal component", shares=[0.6, 0.1])
    assert figure.axes[0].get_xlabel() == "principal component 1 (60% of the variance)"
    assert graphs.embedding(np.eye(3, 2), [0, 1, 1], ["a", "b"], method="t-SNE").axes[0].get_ylabel() == "t-SNE 2"
