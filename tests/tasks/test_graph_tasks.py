"""Classes of nodes and of graphs: a whole run and the pictures that it leaves."""

import json

import pytest
import torch

from dlrun.cli import main
from dlrun.data.graphs.graph import Graph
from dlrun.tasks import graphs


@pytest.mark.parametrize(
    ("words", "pictures"),
    [
        (["model=gat", "data=karate"], {"graph", "attention", "embedding"}),
        (["model=message_passing", "data=toy4", "task=node_class", "task.embedding=tsne"], {"graph", "embedding"}),
        (["model=gin", "data=motifs", "data.num_train=40", "data.num_val=8", "data.num_test=8"], {"graphs"}),
    ],
    ids=["gat", "toy4", "motifs"],
)
def test_a_run_on_graphs(words, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main([*words, "trainer.epochs=2", "device=cpu", "logger.tensorboard=false", "folder=run"]) == 0
    assert pictures <= {path.stem for path in (tmp_path / "run/plots").iterdir()}
    assert json.loads((tmp_path / "run/summary.json").read_text())["outcome"] == "done"
    assert main.main(["eval", "run"]) == 0
    assert main.main(["predict", "run", "x"]) == 2
    assert capsys.readouterr().err.startswith("dlrun: error: predict: this data set says no way to read an input")


def test_a_run_that_goes_on_is_the_run_that_never_stopped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["model=gcn", "data=block_model", "data.num_nodes=80", "scheduler=none", "device=cpu", "logger=none"]
    assert main.main([*words, "trainer.epochs=4", "folder=whole"]) == 0
    assert main.main([*words, "trainer.epochs=2", "folder=half"]) == 0
    assert main.main(["resume", "half", "trainer.epochs=4"]) == 0
    assert (tmp_path / "half/metrics.csv").read_text() == (tmp_path / "whole/metrics.csv").read_text()


def test_of_a_large_graph_the_largest_neighbourhood_that_fits_is_drawn():
    # A star around node 0, and a chain of the nodes 100 to 119.
    arms, chain = torch.arange(1, 50), torch.arange(100, 119)
    edges = torch.cat([torch.stack([torch.zeros(49, dtype=torch.int64), arms]), torch.stack([chain, chain + 1])], dim=1)
    graph = Graph(torch.zeros(120, 1), edges, torch.ones(edges.shape[1]))
    assert graph.within(110, 2).tolist() == [108, 109, 110, 111, 112]
    title, nodes = graphs.readable(graph, torch.tensor([0, 100, 110]))
    assert nodes.tolist() == [108, 109, 110, 111, 112]
    assert title == "node 110 and the 4 of 120 nodes up to 2 edges away"
    title, nodes = graphs.readable(graph, torch.tensor([0]))
    assert (title, len(nodes)) == ("30 of 120 nodes, near node 0", 30)


def test_of_a_large_graph_the_nearest_nodes_are_drawn():
    ring = torch.arange(50)
    graph = Graph(torch.zeros(50, 1), torch.stack([ring, (ring + 1) % 50]), torch.ones(50))
    nodes = graph.around(10, 7)
    assert nodes.tolist() == [7, 8, 9, 10, 11, 12, 13]
    edges, weight = graph.inside(nodes, graph.edge_index, torch.arange(50.0))
    assert edges.tolist() == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6]]
    assert weight.tolist() == [7, 8, 9, 10, 11, 12]
    assert len(graph.around(0, 50)) == 50
