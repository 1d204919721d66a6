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


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_both_files_are_read_with_any_separator_and_with_or_without_a_header(tmp_path, separator, capsys):
    whole = made(tmp_path, standardize=False).load()["train"]
    nodes = NODES.replace("name,age,label,height\n", "")
    nodes = "".join("{0},{1},{3},{2}\n".format(*line.split(",")) for line in nodes.splitlines())
    edges = EDGES.replace("from,to,weight\n", "")
    for its_nodes, its_edges in ((nodes, edges), ("id,age,height,label\n" + nodes, edges)):
        other = made(
            tmp_path, its_nodes.replace(",", separator), its_edges.replace(",", separator), standardize=False, weight=2
        ).load()["train"]
        assert torch.equal(other.graph.edge_index, whole.graph.edge_index)
        assert torch.equal(other.graph.edge_weight, whole.graph.edge_weight)
        assert torch.equal(other.graph.x, whole.graph.x) and torch.equal(other.target, whole.target)
    assert "nodes.csv: no header; the last column is the class" in capsys.readouterr().out


def test_an_edge_in_both_directions_is_one_edge(tmp_path, capsys):
    nodes = "id,label\nx,a\ny,b\nz,a\nw,b\n"
    once = made(tmp_path, nodes, "s,t,weight\nx,y,2\ny,z,3\nz,z,1\n", val_fraction=0).load()["train"].graph
    text = "s,t,weight\nx,y,2\ny,x,2\nz,y,3\ny,z,3\nz,z,1\n"
    both = made(tmp_path, nodes, text, val_fraction=0).load()["train"].graph
    assert torch.equal(once.edge_index, both.edge_index) and torch.equal(once.edge_weight, both.edge_weight)
    assert torch.equal(once.x, both.x)
    assert "2 edges are there in both directions: one edge each; data.directed=true" in capsys.readouterr().out
    unequal = made(tmp_path, nodes, text.replace("y,x,2", "y,x,4"), val_fraction=0).load()["train"].graph
    assert unequal.edge_weight.tolist() == [3, 3, 3, 3, 1]
    assert "1 of them with two weights, of which the mean is taken" in capsys.readouterr().out


def test_features_are_texts_or_missing_as_in_a_table(tmp_path, capsys):
    nodes = "id,colour,age,label\n" + "".join(f"n{i},{('red', 'blue')[i % 2]},{i},{'ab'[i % 2]}\n" for i in range(10))
    dataset = made(tmp_path, nodes.replace("red,4", "?,?"), standardize=False, missing="mean")
    assert dataset.spec.feature_names == ("colour=blue", "colour=red", "age")
    assert dataset.load()["train"].graph.x[[0, 1, 4]].tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, pytest.approx(41 / 9)]]
    assert "missing numbers become the mean" in capsys.readouterr().out
    with pytest.raises(
        UserError, match=r"row 6, column 'colour': '\?' stands for a missing value \(1 in 'colour', 1 in"
    ):
        made(tmp_path, nodes.replace("red,4", "?,?")).load()


def test_a_node_may_be_called_as_a_missing_value_is(tmp_path):
    graph = made(tmp_path, "id,label\nNA,a\nNone,b\n?,a\n007,b\n", "s,t\nNA,None\n?,007\n", val_fraction=0)
    assert graph.load()["train"].graph.names == ("NA", "None", "?", "007")


def test_a_graph_whose_first_node_has_no_edge_keeps_it(tmp_path):
    nodes = "lost,1.5,7,a\n" + "".join(f"n{i},{i}.5,{i * i},{'ab'[i % 2]}\n" for i in range(10))
    graph = made(tmp_path, nodes, EDGES).load()["train"].graph
    assert graph.names[0] == "lost" and graph.num_nodes == 11


def test_nodes_without_a_class_are_in_no_part_and_can_be_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    nodes = NODES.replace("n3,3,b,9", "n3,3,,9").replace("n4,4,a,16", "n4,4,NA,16")
    dataset = made(tmp_path, nodes)
    seeds = torch.cat([part.seeds for part in dataset.load().values()])
    assert sorted(seeds.tolist()) == [0, 1, 2, 5, 6, 7, 8, 9] and dataset.unanswered() == ["n3", "n4"]
    words = ["model=gcn", "data=edges", "data.nodes=nodes.csv", "data.edges=edges.csv", "device=cpu", "logger=none"]
    assert main.main([*words, "trainer.epochs=1", "folder=run"]) == 0
    assert "2 of 10 nodes have no class" in capsys.readouterr().out

    def asked(*names):
        assert main.main(["predict", "run", *names]) == 0
        return [line.split()[:3] for line in capsys.readouterr().out.splitlines() if line.startswith("n")]

    everything = asked(*(f"n{i}" for i in range(10)))
    assert [line[0] for line in everything] == [f"n{i}" for i in range(10)]
    assert asked() == [everything[3], everything[4]]
    assert main.main(["predict", "run", "n33"]) == 2
    assert f"'n33' is no node of {tmp_path}/nodes.csv; did you mean n3?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"edges": EDGES + "n1,nine\n"}, "edges.csv: row 12: 2 fields, but the first row has 3"),
        ({"edges": EDGES + "n1,nine,1\n"}, "edges.csv: row 12: node 'nine' is not in .*nodes.csv"),
        ({"edges": EDGES + "n1,n22,1\n"}, "did you mean n2"),
        ({"edges": EDGES + "n1,n2,-1\n"}, "edges.csv: row 12, column 'weight': '-1' is negative"),
        ({"edges": EDGES + "n1,n2,heavy\n"}, "edges.csv: row 12, column 'weight': 'heavy' is not a number"),
        ({"edges": "from\nn1\n"}, "edges.csv: row 1: two columns are needed"),
        ({"edges": ""}, "edges.csv: is empty"),
        ({"nodes": NODES + "n3,1,a,1\n"}, "nodes.csv: row 12: node 'n3' is already there, in row 5"),
        ({"nodes": NODES + "m,nan,a,1\n"}, "nodes.csv: row 12, column 'age': 'nan' stands for a missing value"),
        ({"nodes": NODES + "m,1,a,inf\n"}, "nodes.csv: row 12, column 'height': 'inf' is too large"),
        ({"nodes": NODES + "m,,a,1\n"}, "nodes.csv: row 12, column 'age': an empty field stands for a missing value"),
        ({"nodes": NODES + ",1,a,1\n"}, "nodes.csv: row 12, column 'name': an empty field is a node without a name"),
        ({"nodes": "name,label\n"}, "nodes.csv: a header and no rows"),
        (
            {"nodes": NODES.replace("label", "lable")},
            "data.label: no column 'label' in .*; did you mean lable",
        ),
        ({"nodes": "name,label\n" + "".join(f"n{i},\n" for i in range(10))}, "column 'label': is empty in every row"),
        ({"nodes": 'name,label\n"n1,a\n'}, "nodes.csv: row 2: 1 fields, but the first row has 2"),
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
