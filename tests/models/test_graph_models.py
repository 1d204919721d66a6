"""Each way to pass messages: parity with torch_geometric where it has the layer, and the laws of those it has not."""

import pytest
import torch
from test_graph_layers import EVERYWHERE, NUM_NODES, PTR, bag_of_words, random_edges
from torch.utils._python_dispatch import TorchDispatchMode

from dlrun.models import MODELS
from dlrun.models.chebnet import ChebConv
from dlrun.models.deepgcn import DeepGCN
from dlrun.models.diffpool import DiffPool
from dlrun.models.gat import GAT, GATLayer
from dlrun.models.ggnn import GatedLayer
from dlrun.models.gin import GIN
from dlrun.models.gnn_recurrent import FixedPoint
from dlrun.models.graphsage import SAGEConv
from dlrun.models.jknet import JKNet
from dlrun.models.parts.edges import Edges
from dlrun.models.parts.sparse import Sparse
from dlrun.models.sagpool import SAGPool, ScorePool

NAMES = [name for name in MODELS.names() if "level" in MODELS.describe(name).parameters]
POOLS = ("diffpool", "sagpool")


@pytest.fixture
def x():
    return torch.randn(NUM_NODES, 7, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_chebnet_equals_torch_geometric(x, seed):
    from torch_geometric.nn import ChebConv as Reference

    edge_index, weight = random_edges(seed, loops=True, weighted=True)
    for size in (1, 2, 4):
        ours, theirs = ChebConv(7, 3, size).double(), Reference(7, 3, size).double()
        torch.nn.init.normal_(ours.bias)
        theirs.load_state_dict(ours.state_dict())
        expected = theirs(x, edge_index, weight, lambda_max=2.0)
        torch.testing.assert_close(ours(x, Edges(edge_index, weight, NUM_NODES)), expected)


@pytest.mark.parametrize("loops", [True, False])
def test_graphsage_equals_torch_geometric(x, loops):
    from torch_geometric.nn import SAGEConv as Reference

    edge_index, weight = random_edges(0, loops, weighted=True)
    ours, theirs = SAGEConv(7, 3).double(), Reference(7, 3).double()
    theirs.load_state_dict(
        {
            "lin_l.weight": ours.lin_neighbours.weight,
            "lin_l.bias": ours.lin_neighbours.bias,
            "lin_r.weight": ours.lin_self.weight,
        }
    )
    torch.testing.assert_close(ours(x, Edges(edge_index, weight, NUM_NODES)), theirs(x, edge_index))


@pytest.mark.parametrize("answers", [True, False])
def test_gat_equals_torch_geometric(x, answers):
    from torch_geometric.nn import GATConv

    edge_index, weight = random_edges(1, loops=True, weighted=True)
    ours = GATLayer(7, 4, 2, 0.0, answers).double()
    theirs = GATConv(7, 4 if answers else 2, 2, concat=not answers).double()
    weights = {name.removeprefix("conv."): value for name, value in ours.state_dict().items()}
    theirs.load_state_dict(weights)
    torch.testing.assert_close(ours(x, Edges(edge_index, weight, NUM_NODES)), theirs(x, edge_index))


@pytest.mark.parametrize("loops", [True, False])
def test_attention_adds_up_to_one_at_every_node(loops):
    edge_index, weight = random_edges(1, loops, weighted=True)
    model = GAT(in_features=7, level="node", out_features=3).eval()
    index, share = model.attention(bag_of_words().to_sparse_csr(), edge_index, weight.float())
    sums = torch.zeros(NUM_NODES).index_add(0, index[1], share)
    torch.testing.assert_close(sums, torch.ones(NUM_NODES))
    assert index[0, index[0] == index[1]].tolist() == list(range(NUM_NODES))
    assert make("gcn", level="node").attention(bag_of_words(), edge_index, weight.float()) is None


def test_heads_share_the_features_evenly():
    with pytest.raises(ValueError, match="hidden_size 10 is not a multiple of num_heads 8"):
        GAT(in_features=7, hidden_size=10, level="node", out_features=3)


def make(name, **keys):
    keys |= {"num_edge_features": 1} if name == "mpnn" else {}
    return MODELS.get(name)(in_features=7, out_features=3, **keys)


@pytest.mark.parametrize("name", NAMES)
def test_training_may_follow_an_evaluation(name):
    pools = name in POOLS
    model = make(name, level="graph" if pools else "node")
    edge_index, weight = random_edges(0, loops=True, weighted=True)
    for x in [bag_of_words(), *([] if pools else [bag_of_words().to_sparse_csr()])]:
        given = (x, edge_index, weight.float(), torch.arange(3), PTR)
        with torch.inference_mode():
            model.eval()(*given)
        model.train()(*given).sum().backward()


class NoWaits(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU: numbers read back, and results whose size depends on values."""

    waits = (
        "_local_scalar_dense", "nonzero", "bincount", "masked_select", "_coalesce", "_unique2", "unique_dim",
        "unique_consecutive",
    )  # fmt: skip

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name, kwargs = function.overloadpacket.__name__, kwargs or {}
        assert name not in self.waits
        assert name != "repeat_interleave" or "output_size" in kwargs
        if name in ("index", "index_put", "index_put_"):
            assert all(index is None or index.dtype != torch.bool for index in args[1])
        return function(*args, **kwargs)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*POOLS, "gnn_recurrent")])
@pytest.mark.parametrize(("level", "readout"), [("node", "sum"), ("graph", "sum"), ("graph", "set2set")])
def test_a_step_of_training_never_waits_for_the_device(name, level, readout):
    model, (edge_index, weight) = make(name, level=level, readout=readout), random_edges(0, loops=True, weighted=True)
    sample = (torch.ones(edge_index.shape[1]), torch.ones(NUM_NODES, 3))
    for x in (bag_of_words(), bag_of_words().to_sparse_csr()):
        for more in ((), sample):
            with NoWaits():
                model(x, edge_index, weight.float(), EVERYWHERE, PTR, *more).sum().backward()


def test_an_edge_that_is_there_twice_is_two_edges():
    edge_index = torch.tensor([[0, 0, 1, 2, 2], [1, 1, 0, 2, 2]])
    once, twice = Edges(edge_index[:, [0, 2, 3]], torch.tensor([2.0, 1, 2]), 3), Edges(edge_index, torch.ones(5), 3)
    for matrix in ("adjacency", "normalized", "laplacian"):
        torch.testing.assert_close(getattr(twice, matrix).to_dense(), getattr(once, matrix).to_dense())
    assert twice.degrees.tolist() == [[1, 1, 2], [2, 2, 1], [2, 2, 0]]


def test_a_gated_layer_equals_torch_geometric(x):
    from torch_geometric.nn import GatedGraphConv

    edge_index, weight = random_edges(2, loops=True, weighted=True)
    ours, theirs = GatedLayer(7).double(), GatedGraphConv(7, 1).double()
    theirs.rnn.load_state_dict(ours.rnn.state_dict())
    with torch.no_grad():
        theirs.weight[0] = ours.lin.weight.t()
    expected = theirs(x, edge_index, weight)
    torch.testing.assert_close(ours(x, Edges(edge_index, weight, NUM_NODES)), expected)


def test_the_state_is_a_fixed_point_whatever_the_weights_are(x):
    edges = Edges(*random_edges(3, loops=True, weighted=False), NUM_NODES)
    torch.manual_seed(0)
    layer = FixedPoint(7, 5, contraction=0.9, tolerance=1e-12, max_steps=1000).double()
    torch.nn.init.normal_(layer.weight, std=10)
    h = layer(x, edges)
    assert layer.num_steps < 1000
    weight = layer.weight * (0.9 / layer.weight.abs().sum(dim=1, keepdim=True)).clamp(max=1)
    assert weight.abs().sum(dim=1).max() <= 0.9 + 1e-12
    torch.testing.assert_close(torch.tanh(edges.mean @ (h @ weight.T) + layer.lin(x)), h)
    layer.max_steps = 2
    layer(x, edges)
    assert layer.num_steps == 2


def test_the_gradient_at_the_fixed_point_is_that_of_all_steps(x):
    edges = Edges(*random_edges(3, loops=True, weighted=False), NUM_NODES)
    layer = FixedPoint(7, 5, contraction=0.9, tolerance=1e-13, max_steps=1000).double()
    layer(x, edges).pow(2).sum().backward()
    implicit = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    weight = layer.weight * (0.9 / layer.weight.abs().sum(dim=1, keepdim=True)).clamp(max=1)
    h = torch.zeros(NUM_NODES, 5, dtype=torch.float64)
    for _ in range(400):
        h = torch.tanh(edges.mean @ (h @ weight.T) + layer.lin(x))
    h.pow(2).sum().backward()
    torch.testing.assert_close(implicit, [parameter.grad for parameter in layer.parameters()])


def test_the_answer_of_a_jknet_sees_every_layer():
    edge_index, weight = random_edges(0, loops=False, weighted=False)
    given = bag_of_words(), edge_index, weight.float()
    for jump, width in (("cat", 12), ("max", 4)):
        model = JKNet(in_features=7, hidden_size=4, num_layers=3, jump=jump, level="node", out_features=3).eval()
        assert model.embed(*given).shape == (NUM_NODES, width)
        assert model.fc.in_features == width
    first = torch.relu(model.layers[0](given[0], Edges(*given[1:], NUM_NODES)))
    assert (model.embed(*given) >= first).all()


def test_a_deep_network_adds_each_layer_to_its_input():
    edge_index, weight = random_edges(0, loops=False, weighted=False)
    model = DeepGCN(in_features=7, hidden_size=4, num_layers=5, norm=False, level="node", out_features=3).eval()
    for layer in model.layers:
        torch.nn.init.zeros_(layer.lin.weight)
    x = bag_of_words()
    torch.testing.assert_close(model.embed(x, edge_index, weight.float()), torch.relu(model.encoder(x)))


def test_sparse_products_stay_in_single_precision_under_autocast():
    matrix = Sparse.from_csr(bag_of_words().to_sparse_csr())
    weight = torch.randn(7, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        product = matrix @ weight.bfloat16()
    assert product.dtype == torch.float32
    product.sum().backward()
    assert weight.grad is not None


def two_graphs():
    x = torch.randn(9, 7, generator=torch.Generator().manual_seed(1))
    edge_index = torch.tensor([[0, 1, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8], [1, 0, 2, 1, 3, 2, 5, 4, 6, 5, 8, 7]])
    return x, edge_index, torch.ones(12), torch.tensor([0, 4, 9])


def test_pooling_by_score_equals_torch_geometric():
    from torch_geometric.nn import GraphConv, SAGPooling

    x, edge_index, weight, _ = two_graphs()
    index = torch.tensor([0] * 4 + [1] * 5)
    ours, theirs = ScorePool(7, 0.5), SAGPooling(7, 0.5, GraphConv)
    theirs.gnn.load_state_dict(ours.score.state_dict())
    torch.nn.init.ones_(theirs.select.weight)
    expected = theirs(x, edge_index, weight, index)
    for mine, other in zip(ours(x, edge_index, weight, index), (*expected[:3], expected[4]), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(
    "model",
    [
        DiffPool(in_features=7, level="graph", out_features=3),
        SAGPool(in_features=7, level="graph", out_features=3),
        *(
            GIN(in_features=7, level="graph", readout=name, out_features=3)
            for name in ("sum", "mean", "max", "set2set")
        ),
    ],
    ids=["diffpool", "sagpool", "sum", "mean", "max", "set2set"],
)
def test_the_order_of_nodes_and_the_neighbours_in_a_batch_change_no_answer(model):
    x, edge_index, weight, ptr = two_graphs()
    both = model.eval()(x, edge_index, weight, ptr, ptr)
    first = edge_index[0] < 4
    alone = model(x[:4], edge_index[:, first], weight[first], ptr, ptr[:2])
    torch.testing.assert_close(both[:1], alone)
    order = torch.tensor([2, 0, 3, 1, 8, 6, 4, 7, 5])  # node i is called order[i]
    shuffled = torch.empty_like(x).index_copy(0, order, x)
    torch.testing.assert_close(model(shuffled, order[edge_index], weight, ptr, ptr), both)


@pytest.mark.parametrize("kind", [DiffPool, SAGPool])
def test_a_model_of_whole_graphs_says_so(kind):
    with pytest.raises(ValueError, match="answers for whole graphs"):
        kind(in_features=7, level="node", out_features=3)
