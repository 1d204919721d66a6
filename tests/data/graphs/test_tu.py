"""Sets of many graphs in the text layout of the TU collection: what is read, what is refused, and the download."""

import io
import zipfile

import pytest
import torch

from dlrun.data.graphs import tu
from dlrun.data.graphs.tu import MUTAG, read_folder
from dlrun.errors import UserError

# Three graphs of 3, 2 and 1 nodes; the edges of the first two are mixed.
FILES = {
    "A": "1, 2\n4, 5\n2, 1\n5, 4\n2, 3\n3, 2\n",
    "graph_indicator": "1\n1\n1\n2\n2\n3\n",
    "graph_labels": "1\n-1\n1\n",
    "node_labels": "3\n5\n3\n3\n5\n9\n",
    "node_attributes": "0.5, 1e-3\n1,2\n3,4\n5,6\n7,8\n9,-1\n",
    "edge_labels": "0\n7\n0\n7\n1\n1\n",
}


def write(folder, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (FILES | changed).items():
        if text is not None:
            (folder / f"tiny_{name}.txt").write_text(text)
    return folder


def test_the_files_are_put_together(tmp_path):
    part = read_folder(write(tmp_path), "tiny")
    assert part.num_nodes.tolist() == [3, 2, 1]
    assert part.num_edges.tolist() == [4, 2, 0]
    assert part.target.tolist() == [1, 0, 1]
    x, edge_index, kind, *_ = part.take(torch.tensor([1])).inputs
    assert x.tolist() == [[5, 6, 1, 0, 0], [7, 8, 0, 1, 0]]
    assert edge_index.tolist() == [[0, 1], [1, 0]]
    assert kind.tolist() == [[0, 0, 1], [0, 0, 1]]
    _, edge_index, kind, *_ = part.take(torch.tensor([0])).inputs
    assert edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert kind.argmax(dim=1).tolist() == [0, 0, 1, 1]
    assert [tensor.shape for tensor in part.take(torch.tensor([2])).inputs[:3]] == [(1, 5), (2, 0), (0, 3)]


def test_further_files_need_not_be_there(tmp_path):
    part = read_folder(write(tmp_path, node_labels=None, node_attributes=None, edge_labels=None), "tiny")
    assert part.x.tolist() == [[1]] * 6
    assert part.edge_weight.tolist() == [1] * 6
    labels = read_folder(write(tmp_path / "b", node_attributes=None), "tiny")
    assert labels.x.argmax(dim=1).tolist() == [0, 1, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("A", "1, 2\n2, x\n", "row 2: 'x' is not a finite number"),
        ("A", "1, 2\n\n2, 1\n", "row 2: a missing field is not a finite number"),
        ("A", "1, 2\n2\n", "row 2: a missing field is not a finite number"),
        ("A", "1, 2\n2, 1, 3\n", "row 2: has more numbers than the rows before it"),
        ("A", "1\n2\n", "row 1: has 1 numbers, expected 2"),
        ("A", "1, 2\n2, 1.5\n", "row 2: is not a whole number"),
        ("A", "1, 2\n2, 1e300\n", "row 2: is too large a number"),
        ("A", "1, 2\n7, 1\n", "row 2: leads to a node that is not there; the nodes are 1 to 6"),
        ("A", "1, 2\n0, 1\n", "row 2: leads to a node that is not there"),
        ("A", "1, 2\n3, 4\n", "row 2: joins nodes of two graphs"),
        ("A", "", "is empty"),
        ("A", "<html>no</html>", "row 1: is a web page"),
        ("A", "1, \0\n", "row 1: holds a zero byte"),
        ("graph_indicator", "1\n1\n1\n2\n2\n4\n", "row 6: names no graph; they are 1 to 3"),
        ("graph_indicator", "1\n2\n1\n2\n2\n3\n", "row 3: goes back to an earlier graph"),
        ("graph_indicator", "1\n1\n1\n1\n1\n3\n", "graph 2 has no node"),
        ("graph_indicator", "1\n1\n1\nnan\n2\n3\n", "row 4: 'nan' is not a finite number"),
        ("node_labels", "1\n2\n", "has 2 rows, tiny_graph_indicator.txt has 6"),
        ("node_attributes", "1,2\n3,4\n", "has 2 rows, tiny_graph_indicator.txt has 6"),
        ("node_attributes", "1,2\n3,inf\n", "row 2: 'inf' is not a finite number"),
        ("edge_labels", "1\n", "has 1 rows, tiny_A.txt has 6"),
    ],
)
def test_a_bad_file_is_one_line_with_its_row(tmp_path, name, text, says):
    with pytest.raises(UserError) as caught:
        read_folder(write(tmp_path, **{name: text}), "tiny")
    assert str(caught.value).startswith(f"{tmp_path}/tiny_{name}.txt: {says}")
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"no file .*tiny_graph_indicator\.txt"):
        read_folder(tmp_path, "tiny")


def archive(inside="MUTAG/", **changed):
    """A zip archive of ten molecules, each a pair of atoms, in which all kinds occur."""
    count = range(10)
    files = {
        "A": "".join(f"{2 * n + 1}, {2 * n + 2}\n{2 * n + 2}, {2 * n + 1}\n" for n in count),
        "graph_indicator": "".join(f"{n + 1}\n{n + 1}\n" for n in count),
        "graph_labels": "".join(f"{n % 2 * 2 - 1}\n" for n in count),
        "node_labels": "".join(f"{n % 7}\n" for n in range(20)),
        "edge_labels": "".join(f"{n % 4}\n" for n in range(20)),
    } | changed
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        for name, text in files.items():
            target.writestr(f"{inside}MUTAG_{name}.txt", text)
        target.writestr("../README.txt", "not asked for")
    return packed.getvalue()


@pytest.fixture
def mutag(server, tmp_path):
    server.answers["/MUTAG.zip"] = server.content(archive())
    return lambda: MUTAG(root=str(tmp_path), mirrors=(f"{server.url}/gone", server.url), test_fraction=0.2)


def test_downloads_once_and_splits_each_class_alike(server, mutag, tmp_path):
    parts = mutag().load()
    assert server.asked == ["/gone/MUTAG.zip", "/MUTAG.zip"]
    assert {name: len(part) for name, part in parts.items()} == {"train": 7, "val": 1, "test": 2}
    assert sorted(parts["test"].target.tolist()) == [0, 1]
    assert not list(tmp_path.glob("**/README*"))
    (tmp_path / "tu/MUTAG/MUTAG.zip").unlink()
    again = mutag().load()
    assert len(server.asked) == 2
    assert torch.equal(again["train"].x, parts["train"].x)
    spec = mutag().spec
    assert (spec.in_features, spec.num_edge_features) == (
        parts["train"].x.shape[1],
        parts["train"].edge_weight.shape[1],
    )


def test_an_archive_put_there_by_hand_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    with pytest.raises(
        UserError, match=r"data=mutag: MUTAG\.zip not found, and DLRUN_OFFLINE is set; use data=motifs.* put MUTAG\.zip"
    ):
        MUTAG(root=str(tmp_path)).load()
    (tmp_path / "tu/MUTAG").mkdir(parents=True)
    (tmp_path / "tu/MUTAG/MUTAG.zip").write_bytes(archive(inside=""))
    assert len(MUTAG(root=str(tmp_path)).load()["train"]) == 8


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (archive()[:300], r"MUTAG\.zip: cannot be unpacked"),
        (b"no zip", r"MUTAG\.zip: cannot be unpacked"),
        (archive(node_labels="0\n" * 20), "has 1 features of a node, expected 7"),
        (archive(edge_labels="0\n" * 20), "has 1 features of an edge, expected 4"),
        (archive(graph_labels="1\n" * 10), "has 1 classes, expected 2"),
    ],
)
def test_a_bad_archive_is_one_line(server, mutag, content, says):
    server.answers["/MUTAG.zip"] = server.content(content)
    with pytest.raises(UserError, match=says) as caught:
        mutag().load()
    assert "\n" not in str(caught.value)


def test_the_three_sets_name_their_origin():
    for data in (tu.MUTAG, tu.Proteins, tu.Enzymes):
        assert data().mirrors == tu.MIRRORS
        assert data().folder.name == data.folder_name
