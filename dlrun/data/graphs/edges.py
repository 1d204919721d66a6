"""A graph of the user's own, from two CSV files: nodes with their features and classes, and edges with weights."""

import functools
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dlrun.config import schema
from dlrun.config.schema import FilePath, PositiveInt, ProperFraction, Seed, few
from dlrun.config.spec import DataSpec
from dlrun.data.graphs.graph import Graph
from dlrun.data.graphs.parts import NodePart
from dlrun.data.read_once import ReadOnce
from dlrun.data.reading import is_like_path, read_utf8
from dlrun.data.splits import lines_of
from dlrun.data.tables import rules as tables
from dlrun.data.tables.csv_reading import SHOWN, Sheet, Words, open_sheet
from dlrun.data.tables.features import statistics
from dlrun.data.tables.rules import Mistakes, Rules
from dlrun.data.tables.values import ordered, quoted
from dlrun.engine.contracts import Part
from dlrun.errors import UserError, bounded


class EdgeList(ReadOnce):
    """Your own graph: a CSV file of nodes, and one of the edges between them, read as `data=csv` reads a table.

    `nodes`: the first column names the node, the column `label` holds its class (an empty field, or one of
    `na_values`: not known), every other column is a feature, of numbers or of categories. `edges`: the first two
    columns name the two ends, the column `weight`, if there is one, weighs the edge. A first row that names no node is
    a header. Without a further column of `nodes` the features say how many edges a node has.

    Edges go both ways unless `directed`; one that is there twice counts with the sum of its weights, one that is there
    in both directions is one edge. The nodes with a class are split by `split_seed`; those without are part of the
    graph and of no loss, and `dlrun predict RUN` says what they are.

    **Raises:** `UserError` with file and row for an edge to a node that is not there, a node named twice, a field that
    is no finite number, a row with too few or too many fields; for a file without a row, or without a class.
    """

    kind: str = "graph"
    target: str = "node_class"
    source: str = "yours"
    stand_in: str = "data=karate"

    def __init__(
        self, *, nodes: FilePath | None = None, edges: FilePath | None = None, label: str | int = "label",
        weight: str | int = "weight", directed: bool = False, separator: str | None = None,
        ignore: tuple[str | int, ...] = (), categorical: tuple[str | int, ...] = (), max_categories: PositiveInt = 100,
        missing: Literal["error", "mean"] = "error",
        na_values: tuple[str, ...] = ("?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A"),
        standardize: bool = True, val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.2,
        split_seed: Seed = 42,
    ):  # fmt: skip
        """**Arguments:**

        - `nodes`, `edges`: the two files; both are needed.
        - `label`: the column of `nodes` that holds the class; without a header its number, or the last one.
        - `weight`: the column of `edges` that holds the weight, at least 0; without it every edge weighs 1.
        - `directed`: whether an edge leads from its first end to its second only, or both ways.
        - `separator`: the one character between two fields of both files; None: found out for each.
        - `ignore`: columns of `nodes` that are left out; `categorical`: columns of it whose numbers are names.
        - `max_categories`: the most different texts that a feature column may hold.
        - `missing`: what a missing value of a feature is: an error, or the mean of all nodes (a category: 0
          everywhere).
        - `na_values`: the texts that stand for a missing value, beside an empty field; not in names of nodes.
        - `standardize`: whether the model gets (x - mean) / std of each feature, over all nodes, or the raw values.
        - `val_fraction`, `test_fraction`: the shares of the nodes with a class that become the val and the test part.
        - `split_seed`: chooses the nodes of each part.
        """
        if nodes is None or edges is None:
            raise UserError("data.nodes, data.edges: two files are needed; write data.nodes=FILE data.edges=FILE")
        self.nodes, self.edges = Path(nodes).expanduser(), Path(edges).expanduser()
        self.label, self.weight, self.directed, self.standardize = label, weight, directed, standardize
        self.separator, self.ignore, self.categorical = separator, ignore, categorical
        self.max_categories, self.missing, self.na_values = max_categories, missing, na_values
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed

    def encode(self, words: list[str], spec: DataSpec) -> tuple[Tensor, ...]:
        """The graph, and the nodes that `words` name, as a model of graphs is asked for them.

        **Raises:** `UserError` for a name that no node has.
        """
        graph = self._graph
        assert graph.names is not None, "nodes of a file have names"
        place = {name: number for number, name in enumerate(graph.names)}
        for word in words:
            if word not in place:
                near = schema.suggest(word, place) if len(place) <= 10_000 else ""
                kind = "no file, and no node" if is_like_path(word) else "no node"
                raise UserError(bounded(f"predict: {quoted(word)} is {kind} of {self.nodes}{near}"))
        seeds = torch.tensor([place[word] for word in words])
        return (*graph.inputs(torch.device("cpu")), seeds, torch.tensor([0, graph.num_nodes]))

    def unanswered(self) -> list[str]:
        """The names of the nodes without a class."""
        graph = self._graph
        assert graph.names is not None, "nodes of a file have names"
        known = {int(seed) for part in self.load().values() if isinstance(part, NodePart) for seed in part.seeds}
        return [name for number, name in enumerate(graph.names) if number not in known]

    @property
    def _graph(self) -> Graph:
        part = self.load()["train"]
        assert isinstance(part, NodePart)
        return part.graph

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        known = None if self.offered is None or self.offered.table is None else Rules.from_dict(self.offered.table)
        contents, pieces = lines_of(self, "edges", [read_utf8(self.nodes, "nodes"), read_utf8(self.edges, "edges")])
        sheet, edges = self._open(*contents)
        names, x, feature_names, classes, rules = self._read_nodes(sheet, known)
        edge_index, weight = self._read_edges(edges, {name: number for number, name in enumerate(names)})
        if not feature_names:
            feature_names = ("edges",)
            x = torch.bincount(edge_index[1], minlength=len(names)).float().unsqueeze(1)
        class_names = (self.offered.class_names if self.offered else None) or tuple(ordered(classes.words))
        place = {name: number for number, name in enumerate(class_names)}
        strange = [word for word in classes.words if word not in place]
        if strange:
            few_strange = few([quoted(word) for word in strange], SHOWN)
            raise UserError(bounded(f"{self.nodes}: the run has not learned the classes {few_strange}"))
        target = torch.tensor([place[word] for word in classes.words] + [-1])[torch.from_numpy(classes.codes)]
        seeds = (target >= 0).nonzero().flatten()
        if len(seeds) < len(names):
            open_ones = f"{len(names) - len(seeds):,} of {len(names):,} nodes have no class"
            _say([f"{open_ones}: part of the graph and of no loss; dlrun predict RUN says what they are"])
        mean = std = None
        if self.standardize:
            # The features of all nodes are seen in training, so all may say how they are spread; no class is looked at.
            trained = self.offered
            mean, std = (trained.mean, trained.std) if trained and trained.mean and trained.std else statistics(x)
            x = (x - torch.tensor(mean)) / torch.tensor(std)
        whole = NodePart(Graph(x, edge_index, weight, tuple(names)), seeds, target[seeds])
        first, last = sheet.spans(len(names))
        pieces.join(first, last)
        divided = pieces.divide(
            whole.labels, first[seeds.numpy()], val_fraction=self.val_fraction, test_fraction=self.test_fraction,
            seed=self.split_seed,
        )  # fmt: skip
        parts: dict[str, Part] = {part: whole.subset(torch.from_numpy(own)) for part, own in divided.items()}
        spec = DataSpec(
            kind="graph", target="node_class", level="node", in_features=x.shape[1], num_edge_features=1,
            out_features=len(class_names), class_names=class_names, feature_names=feature_names,
            target_name=str(self.label), mean=mean, std=std, table=rules.to_dict(),
        )  # fmt: skip
        return spec, parts

    def _open(self, nodes_content: bytes, edges_content: bytes) -> tuple[Sheet, Sheet]:
        """The files of nodes and of edges; a first row whose ends, or whose name, is no node is a header."""
        options: dict[str, Any] = {"na_values": self.na_values, "least": 1}
        open_nodes = functools.partial(open_sheet, self.nodes, self.separator, content=nodes_content, **options)
        open_edges = functools.partial(open_sheet, self.edges, self.separator, content=edges_content, **options)
        nodes, edges = open_nodes(False), open_edges(False)
        ends = [fields[:2] for _, fields in edges.rows()]
        first, *others = [fields for _, fields in nodes.rows()]
        in_edges = {name for pair in ends[1:] for name in pair}
        # A node in the first row may have no edge: then the row is told as in any table.
        found = open_nodes(None)
        is_header = self.label in first[1:] or (first[0] not in in_edges and found.layout.has_header)
        if is_header:
            nodes = open_nodes(True)
        known = {fields[0] for fields in others} | (set() if is_header else {first[0]})
        if ends and not any(name in known for name in ends[0]):
            edges = open_edges(True)
        for sheet in (nodes, edges):
            sheet.as_written = frozenset({0} if sheet is nodes else {0, 1})
        return nodes, edges

    def _read_nodes(self, sheet: Sheet, known: Rules | None) -> tuple[list[str], Tensor, tuple[str, ...], Words, Rules]:
        """(The name of each node, features (N, F), their names, the class of each node, the rules of reading)."""
        label = self._label(sheet)
        ignored = [sheet.find(column, "ignore") for column in self.ignore]
        categorical = [sheet.find(column, "categorical") for column in self.categorical]
        sheet.chosen = {"ignore": ignored, "categorical": categorical}
        features = [i for i in range(1, len(sheet.names)) if i != label and i not in ignored]
        if known is not None:
            features = known.places(sheet)
            pairs = zip(known.columns, features, strict=True)
            categorical = [place for column, place in pairs if column.categories is not None]
        read = sheet.read({label, *categorical})
        names, classes = read[0], read[label]
        assert isinstance(names, Words) and isinstance(classes, Words)
        self._check_names(sheet, names)
        if not classes.words:
            sheet.fail("is empty in every row; there is nothing to learn", column=label)
        mistakes, values = Mistakes(sheet), {}
        for index in features:
            with mistakes.of(index):
                values[index] = tables.feature(
                    sheet, index, read[index], index in categorical, self.max_categories if known is None else 10**9
                )
        with mistakes.of():
            if values:
                holes = {index: tables.missing_in(each) for index, each in values.items()}
                _say(tables.complete(sheet, holes, self.missing, can_drop=False)[1])
        mistakes.refuse()
        everything = np.arange(len(names.codes))
        columns = (
            tuple(tables.learned(sheet, index, each, everything) for index, each in values.items())
            if known is None
            else known.columns
        )
        for column, each in zip(columns, values.values(), strict=True):
            if isinstance(each, Words):
                _say(tables.say_unknown(column, each, everything, f"{len(everything):,} nodes"))
        pieces = [column.encode(each) for column, each in zip(columns, values.values(), strict=True)]
        x = np.concatenate(pieces, axis=1) if pieces else np.zeros((len(everything), 0), dtype=np.float32)
        feature_names = tuple(name for column in columns for name in column.feature_names)
        rules = known or Rules.of(sheet, self.missing, label, columns)
        return [names.words[code] for code in names.codes], torch.from_numpy(x), feature_names, classes, rules

    def _label(self, sheet: Sheet) -> int:
        """The column of the classes."""
        if sheet.layout.has_header or isinstance(self.label, int):
            if len(sheet.names) > 1 and self.label not in (0, sheet.names[0]):
                return sheet.find(self.label, "label")
            raise UserError(bounded(f"{sheet.path}: no column {self.label!r} beside that of the nodes' names"))
        if len(sheet.names) < 2:
            raise UserError(f"{sheet.path}: one column only; the names of nodes and a class are needed")
        _say([f"{sheet.path.name}: no header; the last column is the class, data.label=NUMBER names another one"])
        return len(sheet.names) - 1

    def _check_names(self, sheet: Sheet, names: Words) -> None:
        if (names.codes < 0).any():
            sheet.fail("is a node without a name", int(np.flatnonzero(names.codes < 0)[0]), 0)
        twice = [word for word, count in zip(names.words, names.counts, strict=True) if count > 1]
        if twice:
            first, again = np.flatnonzero(names.codes == names.words.index(twice[0]))[:2]
            lines = sheet.lines()
            more = f"; so are {len(twice) - 1} others" if len(twice) > 1 else ""
            raise UserError(bounded(
                f"{sheet.path}: row {lines[again]}: node {quoted(twice[0])} is already there, in row {lines[first]}"
                f"{more}"
            ))  # fmt: skip

    def _read_edges(self, sheet: Sheet, place: dict[str, int]) -> tuple[Tensor, Tensor]:
        """(Edges (2, E), sorted, each once; their weights (E,))."""
        path = sheet.path
        if len(sheet.names) < 2:
            raise UserError(f"{path}: row 1: two columns are needed, the ends of an edge; found {sheet.names[0]!r}")
        column = self._weight(sheet)
        if not sheet.rows():
            return torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0)
        read = sheet.read({0, 1})
        ends = []
        for index in (0, 1):
            words = read[index]
            assert isinstance(words, Words)
            number = np.array([place.get(word, -1) for word in words.words] + [-1])[words.codes]
            if (number < 0).any():
                record = int(np.flatnonzero(number < 0)[0])
                name = sheet.text(record, index)
                near = schema.suggest(name, place) if len(place) <= 10_000 else ""
                others = int((number < 0).sum()) - 1
                more = f"; so are {others} others" if others else ""
                line = sheet.lines()[record]
                raise UserError(bounded(f"{path}: row {line}: node {quoted(name)} is not in {self.nodes}{near}{more}"))
            ends.append(number)
        pairs = torch.from_numpy(np.stack(ends))
        weight = torch.ones(pairs.shape[1])
        if column is not None:
            weights = tables.as_numbers(sheet, column, read[column])
            tables.check_size(sheet, column, weights)
            if np.isnan(weights).any():
                sheet.fail("is not a number", int(np.flatnonzero(np.isnan(weights))[0]), column)
            if (weights < 0).any():
                record = int(np.flatnonzero(weights < 0)[0])
                sheet.fail("is negative; a weight must be at least 0", record, column)
            weight = torch.tensor(weights, dtype=torch.float32)  # of what pandas gives read-only
        summed = torch.sparse_coo_tensor(pairs, weight, (len(place), len(place)), check_invariants=True).coalesce()
        edges, weight = summed.indices(), summed.values()
        return (edges, weight) if self.directed else _both_ways(edges, weight, len(place))

    def _weight(self, sheet: Sheet) -> int | None:
        """The column of the weights, if there is one."""
        if isinstance(self.weight, int):
            return sheet.find(self.weight, "weight")
        if sheet.layout.has_header:
            return sheet.names.index(self.weight, 2) if self.weight in sheet.names[2:] else None
        if len(sheet.names) > 2:
            _say([f"{sheet.path.name}: no header; every edge weighs 1, data.weight=2 takes the third column"])
        return None


def _both_ways(pairs: Tensor, weight: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """Edges (2, E), each once in its direction, as undirected ones: (2, E') sorted, and their weights.

    One that is there in both directions is one edge; of two different weights it gets the mean.
    """
    keys, back = pairs[0] * num_nodes + pairs[1], pairs[1] * num_nodes + pairs[0]
    place = torch.searchsorted(keys, back).clamp(max=max(0, len(keys) - 1))
    is_there = keys[place] == back if len(keys) else torch.zeros(0, dtype=torch.bool)
    other = torch.where(is_there, weight[place], weight) if len(keys) else weight
    twice = int((is_there & (pairs[0] < pairs[1])).sum())
    differ = int((is_there & (pairs[0] < pairs[1]) & (other != weight)).sum())
    if twice:
        means = f", {differ:,} of them with two weights, of which the mean is taken" if differ else ""
        _say([f"{twice:,} edges are there in both directions: one edge each{means}; data.directed=true keeps both"])
    weight = (weight + other) / 2
    pairs, weight = torch.cat([pairs, pairs[:, ~is_there].flip(0)], dim=1), torch.cat([weight, weight[~is_there]])
    order = (pairs[0] * num_nodes + pairs[1]).argsort()
    return pairs[:, order], weight[order]


def _say(lines: list[str]) -> None:
    for line in lines:
        print(f"edges: {line}")
