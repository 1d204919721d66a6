"""Samples of a graph: right on average, complete where they can be, and the same each time they are drawn again."""

import sys
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.cli import main
from dlrun.config import check, compose
from dlrun.config.spec import DataSpec
from dlrun.data.graphs.block_model import BlockModel
from dlrun.data.graphs.graph import Graph, both_ways, rows
from dlrun.data.graphs.parts import NodePart
from dlrun.engine.contracts import Batch, LoaderOptions
from dlrun.errors import UserError
from dlrun.models import MODELS
from dlrun.models.parts.edges import Edges
from dlrun.run import assemble, trained
from dlrun.samplers import SAMPLERS
from dlrun.samplers.neighbor import choose
from dlrun.samplers.partition import partitioned
from dlrun.samplers.pinsage import most_visited
from dlrun.samplers.sampling import SampleLoader
from dlrun.store import runs
from dlrun.tasks.graphs import NodeClass

CPU = torch.device("cpu")
NUM_NODES = 60
SEEDED = ("neighbor", "pinsage", "layer")
SAMPLED = [name for name in SAMPLERS.names() if SAMPLERS.get(name).takes == "graph"]
SMALL = {"layer": {"sizes": (30, 30)}, "saint": {"size": 15}, "cluster": {"num_clusters": 6, "clusters_per_batch": 2}}


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_what_a_sampler_takes_is_known_from_its_source(name):
    assert SAMPLERS.describe(name).attributes["takes"] == SAMPLERS.get(name).takes


def make_graph(weighted=True, sparse=False):
    """Sixty nodes of very unequal degree, ten self-loops, nodes 57 to 59 isolated (59 but for its loop)."""
    generator = torch.Generator().manual_seed(1)
    ends = (torch.rand(2, 150, generator=generator) ** 2 * (NUM_NODES - 3)).long()
    ends = torch.cat([ends, torch.arange(9).repeat(2, 1) * 5, torch.tensor([[59], [59]])], dim=1)
    edge_index = both_ways(ends)
    # The same both ways, as it would be in a file.
    weight = 1 + (edge_index[0] * edge_index[1] % 7).float() if weighted else torch.ones(edge_index.shape[1])
    x = torch.randn(NUM_NODES, 3, generator=generator)
    return Graph((x * (x > 0)).to_sparse_csr() if sparse else x, edge_index, weight)


GRAPH = make_graph()
PART = NodePart(GRAPH, torch.arange(0, NUM_NODES, 2).flip(0), torch.arange(30) % 4)


def loader(name, part=PART, batch_size=8, seed=3, **keys):
    sampler = SAMPLERS.get(name)(**(SMALL.get(name, {}) | keys))
    return sampler.loader(
        part, LoaderOptions(lambda inputs: inputs, CPU, batch_size=batch_size, shuffle=True, seed=seed)
    )


def same(one: Batch, other: Batch):
    return len(one.inputs) == len(other.inputs) and all(
        torch.equal(a, b) for a, b in zip((*one.inputs, one.target), (*other.inputs, other.target), strict=True)
    )


# ---- what a batch is


@pytest.mark.parametrize("name", SAMPLED)
def test_a_batch_is_part_of_the_graph(name):
    weights = dict(zip(map(tuple, GRAPH.edge_index.T.tolist()), GRAPH.edge_weight.tolist(), strict=True))
    for batch in loader(name).batches():
        x, ends, weight, seeds, ptr, scale, degrees = batch.inputs
        nodes = (x[:, None] == GRAPH.x).all(dim=2).nonzero()[:, 1]
        assert torch.equal(nodes[seeds], PART.seeds[batch.index])
        assert ptr.tolist() == [0, len(x)]
        assert torch.equal(batch.target, PART.target[batch.index])
        assert len(weight) == len(scale) == ends.shape[1]
        assert (scale > 0).all()
        assert len(degrees) == len(x)
        if name != "pinsage":
            pairs = list(map(tuple, nodes[ends].T.tolist()))
            assert [weights[pair] for pair in pairs] == weight.tolist()
            is_loop = (GRAPH.edge_index[0] == GRAPH.edge_index[1]).nonzero().flatten()
            loops = {int(GRAPH.edge_index[0, edge]) for edge in is_loop}
            assert sum(a == b for a, b in pairs) == sum(int(node) in loops for node in nodes)


@pytest.mark.parametrize("name", [*SEEDED, "cluster"])
def test_every_train_node_is_asked_for_once_an_epoch(name):
    seen = [batch.index for batch in loader(name).batches(epoch=4)]
    assert sorted(torch.cat(seen).tolist()) == list(range(len(PART)))
    assert len(seen) == loader(name).num_batches > 1


def test_an_epoch_of_saint_counts_what_it_asked_for():
    source = loader("saint")
    sizes = [len(batch) for batch in source.batches(epoch=2)]
    assert source.num_in(0, source.num_batches) == sum(sizes)
    late = loader("saint")
    assert len(list(late.batches(epoch=2, start=3))) == 2
    assert [late.num_in(batch, batch + 1) for batch in range(5)] == sizes


@pytest.mark.parametrize("name", SAMPLED)
def test_batches_are_a_function_of_seed_epoch_and_position(name):
    batches = list(loader(name).batches(epoch=1))
    torch.rand(3)  # not of the generator that dropout uses
    again = loader(name)
    list(again.batches(epoch=0))
    assert all(same(a, b) for a, b in zip(batches, again.batches(epoch=1), strict=True))
    assert same(next(again.batches(epoch=1, start=2)), batches[2])
    assert not same(next(again.batches(epoch=2)), batches[0])
    assert not same(next(loader(name, seed=4).batches(epoch=1)), batches[0])


@pytest.mark.parametrize("name", SAMPLED)
def test_a_graph_without_an_edge(name):
    graph = Graph(torch.eye(6), torch.zeros(2, 0).long(), torch.zeros(0))
    part = NodePart(graph, torch.tensor([4, 1]), torch.tensor([0, 1]))
    for batch in loader(name, part, **({"method": "node"} if name == "saint" else {})).batches():
        x, ends, weight, seeds, *_ = batch.inputs
        assert ends.shape == (2, 0)
        assert len(weight) == 0
        assert x[seeds].argmax(dim=1).tolist() == part.seeds[batch.index].tolist()
        edges = Edges(ends, weight, len(x), *batch.inputs[5:])
        assert (edges.mean @ x).count_nonzero() == 0


@pytest.mark.parametrize("name", SAMPLED)
def test_sparse_features_and_features_of_edges(name):
    sparse = make_graph(sparse=True)
    sparse.edge_weight = torch.stack([sparse.edge_weight, sparse.edge_weight], dim=1)
    part = NodePart(sparse, PART.seeds, PART.target)
    dense = Graph(sparse.x.to_dense(), sparse.edge_index, sparse.edge_weight)
    one = next(loader(name, part).batches())
    other = next(loader(name, NodePart(dense, PART.seeds, PART.target)).batches())
    assert one.inputs[0].layout == torch.sparse_csr
    assert torch.equal(one.inputs[0].to_dense(), other.inputs[0])
    assert one.inputs[2].shape == (one.inputs[1].shape[1], 2)
    model = MODELS.get("mpnn")(in_features=3, num_edge_features=2, level="node", out_features=4)
    assert model(*one.inputs).isfinite().all()


# ---- what a batch is worth


MATRICES = ("adjacency", "mean", "normalized", "laplacian")


def received(matrix, inputs):
    """What each node that is asked for receives of the features, by one of the matrices."""
    x, ends, weight, seeds, _, *sample = inputs
    return (getattr(Edges(ends, weight, len(x), *sample), matrix) @ x)[seeds]


def average(name, num_epochs, **keys):
    """For each matrix: (mean over epochs, its standard error) of what the part's nodes receive, each (M, F)."""
    source = loader(name, batch_size=len(PART) // 2, **keys)
    sums = {m: [torch.zeros(3, len(PART), 3, dtype=torch.float64), torch.zeros(len(PART))] for m in MATRICES}
    for epoch in range(num_epochs):
        for batch in source.batches(epoch):
            for matrix, (moments, times) in sums.items():
                value = received(matrix, batch.inputs).double()
                moments[0, batch.index] += value
                moments[1, batch.index] += value**2
                times[batch.index] += 1
    found = {}
    for matrix, (moments, times) in sums.items():
        mean, square = moments[:2] / times[:, None]
        found[matrix] = mean, ((square - mean**2).clamp(min=0) / times[:, None]).sqrt()
    return found


@pytest.mark.parametrize(
    ("name", "keys", "relative"),
    [
        ("neighbor", {"fanouts": (2,)}, 0.0),
        ("neighbor", {"fanouts": (2,), "replace": True}, 0.0),
        ("layer", {"sizes": (25,)}, 0.0),
        # What is estimated beforehand has an error of its own.
        ("saint", {"method": "node", "size": 25, "coverage": 400}, 0.15),
        ("saint", {"method": "edge", "size": 20, "coverage": 400}, 0.15),
        ("saint", {"method": "walk", "size": 12, "coverage": 400}, 0.15),
    ],
)
def test_what_a_node_receives_is_unbiased(name, keys, relative):
    whole = (GRAPH.x, GRAPH.edge_index, GRAPH.edge_weight, PART.seeds, PART.ptr)
    for matrix, (mean, error) in average(name, 60 if name == "saint" else 150, **keys).items():
        expected = received(matrix, whole).double()
        # Five standard errors, of 90 values: no chance that a right sampler meets.
        allowed = 5 * error + 1e-5 + relative * expected.abs().mean()
        is_seen = mean.isfinite()
        assert ((mean - expected).abs() <= allowed)[is_seen].all(), matrix
        assert error[is_seen].max() > 0.01
        # Edges find no node that has none.
        is_alone = GRAPH.incoming.counts[PART.seeds] == 0
        assert torch.equal(~is_seen.all(dim=1), is_alone & (keys.get("method") == "edge"))


def test_the_loss_of_saint_is_unbiased():
    source = loader("saint", size=12, coverage=300)
    losses = torch.rand(len(PART), generator=torch.Generator().manual_seed(0))
    values = [(losses[batch.index] * batch.weight).mean() for epoch in range(80) for batch in source.batches(epoch)]
    mean, error = torch.stack(values).mean(), torch.stack(values).std() / len(values) ** 0.5
    assert abs(mean - losses.mean()) < 4 * error + 0.02
    task = NodeClass(DataSpec("graph", "node_class", out_features=4))
    batch = next(source.batches())
    logits = torch.randn(len(batch), 4)
    each = torch.nn.functional.cross_entropy(logits, batch.target, reduction="none")
    torch.testing.assert_close(task.losses(logits, batch)["loss"], (each * batch.weight).mean())
    batch.weight = None
    torch.testing.assert_close(task.losses(logits, batch)["loss"], each.mean())


@pytest.mark.parametrize("model", ["gcn", "graphsage", "chebnet", "gin", "gat", "mpnn", "message_passing"])
@pytest.mark.parametrize("replaced", [{}, {"sparse": True, "weighted": False}])
def test_with_all_neighbours_a_batch_gives_the_answers_of_the_whole(model, replaced):
    graph = make_graph(**replaced)
    part = NodePart(graph, PART.seeds, PART.target)
    keys = MODELS.describe(model).parameters
    sizes = {"in_features": 3, "num_edge_features": 1, "num_layers": 2, "num_steps": 2, "out_features": 4}
    torch.manual_seed(0)
    network = MODELS.get(model)(level="node", **{key: size for key, size in sizes.items() if key in keys}).eval()
    with torch.inference_mode():
        whole = network(graph.x, graph.edge_index, graph.edge_weight, part.seeds, part.ptr)
        # chebnet's two layers reach four edges far.
        for batch in loader("neighbor", part, fanouts=(1000,) * 4).batches():
            torch.testing.assert_close(network(*batch.inputs), whole[batch.index], rtol=1e-5, atol=1e-5)


def test_inside_a_cluster_what_a_node_receives_is_exact():
    source = loader("cluster", num_clusters=3, clusters_per_batch=1)
    whole = (GRAPH.x, GRAPH.edge_index, GRAPH.edge_weight, torch.arange(NUM_NODES), PART.ptr)
    expected, cluster = received("normalized", whole), source.cluster
    arriving, is_cut = GRAPH.edge_index[1], cluster[GRAPH.edge_index[0]] != cluster[GRAPH.edge_index[1]]
    has_cut = torch.zeros(NUM_NODES, dtype=torch.bool)
    has_cut[arriving[is_cut]] = True
    for batch in source.batches():
        seeds = PART.seeds[batch.index]
        is_equal = torch.isclose(received("normalized", batch.inputs), expected[seeds], atol=1e-6).all(dim=1)
        assert is_equal[~has_cut[seeds]].all()
        assert not is_equal.all()
    (batch,) = loader("cluster", num_clusters=6, clusters_per_batch=6).batches()
    torch.testing.assert_close(received("normalized", batch.inputs), expected[PART.seeds[batch.index]])


# ---- how each draws


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 12), st.booleans(), st.integers(0, 99))
@settings(max_examples=25)
def test_a_choice_is_of_that_many_and_of_different_neighbours(degrees, fanout, replace, seed):
    degree = torch.tensor(degrees)
    row, offset = choose(degree, fanout, replace, torch.Generator().manual_seed(seed))
    for place, count in enumerate(degrees):
        found = offset[row == place].tolist()
        assert len(found) == (0 if count == 0 else fanout if replace else min(count, fanout))
        assert all(0 <= number < count for number in found)
        assert replace or len(set(found)) == len(found)


def test_every_set_of_neighbours_is_equally_likely():
    _, offset = choose(torch.full((6000,), 5), 3, False, torch.Generator().manual_seed(0))
    counts = (2 ** offset.reshape(6000, 3)).sum(dim=1).bincount()
    counts = counts[counts > 0]
    assert len(counts) == 10
    assert ((counts - 600).abs() < 5 * 600**0.5).all()


def test_the_most_visited_are_kept_with_their_shares():
    visited = torch.tensor([[3, 5, 3, 0, 5, 3, 9, 1], [1, 1, 1, 1, 1, 1, 1, 1], [7, 6, 7, 6, 2, 2, 2, 4]])
    row, node, share = most_visited(visited, torch.tensor([0, 1, 2]), 2)
    assert list(zip(row.tolist(), node.tolist(), strict=True)) == [(0, 3), (0, 5), (2, 6), (2, 7)]
    torch.testing.assert_close(share, torch.tensor([3 / 5, 2 / 5, 1 / 2, 1 / 2]))


def test_the_mean_of_pinsage_is_weighed_by_visits():
    # A star whose hub is asked for: each leaf's walks come back, so all are visited about as often.
    star = Graph(torch.eye(5), both_ways(torch.tensor([[0, 0, 0, 0], [1, 2, 3, 4]])), torch.ones(8))
    part = NodePart(star, torch.tensor([0]), torch.tensor([0]))
    (batch,) = loader("pinsage", part, num_neighbors=(3,), num_walks=1000, walk_length=1).batches()
    share = received("mean", batch.inputs)[0]
    assert share.count_nonzero() == 3
    torch.testing.assert_close(share.sum(), torch.tensor(1.0))
    assert (share[share > 0] - 1 / 3).abs().max() < 0.1


def test_clusters_are_of_one_size_and_cut_few_edges(monkeypatch):
    graph = BlockModel(num_nodes=1000, num_classes=5, degree=10.0, homophily=0.95).load()["train"].graph
    cluster = partitioned(graph, 10, "matching")
    assert torch.bincount(cluster).tolist() == pytest.approx([100] * 10, abs=60)
    source, target = cluster[graph.edge_index]
    assert (source == target).float().mean() > 0.35  # by chance: 0.1
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pymetis", None)
        assert torch.equal(partitioned(graph, 10, "auto"), cluster)
        with pytest.raises(UserError, match=r"^sampler\.partition: metis needs pymetis"):
            partitioned(graph, 10, "metis")
    asked = {}

    def part_graph(count, xadj, adjncy):
        asked.update(count=count, first=adjncy[xadj[7] : xadj[8]].tolist())
        return 0, [node % count for node in range(len(xadj) - 1)]

    monkeypatch.setitem(sys.modules, "pymetis", types.SimpleNamespace(part_graph=part_graph))
    assert partitioned(graph, 10, "auto").tolist() == [node % 10 for node in range(1000)]
    assert asked == {"count": 10, "first": graph.edge_index[1][graph.edge_index[0] == 7].tolist()}


def test_rows_of_sparse_features_are_those_of_dense_ones():
    x, index = torch.eye(4, 6) + torch.eye(4, 6).roll(2, 1), torch.tensor([3, 0, 3, 1])
    assert torch.equal(rows(x.to_sparse_csr(), index).to_dense(), x[index])


# ---- in a run


RUN = ["data=karate", "model=graphsage", "trainer.epochs=3", "trainer.batch_size=2", "logger=none", "device=cpu"]


@pytest.mark.parametrize("name", SAMPLED)
def test_a_run_measures_with_the_whole_graph(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"cluster": ["sampler.num_clusters=4", "sampler.clusters_per_batch=2"], "saint": ["sampler.size=5"]}
    assert main.main([*RUN, f"sampler={name}", *small.get(name, []), "folder=run"]) == 0
    measured = runs.open_run("run").metrics
    # `eval` knows the whole graph alone.
    stored = runs.open_run("run")
    again = trained.measure(check.parse(stored.config), stored.path)
    assert again == {key: pytest.approx(measured[key], rel=1e-5) for key in again}
    exact = loader(name).exact()
    assert not isinstance(exact, SampleLoader)
    (whole,) = exact.batches()
    assert torch.equal(whole.inputs[0], GRAPH.x)
    assert torch.equal(whole.inputs[3], PART.seeds)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["data=motifs", "model=gin"], "sampler=neighbor: takes nodes of one graph apart, and data=motifs has none"),
        (["data=digits", "model=mlp"], "sampler=neighbor: takes nodes of one graph apart, and data=digits has none"),
        (["sampler.fanouts=[]"], "sampler=neighbor: fanouts: is empty"),
        (["sampler.fanouts=[0,2]"], "sampler.fanouts: item 0 must be an integer of at least 1, found 0"),
        (["sampler.fanouts=[.nan]"], "sampler.fanouts: item 0 must be an integer"),
        (["model.num_layers=3"], "sampler=neighbor: samples 2 hops, and the 3 layers of the model need as many"),
        (["sampler.fanout=3"], "sampler.fanout: unknown key; did you mean fanouts?"),
        (["sampler=pinsage", "sampler.num_walks=0"], "sampler.num_walks: must be an integer of at least 1"),
        (["sampler=pinsage", "sampler.num_neighbors=[]"], "sampler=pinsage: num_neighbors: is empty"),
        (["sampler=layer", "sampler.sizes=[]"], "sampler=layer: sizes: is empty"),
        (["sampler=cluster", "sampler.clusters_per_batch=99"], "sampler=cluster: clusters_per_batch: is 99, and there"),
        (["sampler=saint", "sampler.method=tree"], "sampler.method: must be one of node, edge, walk"),
        (["sampler=neighbour"], "sampler: no option 'neighbour'; did you mean neighbor?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_no_sampler_can_do_is_one_line(refused, words, line):
    assert refused(*RUN, *([] if words[0].startswith("sampler=") else ["sampler=neighbor"]), *words).startswith(line)


def test_full_is_the_whole_graph_and_all_that_other_data_know():
    checked = check.parse(compose.tree(["data=karate", "model=gcn"], []))
    full = assemble.sampler(checked, DataSpec("graph", "node_class", level="node"))
    source = full.loader(PART, LoaderOptions(lambda inputs: inputs, CPU, batch_size=8, shuffle=True, seed=0))
    assert not isinstance(source, SampleLoader)
    (batch,) = source.batches(0)
    assert torch.equal(batch.inputs[0], GRAPH.x)
    assert batch.index.tolist() == list(range(len(PART)))
    assert type(assemble.sampler(checked, DataSpec("image", "class"))) is type(full)


def test_saint_says_what_it_cannot_draw():
    lonely = NodePart(Graph(torch.eye(500), torch.zeros(2, 0).long(), torch.zeros(0)), PART.seeds[:1], PART.target[:1])
    with pytest.raises(
        UserError, match=r"^sampler\.size: none of 100 subgraphs of size 1 had one of the 1 train nodes"
    ):
        loader("saint", lonely, size=1)
    with pytest.raises(UserError, match=r"^sampler\.method: edge draws edges, and the graph has none"):
        loader("saint", lonely, method="edge")
