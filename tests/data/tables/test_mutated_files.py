"""A thousand small changes of good files: each is refused with its place, or read as pandas reads it by our rules."""

import io
import os
import random
import re

import numpy as np
import pandas as pd
import pytest
import torch
from csv_cases import style as drawn_style
from csv_cases import table, written

from dlrun.data.graphs.edges import EdgeList
from dlrun.data.tables.csv_file import CSVFile
from dlrun.data.tables.csv_reading import open_sheet
from dlrun.data.tables.rules import Rules
from dlrun.errors import UserError

BATCHES = 10 if "DLRUN_FUZZ" in os.environ else 2
PIECES = (
    "",
    ",",
    ";",
    "\t",
    "|",
    '"',
    "'",
    "\n",
    "\r\n",
    " ",
    "#",
    "# x\n",
    "?",
    "NA",
    "None",
    "-",
    "1",
    "0.5",
    "1e400",
    "x",
    "é",
)
LINES = ("sep=;", "# a comment", "a title", "", "cm,kg,s", "1,2", ",,,", "x,y,z,w,v,u", "'a','b','c'")


def changed(text: str, draw: random.Random) -> str:
    """One to three changes: of characters, of fields, of whole lines."""
    for _ in range(draw.randint(1, 3)):
        kind, rows = draw.randrange(5), text.split("\n")
        at = draw.randrange(len(text) + 1)
        if kind == 0:
            text = text[:at] + draw.choice(PIECES) + text[at + draw.randint(0, 2) :]
        elif kind == 1:
            rows.insert(draw.choice((0, 1, draw.randrange(len(rows) + 1))), draw.choice(LINES))
            text = "\n".join(rows)
        elif kind == 2:
            rows.insert(draw.randrange(len(rows)), draw.choice(rows))
            text = "\n".join(rows)
        elif kind == 3:
            del rows[draw.choice((0, draw.randrange(len(rows))))]
            text = "\n".join(rows)
        else:
            row = draw.randrange(len(rows))
            fields = rows[row].split(",")
            fields[draw.randrange(len(fields))] = draw.choice(PIECES)
            rows[row] = ",".join(fields)
            text = "\n".join(rows)
    return text


def check_refusal(error: UserError, *files) -> None:
    """It names a file with the row or the column, or the key of the config; each line is short."""
    for line in str(error).splitlines():
        assert len(line) <= 300 and line.isprintable()
        has_place = any(f"{file}: " in line for file in files) or re.match(r"data\.\w+: ", line)
        assert has_place, line


def by_pandas(path, rules: Rules) -> np.ndarray:
    """The features of all rows, each field by itself."""
    sheet = open_sheet(path, rules.separator, rules.has_header, rules.na_values)
    rows = io.BytesIO(sheet.content[sheet.layout.start :])
    options = {"sep": rules.separator, "quotechar": rules.quote, "skipinitialspace": True, "keep_default_na": False}
    names = range(sheet.layout.width)
    frame = pd.read_csv(rows, header=None, names=names, dtype=str, na_filter=False, **options)
    pieces = []
    for column in rules.columns:
        texts = [None if text.strip() in ("", *rules.na_values) else text.strip() for text in frame[column.index]]
        if column.categories is None:
            pieces.append([[column.mean if text is None else float(text)] for text in texts])
        else:
            pieces.append([[float(text == word) for word in column.categories] for text in texts])
    return np.concatenate([np.array(piece, dtype=np.float64) for piece in pieces], axis=1).astype(np.float32)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_changed_table_is_refused_with_its_place_or_read_as_pandas_reads_it(tmp_path, batch):
    read, path = 0, tmp_path / "some table.csv"
    for seed in range(batch * 50, batch * 50 + 50):
        draw = random.Random(seed)
        made, style = table(draw, 12), drawn_style(draw)
        style.packed, style.mark = False, b""
        content = written(made, style)[0].decode()
        path.write_text(changed(content, draw), encoding="utf-8", newline="")
        data = CSVFile(path=str(path), missing="mean", val_fraction=0.0, test_fraction=0.25)
        try:
            parts = data.load()
        except UserError as error:
            check_refusal(error, path)
            continue
        read += 1
        x = torch.cat([part.inputs[0] for part in parts.values()]).numpy()
        expected = by_pandas(path, Rules.from_dict(data.spec.table))
        assert sorted(x.tolist()) == sorted(expected.tolist()), seed
    assert 5 <= read <= 45


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_changed_graph_is_refused_with_its_place_or_read_as_pandas_reads_it(tmp_path, batch):
    read, nodes, edges = 0, tmp_path / "some nodes.csv", tmp_path / "some edges.csv"
    for seed in range(batch * 50, batch * 50 + 50):
        draw = random.Random(seed)
        names = [f"n{i}" for i in range(12)]
        texts = {
            nodes: "id,age,label\n" + "".join(f"{name},{draw.randint(0, 90)},{draw.choice('ab')}\n" for name in names),
            edges: "from,to\n" + "".join(f"{','.join(draw.sample(names, 2))}\n" for _ in range(20)),
        }
        victim = draw.choice((nodes, edges))
        texts[victim] = changed(texts[victim], draw)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8", newline="")
        data = EdgeList(nodes=str(nodes), edges=str(edges), missing="mean", val_fraction=0.0, directed=True)
        try:
            graph = data.load()["train"].graph
        except UserError as error:
            check_refusal(error, nodes, edges)
            continue
        read += 1
        sheet = data._open(data.nodes.read_bytes(), data.edges.read_bytes())[1]
        rows = io.BytesIO(sheet.content[sheet.layout.start :])
        options = {"sep": sheet.layout.separator, "quotechar": sheet.layout.quote, "skipinitialspace": True}
        frame = pd.read_csv(rows, header=None, dtype=str, na_filter=False, **options)
        listed = sorted({(a.strip(), b.strip()) for a, b in zip(frame[0], frame[1], strict=True)})
        found = sorted((graph.names[a], graph.names[b]) for a, b in graph.edge_index.T.tolist())
        assert found == listed, seed
    assert 5 <= read <= 45
