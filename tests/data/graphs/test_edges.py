"""A graph of the user's own: what is read, and what is refused with its row."""

import pytest
import torch

from dlrun.cli import main
from dlrun.data.graphs.edges import EdgeList
from dlrun.errors import UserError

NODES = "name,age,label,height\n" + "".join(f"n{i},{i},{'ab'[i % 2]},{i * i}\n" for i in range(10))
EDGES = "from,to,weight\n" + "".join(f"n{i},n{(i + 1) % 10},{i + 1}\n" for i in range(10))


def made(tmp_path, nodes=NODES, edges=EDGES, **options):
    (tmp_path / "nodes.csv").write_text(nodes)
    (tmp_path / "edges.csv").write_text(edges)
    return EdgeList(nodes=str(tmp_path / "nodes.csv"), edges=str(tmp_path / "edges.csv"), **options)


def test_a_graph_is_read(tmp_path):
    dataset = made(tmp_path, nodes=NODES + "lost,7,,9\n", standardize=False)
    spec, parts = dataset.spec, dataset.load()
    assert (spec.in_features, spec.class_names, spec.feature_names) == (2, ("a", "b"), ("age", "height"))
    graph = parts["train"].graph
    assert graph.x.tolist() == [[i, i * i] for i in range(10)] + [[7, 9]]
    assert graph.num_edges == 20
    assert not graph.is_directed()
    assert graph.names[10] == "lost"
    seeds = torch.cat([part.seeds for part in parts.values()])
    assert sorted(seeds.tolist()) == list(range(10))
    for part in parts.values():
        assert part.target.tolist() == (part.seeds % 2).tolist()


def test_directed_edges_double_ones_and_features_that_are_missing(tmp_path):
    nodes = "id,label\nx,a\ny,b\nz,a\nw,b\n"
    edges = "s,t,weight\nx,y,1\nx,y,2.5\ny,y,1\n"
    graph = made(tmp_path, nodes, edges, directed=True, standardize=False, val_fraction=0).load()["train"].graph
    assert graph.edge_index.tolist() == [[0, 1], [1, 1]]
    assert graph.edge_weight.tolist() == [3.5, 1]
    assert graph.x.tolist() == [[0], [2], [0], [0]]
    both = made(tmp_path, nodes, edges, val_fraction=0).load()["train"].graph
    assert both.edge_index.tolist() == [[0, 1, 1], [1, 0, 1]]
    torch.testing.assert_close(both.x.mean(dim=0), torch.zeros(1))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"edges": EDGES + "n1,nine\n"}, "edges.csv: row 12: 2 fields, the header has 3"),
        ({"edges": EDGES + "n1,nine,1\n"}, "edges.csv: row 12: node 'nine' is not in .*nodes.csv"),
        ({"edges": EDGES + "n1,n22,1\n"}, "did you mean n2"),
        ({"edges": EDGES + "n1,n2,-1\n"}, "edges.csv: row 12, column 'weight': -1 is negative"),
        ({"edges": EDGES + "n1,n2,heavy\n"}, "edges.csv: row 12, column 'weight': 'heavy' is not a number"),
        ({"edges": "from\nn1\n"}, "edges.csv: row 1: two columns are needed"),
        ({"edges": ""}, "edges.csv: is empty"),
        ({"nodes": NODES + "n3,1,a,1\n"}, "nodes.csv: row 12: node 'n3' is already there, in row 5"),
        ({"nodes": NODES + "m,nan,a,1\n"}, "nodes.csv: row 12, column 'age': nan is not a finite number"),
        ({"nodes": NODES + "m,1,a,inf\n"}, "nodes.csv: row 12, column 'height': inf is not a finite number"),
        ({"nodes": NODES + "m,,a,1\n"}, "nodes.csv: row 12, column 'age': an empty field is not a number"),
        ({"nodes": NODES + ",1,a,1\n"}, "nodes.csv: row 12: a node without a name"),
        ({"nodes": "name,label\n"}, "nodes.csv: a header and no rows"),
        ({"nodes": NODES.replace("label", "lable")}, "no column 'label'; did you mean lable"),
        ({"nodes": "name,label\n" + "".join(f"n{i},\n" for i in range(10))}, "column 'label' is empty in every row"),
        ({"nodes": 'name,label\n"n1,a\n'}, "nodes.csv: row 2: 1 fields, the header has 2"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_row(tmp_path, changed, says):
    with pytest.raises(UserError, match=says) as caught:
        made(tmp_path, **changed).load()
    assert "\n" not in str(caught.value)


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made(tmp_path)
    words = ["model=gcn", "data=edges", "data.nodes=nodes.csv", "data.edges=edges.csv", "device=cpu", "logger=none"]
    assert main.main([*words, "trainer.epochs=1"]) == 0
    capsys.readouterr()
    for wrong, says in (
        (["data=edges"], "data.nodes, data.edges: two files are needed"),
        (
            ["data=edges", "data.nodes=node.csv", "data.edges=edges.csv"],
            "data.nodes: no file node.csv; did you mean nodes.csv",
        ),
        (
            ["data=motifs", "model=linear"],
            "model=linear data=motifs: model and data do not fit: the model takes features",
        ),
    ):
        assert main.main(["model=gcn", *wrong, "device=cpu"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
