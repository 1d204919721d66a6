"""Graphs: what ships and what is made, their parts and batches, and what `dlrun show` says of them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlrun.data.graphs import graph as graphs
from dlrun.data.graphs.block_model import BlockModel
from dlrun.data.graphs.graph import Graph
from dlrun.data.graphs.motifs import MOTIFS, Motifs
from dlrun.data.graphs.parts import GraphsPart, NodePart
from dlrun.data.graphs.small_graphs import Karate, Toy4
from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.loading import PartLoader
from dlrun.errors import UserError

CPU = torch.device("cpu")


def test_the_karate_club():
    parts = Karate().load()
    graph = parts["train"].graph
    assert (graph.num_nodes, graph.num_edges, graph.is_directed()) == (34, 156, False)
    assert parts["train"].seeds.tolist() == [0, 4, 8, 24]
    assert sorted(parts["train"].target.tolist()) == [0, 1, 2, 3]
    assert graph.degrees().max() == 17
    assert Karate(weighted=True).load()["train"].graph.edge_weight.max() == 7
    clubs = Karate(labels="clubs")
    assert clubs.load()["train"].target.tolist() == [0, 1]
    assert clubs.spec.out_features == 2


def test_blocks_are_made_as_told():
    graph = BlockModel(num_nodes=2000, degree=10.0, homophily=0.9).load()["train"].graph
    assert not graph.is_directed()
    assert abs(graph.degrees().float().mean() - 10) < 0.3
    source, target = graph.edge_index % 4
    assert abs((source == target).float().mean() - 0.9) < 0.02
    assert torch.equal(
        graph.edge_index, BlockModel(num_nodes=2000, degree=10.0, homophily=0.9).load()["val"].graph.edge_index
    )
    with pytest.raises(ValueError, match="too few"):
        BlockModel(num_nodes=3)


def test_what_show_says():
    graph = Toy4().load()["train"].graph
    text = "\n".join(graphs.describe(graph, torch.tensor([0, 1, 1, 0])))
    assert "4 nodes, 6 edges, directed, 1 self-loops, 0 nodes without" in text
    assert "homophily: 40.0%" in text
    assert "  1 1 0 0\n  0 0 1 0\n  0 1 0 1\n  0 0 1 0" in text
    weighted = "\n".join(graphs.describe(Karate(weighted=True).load()["train"].graph))
    assert "undirected (78 pairs)" in weighted
    assert "edge weights: 1 to 7" in weighted
    assert "adjacency" not in weighted


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (Graph(torch.zeros(0, 2), torch.zeros(2, 0).long(), torch.zeros(0)), "the graph is empty"),
        (Graph(torch.zeros(2, 2), torch.tensor([[0], [2]]), torch.ones(1)), "edge 0 leads from 0 to 2"),
        (Graph(torch.full((2, 2), torch.nan), torch.zeros(2, 0).long(), torch.zeros(0)), "the features hold"),
        (Graph(torch.zeros(1, 2), torch.zeros(2, 1).long(), torch.tensor([torch.inf])), "the edge weights hold"),
    ],
)
def test_a_broken_graph_is_one_line(graph, says):
    with pytest.raises(UserError, match=f"^mine: .*{says}") as caught:
        graphs.check(graph, "mine")
    assert "\n" not in str(caught.value)


def test_a_node_part_gives_the_whole_graph_once_an_epoch():
    graph = Graph(torch.eye(5).to_sparse_csr(), torch.tensor([[0, 1], [1, 2]]), torch.ones(2))
    part = NodePart(graph, torch.tensor([4, 2, 0]), torch.tensor([1, 0, 1]))
    loader = PartLoader(part, LoaderOptions(lambda inputs: inputs, CPU, batch_size=1, shuffle=True, seed=3))
    (batch,), (again,) = loader.batches(0), loader.batches(1)
    assert batch.inputs[3].tolist() == [4, 2, 0]
    assert batch.target.tolist() == [1, 0, 1]
    assert batch.index.tolist() == [0, 1, 2]
    assert all(a is b for a, b in zip(batch.inputs[:3], again.inputs[:3], strict=True))
    assert list(loader.batches(0, 1)) == []
    assert loader.example().inputs[3].tolist() == [4]
    assert batch.inputs[4].tolist() == [0, 5]
    one = part.subset(torch.tensor([1])).take(torch.tensor([0]))
    assert one.inputs[0].to_dense()[one.inputs[3]].tolist() == [[0, 0, 1, 0, 0]]


@given(sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=8), data=st.data())
def test_graphs_are_joined_as_one_by_one(sizes, data):
    made = []
    for number, (nodes, edges) in enumerate(sizes):
        index = torch.arange(2 * edges).reshape(2, edges) % nodes
        made.append(Graph(torch.full((nodes, 2), float(number)), index, torch.full((edges,), float(number))))
    part = GraphsPart.of(made, torch.arange(len(made)))
    index = data.draw(st.lists(st.integers(0, len(made) - 1), min_size=1, max_size=6))
    x, edge_index, weight, seeds, ptr = part.take(torch.tensor(index)).inputs
    assert len(seeds) == 0
    for position, number in enumerate(index):
        start, end = ptr[position : position + 2].tolist()
        assert torch.equal(x[start:end], made[number].x)
        own = (edge_index[0] >= start) & (edge_index[0] < end)
        assert torch.equal(edge_index[:, own] - start, made[number].edge_index)
        assert torch.equal(weight[own], made[number].edge_weight)
    assert torch.equal(part.graph(0).edge_index, made[0].edge_index)


def test_an_epoch_of_graphs_holds_each_once():
    made = [Graph(torch.full((n + 1, 1), float(n)), torch.zeros(2, 0).long(), torch.zeros(0)) for n in range(7)]
    options = LoaderOptions(lambda inputs: inputs, CPU, batch_size=3, shuffle=True, seed=1)
    loader = PartLoader(GraphsPart.of(made, torch.arange(7)), options)
    batches = list(loader.batches(2))
    assert sorted(torch.cat([batch.target for batch in batches]).tolist()) == list(range(7))
    for batch in batches:
        assert batch.inputs[0].flatten()[batch.inputs[4][:-1]].tolist() == batch.target.tolist()
    late = list(loader.batches(2, 1))
    assert torch.equal(late[0].inputs[0], batches[1].inputs[0])


def test_motifs_hide_what_their_class_says():
    import networkx

    parts = Motifs(num_train=40, num_val=0, num_test=4).load()
    assert list(parts) == ["train", "test"]
    for i in range(40):
        x, edge_index, *_ = parts["train"].take(torch.tensor([i])).inputs
        size, pairs = list(MOTIFS.values())[int(parts["train"].target[i])]
        whole, pattern = networkx.Graph(edge_index.T.tolist()), networkx.Graph(pairs)
        assert len(whole) == len(x)
        assert x.argmax(dim=1).tolist() == [min(whole.degree[node], 7) for node in range(len(x))]
        assert networkx.algorithms.isomorphism.GraphMatcher(whole, pattern).subgraph_is_monomorphic(), size
    again = Motifs(num_train=10, num_test=4).load()
    assert torch.equal(again["test"].edge_index, parts["test"].edge_index)
    assert torch.equal(again["train"].graph(9).edge_index, parts["train"].graph(9).edge_index)
