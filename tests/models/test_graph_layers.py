"""Graph layers: the notes' numbers, parity with torch_geometric, and what the frame around them promises."""

import pytest
import torch

from dlrun.data.graphs.small_graphs import Toy4
from dlrun.models.gcn import GCN, GCNConv
from dlrun.models.message_passing import MessagePassing, MessagePassingNetwork
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.sparse import Linear, Sparse, dropout

NUM_NODES = 20
EVERYWHERE, PTR = torch.arange(NUM_NODES), torch.tensor([0, NUM_NODES])


def random_edges(seed, loops, weighted):
    """Edges (2, E) and weights in double precision; nodes 18 and 19 are isolated."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(NUM_NODES - 2, (2, 60), generator=generator).unique(dim=1)
    edge_index = edge_index if loops else edge_index[:, edge_index[0] != edge_index[1]]
    weight = torch.rand(edge_index.shape[1], generator=generator, dtype=torch.float64) + 0.1
    return edge_index, weight if weighted else torch.ones_like(weight)


def bag_of_words(rows=NUM_NODES, columns=7):
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    return x * (x.abs() > 1)


def test_the_notes_layer_gives_the_notes_numbers():
    graph = Toy4().load()["train"].graph
    edges = Edges(graph.edge_index, graph.edge_weight, 4)
    expected = [[2, 4], [13, 11], [20, 13], [10, 7]]
    assert MessagePassing()(graph.x, edges).tolist() == expected
    assert MessagePassing()(Sparse.from_csr(graph.x.to_sparse_csr()), edges).tolist() == expected
    network = MessagePassingNetwork(in_features=2, level="node", out_features=3)
    assert network.embed(graph.x, graph.edge_index, graph.edge_weight).tolist() == expected


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loops", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_gcn_equals_torch_geometric_and_so_do_its_gradients(seed, loops, weighted):
    from torch_geometric.nn import GCNConv as Reference

    edge_index, weight = random_edges(seed, loops, weighted)
    ours, theirs = GCNConv(7, 3).double(), Reference(7, 3).double()
    torch.nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    outputs, gradients = [], []
    for call in (lambda x: ours(x, Edges(edge_index, weight, NUM_NODES)), lambda x: theirs(x, edge_index, weight)):
        x = torch.randn(NUM_NODES, 7, generator=torch.Generator().manual_seed(9)).double().requires_grad_()
        outputs.append(call(x))
        outputs[-1].pow(3).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*outputs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs.get_parameter(name).grad, rtol=1e-6, atol=1e-6)


def test_sparse_features_are_the_same_as_dense_ones():
    x, (edge_index, weight) = bag_of_words(), random_edges(0, True, True)
    model = GCN(in_features=7, level="node", out_features=3, dropout=0.0)
    gradients = []
    for features in (x, x.to_sparse_csr()):
        model.zero_grad()
        output = model(features, edge_index, weight.float(), EVERYWHERE, PTR)
        output.pow(2).sum().backward()
        gradients.append([output, *(parameter.grad.clone() for parameter in model.parameters())])
    torch.testing.assert_close(*gradients)


def test_entries_of_one_place_are_added_up():
    row, column, value = torch.tensor([3, 1, 0, 1]), torch.tensor([0, 2, 0, 2]), torch.tensor([7.0, 1, 5, 2])
    matrix = Sparse.from_entries(row, column, value, (4, 3))
    expected = torch.tensor([[5.0, 0, 0], [0, 0, 3], [0, 0, 0], [7, 0, 0]])
    assert torch.equal(matrix.to_dense(), expected)
    assert torch.equal(matrix.transposed().to_dense(), expected.T)
    dense = torch.arange(6.0).reshape(3, 2).requires_grad_()
    product = matrix @ dense
    assert torch.equal(product, expected @ dense)
    (product * torch.arange(8.0).reshape(4, 2)).sum().backward()
    assert torch.equal(dense.grad, expected.T @ torch.arange(8.0).reshape(4, 2))


def test_dropout_leaves_zeros_alone_and_keeps_the_mean():
    x = torch.ones(300, 300).tril()
    torch.manual_seed(0)
    for dropped in (dropout(Sparse.from_csr(x.to_sparse_csr()), 0.25, True).to_dense(), dropout(x, 0.25, True)):
        assert set(dropped.unique().tolist()) == {0, torch.tensor(1 / 0.75).item()}
        assert dropped.triu(1).count_nonzero() == 0
        assert abs(dropped.sum().item() / x.sum().item() - 1) < 0.01
    dropped = dropout(Sparse.from_csr(x.to_sparse_csr()), 0.25, True)
    assert torch.equal(dropped.transposed().to_dense().T, dropped.to_dense())
    for same in (dropout(x, 0.25, False), dropout(x, 0.0, True)):
        assert same is x


def test_a_linear_layer_with_a_bias_takes_both():
    layer, x = Linear(7, 3), bag_of_words()
    torch.testing.assert_close(layer(Sparse.from_csr(x.to_sparse_csr())), layer(x))


def test_what_is_computed_from_a_graph_is_computed_once_and_anew_for_another():
    model = GCN(in_features=7, level="node", out_features=3).eval()
    x, (edge_index, weight) = bag_of_words(), random_edges(0, True, True)
    weight, seeds = weight.float(), torch.tensor([3, 1])
    first = model(x, edge_index, weight, seeds, PTR)
    edges = model._edges
    assert torch.equal(model(x, edge_index, weight, seeds.flip(0), PTR), first.flip(0))
    assert model._edges is edges
    assert torch.equal(model(x, edge_index, weight.clone(), seeds, PTR), first)
    assert model._edges is not edges
    assert not torch.equal(model(x, edge_index, weight * 2, seeds, PTR), first)


def test_graphs_side_by_side_give_what_each_gives_alone():
    model = GCN(in_features=7, level="graph", out_features=3).eval()
    x, (edge_index, weight) = bag_of_words(), random_edges(0, True, False)
    one = model(x, edge_index, weight.float(), EVERYWHERE, PTR)
    both = model(
        torch.cat([x, x]),
        torch.cat([edge_index, edge_index + NUM_NODES], dim=1),
        torch.cat([weight, weight]).float(),
        EVERYWHERE,
        torch.tensor([0, NUM_NODES, 2 * NUM_NODES]),
    )
    assert one.shape == (1, 3)
    torch.testing.assert_close(both, one.expand(2, 3))
