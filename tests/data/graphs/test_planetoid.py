"""Citation networks: the pickled files are read, and nothing else that a pickle could do."""

import os
import pickle

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from dlrun.data.graphs import planetoid
from dlrun.data.graphs.planetoid import Cora, read_folder, read_pickle
from dlrun.errors import UserError


def write(folder, **changed):
    """Five papers: two to train on, three of the test part in the order 4, 2, 6 (3 and 5 are gaps)."""
    files = {
        "x": csr_matrix(np.eye(2, 3, dtype="float32")),
        "y": np.eye(2, dtype="int32"),
        "allx": csr_matrix(np.eye(2, 3, dtype="float32")),
        "ally": np.eye(2, dtype="int32"),
        "tx": csr_matrix(np.array([[0, 0, 4], [0, 0, 2], [0, 6, 6]], dtype="float32")),
        "ty": np.eye(2, dtype="int32")[[0, 1, 1]],
        "graph": {0: [1, 1, 0], 1: [4], 4: [], 2: [6]},
    } | changed
    for name, value in files.items():
        (folder / f"ind.tiny.{name}").write_bytes(pickle.dumps(value, protocol=2))
    (folder / "ind.tiny.test.index").write_text("4\n2\n6\n")


def test_the_files_are_put_together(tmp_path):
    write(tmp_path)
    graph, target, num_train = read_folder(tmp_path, "tiny", 3, 2)
    assert graph.x.to_dense()[[4, 2, 6]].tolist() == [[0, 0, 4], [0, 0, 2], [0, 6, 6]]
    assert graph.x.to_dense()[[3, 5]].count_nonzero() == 0
    assert target.tolist() == [0, 1, 1, -1, 0, -1, 1]
    assert graph.edge_index.tolist() == [[0, 1, 1, 2, 4, 6], [1, 0, 4, 6, 1, 2]]
    assert num_train == 2
    assert planetoid.rows_to_one(graph.x).to_dense().sum(dim=1).tolist() == [1, 1, 1, 0, 1, 0, 1]


class Command:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_a_command_runs_nothing(tmp_path, protocol):
    (tmp_path / "ind.x").write_bytes(pickle.dumps([Command(tmp_path / "harm")], protocol=protocol))
    with pytest.raises(UserError, match=r"ind\.x: cannot be read \(posix\.system is not among them\)") as caught:
        read_pickle(tmp_path / "ind.x")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "name", ["builtins\neval", "builtins\ngetattr", "numpy\nload", "os\nsystem", "numpy\nfromfile"]
)
def test_only_the_names_of_these_files_are_known(tmp_path, name):
    (tmp_path / "x").write_bytes(f"c{name}\n(S'1'\ntR.".encode())
    with pytest.raises(UserError, match="is not among them"):
        read_pickle(tmp_path / "x")


@pytest.mark.parametrize(
    "value", [np.array([None, "x"], dtype=object), np.zeros(2, dtype=">f8"), np.zeros(2, dtype="complex128")]
)
def test_arrays_of_anything_but_plain_numbers_are_refused(tmp_path, value):
    (tmp_path / "x").write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(UserError, match="x: cannot be read"):
        read_pickle(tmp_path / "x")


def test_every_cut_off_file_is_one_line(tmp_path):
    whole = pickle.dumps(csr_matrix(np.eye(3, dtype="float32")), protocol=2)
    for length in range(0, len(whole), 5):
        (tmp_path / "x").write_bytes(whole[:length])
        with pytest.raises(UserError, match="x: cannot be read"):
            read_pickle(tmp_path / "x")


@pytest.mark.parametrize(
    "changed",
    [
        {"ty": np.eye(2, dtype="int32")},
        {"graph": {0: [99]}},
        {"graph": {0: ["a"]}},
        {"graph": [1]},
        {"tx": np.eye(3)},
        {"tx": csr_matrix(np.full((3, 9), 1.0))},
        {"tx": csr_matrix(np.full((3, 3), np.nan))},
    ],
)
def test_files_that_do_not_fit_together_are_one_line(tmp_path, changed):
    write(tmp_path, **changed)
    with pytest.raises(UserError) as caught:
        read_folder(tmp_path, "tiny", 3, 2)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.real
def test_cora():
    parts = Cora().load()
    graph = parts["train"].graph
    assert {name: len(part) for name, part in parts.items()} == {"train": 140, "val": 500, "test": 1000}
    assert (graph.num_nodes, graph.num_edges, graph.x.shape[1]) == (2708, 10556, 1433)
    assert len(graph.x.values()) == 49216
    assert torch.bincount(parts["train"].target).tolist() == [20] * 7
    assert torch.bincount(parts["test"].target).tolist() == [130, 91, 144, 319, 149, 103, 64]
    torch.testing.assert_close(graph.x.to_dense().sum(dim=1), torch.ones(2708))
