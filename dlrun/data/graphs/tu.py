"""Three sets of many small graphs from the TU collection: molecules and proteins (Morris et al. 2020).

Their text files have one line a node, an edge or a graph, all graphs one after another.

Letters: N nodes and E edges of all graphs, G graphs, F features of a node, D of an edge.
"""

import functools
import io
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.config.places import data_root
from dlrun.config.schema import FilePath, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data import download
from dlrun.data.graphs.parts import GraphsPart
from dlrun.data.reading import read_utf8
from dlrun.data.splits import split_off
from dlrun.engine.contracts import DataSet, Part
from dlrun.errors import UserError

# The origin under its name of today and its old one.
MIRRORS = (
    "https://www.chrsmrrs.com/graphkerneldatasets/",
    "https://ls11-www.cs.tu-dortmund.de/people/morris/graphkerneldatasets/",
)
NEEDED = ("A", "graph_indicator", "graph_labels")
FURTHER = ("node_labels", "node_attributes", "edge_labels")


class TUDataset(DataSet):
    """What the three share: text files `<name>_*.txt` of one folder, unpacked from `<name>.zip`.

    **Class attributes:**

    - `folder_name`: the folder below `<root>/tu`, and how its files begin; in lower case, the name of the data set.
    - `classes`: one name a class, in the order of the labels.
    - `in_features`, `num_edge_features`: the numbers of features of a node and of an edge.
    """

    kind: str = "graph"
    target: str = "graph_class"
    source: str = "download"
    stand_in: str = "data=motifs"
    folder_name: str
    classes: tuple[str, ...]
    in_features: int
    num_edge_features = 1

    def __init__(
        self, *, root: FilePath | None = None, val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.1,
        split_seed: Seed = 42, mirrors: tuple[str, ...] | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `val_fraction`, `test_fraction`: the shares of the graphs that become the val and the test part.
        - `split_seed`: chooses the graphs of each part.
        - `mirrors`: addresses of folders to download from, tried in order; None: the built-in ones.
        """
        self.folder = data_root(root) / "tu" / self.folder_name
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed
        self.mirrors = mirrors or MIRRORS

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="graph", target="graph_class", level="graph", in_features=self.in_features,
            num_edge_features=self.num_edge_features, out_features=len(self.classes), class_names=self.classes,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        fractions = {"val_fraction": self.val_fraction, "test_fraction": self.test_fraction}
        return split_off(self._whole, **fractions, seed=self.split_seed)

    @functools.cached_property
    def _whole(self) -> GraphsPart:
        name = self.folder_name
        files = {part: f"{name}_{part}.txt" for part in (*NEEDED, *FURTHER)}
        if not all((self.folder / files[part]).is_file() for part in NEEDED):
            archive = f"{name}.zip"
            # Nobody publishes a checksum; the archive has one of each file in it.
            download.fetch(name.lower(), self.folder, {archive: None}, self.mirrors, self.stand_in)
            download.unzip(self.folder / archive, self.folder, tuple(files.values()))
        part = read_folder(self.folder, name)
        found = (part.x.shape[1], part.edge_weight[:1].numel(), int(part.target.max()) + 1)
        expected = (self.in_features, self.num_edge_features, len(self.classes))
        names = ("features of a node", "features of an edge", "classes")
        for what, has, wants in zip(names, found, expected, strict=True):
            if has != wants:
                raise UserError(f"{self.folder}: has {has} {what}, expected {wants}; delete the folder and start again")
        return part


class MUTAG(TUDataset):
    """188 molecules of 10 to 28 atoms: do they damage genes (Debnath et al. 1991)?

    A node's features (N, 7) say which element it is, an edge's (E, 4) the kind of bond. Files: `<root>/tu/MUTAG`,
    downloaded once if they are not there. The graphs are split by `split_seed`, each class alike.
    """

    folder_name = "MUTAG"
    classes = ("not mutagenic", "mutagenic")
    in_features = 7
    num_edge_features = 4


class Proteins(TUDataset):
    """1113 proteins of 4 to 620 parts of their chain: enzymes, or not (Borgwardt et al. 2005)?

    A node's features (N, 4) are one measurement, then the kind of part. Files: `<root>/tu/PROTEINS`, downloaded once if
    they are not there. The graphs are split by `split_seed`, each class alike.
    """

    folder_name = "PROTEINS"
    classes = ("class 1", "class 2")
    in_features = 4


class Enzymes(TUDataset):
    """600 enzymes of 2 to 126 parts of their chain: which of six things do they do (Borgwardt et al. 2005)?

    A node's features (N, 21) are 18 measurements, then the kind of part. Files: `<root>/tu/ENZYMES`, downloaded once if
    they are not there. The graphs are split by `split_seed`, each class alike.
    """

    folder_name = "ENZYMES"
    classes = tuple(f"EC {number}" for number in range(1, 7))
    in_features = 21


def read_folder(folder: Path, name: str) -> GraphsPart:
    """The graphs of `<name>_A.txt`, `_graph_indicator.txt`, `_graph_labels.txt`, and of further files that are there.

    A node's features (N, F) are its attributes, then one column for each kind of node that occurs, or 1 without both;
    an edge's (E, D) one column for each kind of edge, or the weight 1. Classes are numbered in the order of their
    labels.

    **Raises:** `UserError` with file and row for what is no number, and for files that do not fit together.
    """
    files = {part: folder / f"{name}_{part}.txt" for part in ("A", "graph_indicator", "graph_labels")}
    indicator = _whole_numbers(files["graph_indicator"], 1).flatten()
    labels = _whole_numbers(files["graph_labels"], 1).flatten()
    edges = _whole_numbers(files["A"], 2).T - 1
    num_nodes = _sizes(indicator, len(labels), files["graph_indicator"])
    graph = indicator - 1
    outside = ((edges < 0) | (edges >= len(graph))).any(dim=0)
    _refuse(outside, files["A"], f"leads to a node that is not there; the nodes are 1 to {len(graph)}")
    _refuse(graph[edges[0]] != graph[edges[1]], files["A"], "joins nodes of two graphs")
    order = graph[edges[0]].argsort(stable=True)
    edges = edges[:, order]
    starts = num_nodes.cumsum(0) - num_nodes
    kinds = _further(folder / f"{name}_edge_labels.txt", edges.shape[1], files["A"])
    return GraphsPart(
        _features(folder, name, len(graph), files["graph_indicator"]), edges - starts[graph[edges[0]]],
        torch.ones(edges.shape[1]) if kinds is None else _one_hot(kinds[order]), num_nodes,
        torch.bincount(graph[edges[0]], minlength=len(labels)), labels.unique(return_inverse=True)[1],
    )  # fmt: skip


def _features(folder: Path, name: str, count: int, indicator: Path) -> Tensor:
    """(N, F): attributes and kinds of the nodes."""
    columns = []
    attributes = folder / f"{name}_node_attributes.txt"
    if attributes.is_file():
        columns.append(_numbers(attributes).float())
        _check_rows(attributes, len(columns[0]), count, indicator)
    kinds = _further(folder / f"{name}_node_labels.txt", count, indicator)
    if kinds is not None:
        columns.append(_one_hot(kinds))
    return torch.cat(columns, dim=1) if columns else torch.ones(count, 1)


def _further(path: Path, count: int, beside: Path) -> Tensor | None:
    """The labels (count,) of a file that need not be there."""
    if not path.is_file():
        return None
    labels = _whole_numbers(path, 1).flatten()
    _check_rows(path, len(labels), count, beside)
    return labels


def _one_hot(kinds: Tensor) -> Tensor:
    return F.one_hot(kinds.unique(return_inverse=True)[1]).float()


def _sizes(indicator: Tensor, num_graphs: int, path: Path) -> Tensor:
    """The nodes of each graph (G,), whose numbers (N,) start with 1 and rise."""
    _refuse((indicator < 1) | (indicator > num_graphs), path, f"names no graph; they are 1 to {num_graphs}")
    falls = torch.cat([indicator[:1] < 1, indicator[1:] < indicator[:-1]])
    _refuse(falls, path, "goes back to an earlier graph; the nodes of a graph must stand together")
    sizes = torch.bincount(indicator - 1, minlength=num_graphs)
    if (sizes == 0).any():
        raise UserError(f"{path}: graph {int((sizes == 0).nonzero()[0]) + 1} has no node")
    return sizes


def _refuse(is_wrong: Tensor, path: Path, reason: str) -> None:
    """**Raises:** `UserError` that names the first row where `is_wrong`."""
    if is_wrong.any():
        raise UserError(f"{path}: row {int(is_wrong.nonzero()[0]) + 1}: {reason}")


def _check_rows(path: Path, found: int, expected: int, beside: Path) -> None:
    if found != expected:
        raise UserError(f"{path}: has {found} rows, {beside.name} has {expected}")


def _whole_numbers(path: Path, columns: int) -> Tensor:
    """(rows, columns) of int64."""
    values = _numbers(path)
    if values.shape[1] != columns:
        raise UserError(f"{path}: row 1: has {values.shape[1]} numbers, expected {columns}")
    _refuse((values != values.round()).any(dim=1), path, "is not a whole number")
    _refuse((values.abs() > 2**53).any(dim=1), path, "is too large a number")
    return values.long()


def _numbers(path: Path) -> Tensor:
    """(rows, columns) of float64: lines of numbers with commas between, as many in each."""
    import pandas as pd

    text = read_utf8(path, "root").rstrip()
    if not text:
        raise UserError(f"{path}: is empty")
    options = {"header": None, "dtype": str, "skipinitialspace": True, "skip_blank_lines": False, "quoting": 3}
    try:
        frame = pd.read_csv(io.BytesIO(text), keep_default_na=False, **options)  # type: ignore[call-overload]
    except (pd.errors.ParserError, ValueError) as error:
        row = re.search(r"in line (\d+)", str(error))
        found = f"row {row.group(1)}: " if row else ""
        raise UserError(f"{path}: {found}has more numbers than the rows before it") from error
    read = [pd.to_numeric(frame[column], errors="coerce") for column in frame]  # type: ignore[call-overload]
    values = np.stack([np.asarray(column, dtype=np.float64) for column in read], axis=1)
    is_wrong = ~np.isfinite(values)
    if is_wrong.any():
        row, column = np.argwhere(is_wrong)[0]
        field = frame.iat[row, column]
        found = repr(field[:40]) if isinstance(field, str) and field else "a missing field"
        raise UserError(f"{path}: row {row + 1}: {found} is not a finite number")
    return torch.from_numpy(values)
