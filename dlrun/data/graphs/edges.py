"""A graph of the user's own, from two CSV files: nodes with their features and classes, and edges with weights."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from dlrun.config import schema
from dlrun.config.schema import ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.graphs.graph import Graph
from dlrun.data.graphs.parts import NodePart
from dlrun.data.read_once import ReadOnce
from dlrun.data.reading import read_utf8
from dlrun.data.splits import split_off
from dlrun.data.tables.features import statistics
from dlrun.engine.contracts import Part
from dlrun.errors import UserError

SHOWN = 40  # characters of a word in a message


class EdgeList(ReadOnce):
    """Your own graph: a CSV file of nodes, and one of the edges between them.

    Both have a header. `nodes`: the first column names the node, the column `label` holds its class (an empty field:
    not known), every other column is a number. `edges`: the first two columns name the two ends, the column `weight`,
    if there is one, weighs the edge. Without a further column of `nodes` the features say how many edges a node has.

    Edges go both ways unless `directed`; one that is there twice counts with the sum of its weights. The nodes with a
    class are split by `split_seed`.

    **Raises:** `UserError` with file and row for an edge to a node that is not there, a node named twice, a field that
    is no finite number, a row with too few or too many fields; for a file without a row, or without a class.
    """

    kind: str = "graph"
    target: str = "node_class"
    source: str = "yours"
    stand_in: str = "data=karate"

    def __init__(
        self, *, nodes: str | None = None, edges: str | None = None, label: str = "label", weight: str = "weight",
        directed: bool = False, standardize: bool = True, val_fraction: ProperFraction = 0.1,
        test_fraction: ProperFraction = 0.2, split_seed: Seed = 42,
    ):  # fmt: skip
        """**Arguments:**

        - `nodes`, `edges`: the two files; both are needed.
        - `label`: the column of `nodes` that holds the class.
        - `weight`: the column of `edges` that holds the weight, at least 0; without it every edge weighs 1.
        - `directed`: whether an edge leads from its first end to its second only, or both ways.
        - `standardize`: whether the model gets (x - mean) / std of each feature, over all nodes, or the raw values.
        - `val_fraction`, `test_fraction`: the shares of the nodes with a class that become the val and the test part.
        - `split_seed`: chooses the nodes of each part.
        """
        if nodes is None or edges is None:
            raise UserError("data.nodes, data.edges: two files are needed; write data.nodes=FILE data.edges=FILE")
        self.nodes, self.edges = Path(nodes).expanduser(), Path(edges).expanduser()
        self.label, self.weight, self.directed, self.standardize = label, weight, directed, standardize
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        names, x, classes, feature_names = self._read_nodes()
        edge_index, weight = self._read_edges(names)
        if not feature_names:
            feature_names = ("edges",)
            x = torch.bincount(edge_index[1], minlength=len(names)).float().unsqueeze(1)
        class_names = tuple(sorted({name for name in classes if name}))
        if not class_names:
            raise UserError(f"{self.nodes}: column {self.label!r} is empty in every row; there is nothing to learn")
        target = torch.tensor([class_names.index(name) if name else -1 for name in classes])
        seeds = (target >= 0).nonzero().flatten()
        if self.standardize:
            # The features of all nodes are seen in training, so all may say how they are spread; no class is looked at.
            mean, std = statistics(x)
            x = (x - torch.tensor(mean)) / torch.tensor(std)
        whole = NodePart(Graph(x, edge_index, weight, tuple(names)), seeds, target[seeds])
        fractions = {"val_fraction": self.val_fraction, "test_fraction": self.test_fraction}
        parts = split_off(whole, **fractions, seed=self.split_seed)
        spec = DataSpec(
            kind="graph", target="node_class", level="node", in_features=x.shape[1], num_edge_features=1,
            out_features=len(class_names), class_names=class_names, feature_names=feature_names,
            target_name=self.label,
        )  # fmt: skip
        return spec, parts

    def _read_nodes(self) -> tuple[dict[str, int], Tensor, list[str], tuple[str, ...]]:
        """(The position of each node by its name, features (N, F), classes, the names of the features)."""
        header, rows = _rows(self.nodes, "nodes")
        if self.label not in header[1:]:
            near = schema.suggest(self.label, header[1:])
            raise UserError(f"{self.nodes}: row 1: no column {self.label!r}{near} (columns: {', '.join(header)})")
        label_column = header.index(self.label, 1)
        columns = [column for column in range(1, len(header)) if column != label_column]
        names: dict[str, int] = {}
        first: dict[str, int] = {}
        values, classes = [], []
        for line, fields in rows:
            name = fields[0]
            if not name:
                raise UserError(f"{self.nodes}: row {line}: a node without a name")
            if name in names:
                raise UserError(f"{self.nodes}: row {line}: node {_short(name)} is already there, in row {first[name]}")
            names[name], first[name] = len(names), line
            values.append([_number(fields[c], f"{self.nodes}: row {line}, column {header[c]!r}") for c in columns])
            classes.append(fields[label_column])
        if not names:
            raise UserError(f"{self.nodes}: a header and no rows; a graph needs at least one node")
        x = torch.tensor(values).reshape(len(names), len(columns))
        return names, x, classes, tuple(header[column] for column in columns)

    def _read_edges(self, names: dict[str, int]) -> tuple[Tensor, Tensor]:
        """(Edges (2, E), sorted, each once; their weights (E,))."""
        header, rows = _rows(self.edges, "edges")
        if len(header) < 2:
            raise UserError(f"{self.edges}: row 1: two columns are needed, the ends of an edge; found {header[0]!r}")
        column = header.index(self.weight, 2) if self.weight in header[2:] else None
        ends, weights = [], []
        for line, fields in rows:
            for name in fields[:2]:
                if name not in names:
                    near = schema.suggest(name, names) if len(names) <= 10_000 else ""
                    raise UserError(f"{self.edges}: row {line}: node {_short(name)} is not in {self.nodes}{near}")
            ends.append((names[fields[0]], names[fields[1]]))
            source = f"{self.edges}: row {line}, column {self.weight!r}"
            weights.append(1.0 if column is None else _number(fields[column], source))
            if weights[-1] < 0:
                raise UserError(f"{source}: {weights[-1]:g} is negative; a weight must be at least 0")
        pairs = torch.tensor(ends, dtype=torch.int64).reshape(-1, 2).T
        weight = torch.tensor(weights)
        if not self.directed:
            back = pairs[0] != pairs[1]
            pairs, weight = torch.cat([pairs, pairs[:, back].flip(0)], dim=1), torch.cat([weight, weight[back]])
        summed = torch.sparse_coo_tensor(pairs, weight, (len(names), len(names)), check_invariants=True).coalesce()
        return summed.indices(), summed.values()


def _rows(path: Path, key: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """(The header, the other rows with their line), every field without blanks around it."""
    reader = csv.reader(io.StringIO(read_utf8(path, key).decode(), newline=""), skipinitialspace=True)

    def checked() -> Iterator[tuple[int, list[str]]]:
        try:
            for fields in reader:
                if fields:
                    yield reader.line_num, [field.strip() for field in fields]
        except csv.Error as error:
            raise UserError(f"{path}: row {reader.line_num}: {error}") from error

    lines = checked()
    _, header = next(lines, (0, []))
    if not header:
        raise UserError(f"{path}: is empty; the first row must name the columns")

    def rows() -> Iterator[tuple[int, list[str]]]:
        for line, fields in lines:
            if len(fields) != len(header):
                raise UserError(f"{path}: row {line}: {len(fields)} fields, the header has {len(header)}")
            yield line, fields

    return header, rows()


def _number(field: str, source: str) -> float:
    try:
        value = float(field)
    except ValueError:
        found = f"{_short(field)} is" if field else "an empty field is"
        raise UserError(f"{source}: {found} not a number") from None
    if not abs(value) <= torch.finfo(torch.float32).max:
        raise UserError(f"{source}: {field} is not a finite number")
    return value


def _short(word: str) -> str:
    return repr(word if len(word) <= SHOWN else f"{word[:SHOWN]}…")
