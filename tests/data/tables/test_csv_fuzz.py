"""Whatever a CSV file holds: it is read as it says, by a stated policy, or refused in one line (T16)."""

import os

import numpy as np
import pytest
import torch
from csv_broken_files import BrokenFile
from csv_broken_values import BrokenValues
from csv_cases import NA, Case, Damaged, good, number

from dlrun.data.tables.csv_file import CSVFile
from dlrun.data.views import preparation
from dlrun.errors import UserError

MANY = "DLRUN_FUZZ" in os.environ
FAULTS = [(kind, fault) for kind in (BrokenFile, BrokenValues) for fault in kind.faults()]
NUM_GOOD, NUM_BROKEN, NUM_DAMAGED = (500, 480, 400) if MANY else (40, 80, 40)


def read(case: Case | Damaged, folder):
    file = folder / "some table.csv"
    if case.content is not None:
        file.write_bytes(case.content)
    data = CSVFile(path=str(file), **case.options)
    return data.spec, data.load(), file


def check_values(case: Case, spec, parts) -> None:
    """Every part against the table that was written, feature by feature."""
    table = case.table
    skipped = {case.options.get("split_column"), "y"}
    rows = {number(row[0]): row for row in table.rows}
    kept = [row for row in table.rows if case.options.get("missing") != "drop" or not set(row) & set(NA)]
    train = [rows[key] for key in np.float32(parts["train"].inputs[0][:, 0].numpy()).tolist()]
    names, columns = [], {part: [] for part in parts}
    for index, name in enumerate(table.names):
        if name in skipped:
            continue
        shown = name if case.style.header else f"column_{index}"
        if name in table.categorical:
            categories = sorted({row[index] for row in train} - set(NA))
            new = [lambda text, word=word: float(text == word) for word in categories]
            names += [f"{shown}={word}" for word in categories]
        else:
            known = [number(row[index]) for row in train if row[index] not in NA]
            mean = sum(known) / len(known)
            new = [lambda text, mean=mean: mean if text in NA else number(text)]
            names.append(shown)
        for part, samples in parts.items():
            keys = samples.inputs[0][:, 0].tolist()
            columns[part] += [[function(rows[key][index]) for key in keys] for function in new]
    assert spec.feature_names == tuple(names) and spec.in_features == len(names)
    ids = [key for samples in parts.values() for key in samples.inputs[0][:, 0].tolist()]
    assert sorted(ids) == sorted(number(row[0]) for row in kept)
    for part, samples in parts.items():
        assert torch.allclose(samples.inputs[0], torch.tensor(columns[part], dtype=torch.float64).T.float(), rtol=1e-6)
        texts = [rows[key][-1] for key in samples.inputs[0][:, 0].tolist()]
        if spec.target == "value":
            assert torch.equal(samples.target, torch.tensor([[float(text)] for text in texts]))
        else:
            assert [spec.class_names[label] for label in samples.target.tolist()] == texts


def check_sound(spec, parts) -> None:
    """Whatever was read is finite, of the offered sizes, and every class is known by name."""
    ready = preparation(spec)
    for part in parts.values():
        assert part.inputs[0].shape == (len(part), spec.in_features) and len(part) > 0
        assert ready(part.inputs)[0].isfinite().all()
        if spec.target == "value":
            assert part.target.shape == (len(part), 1) and part.target.isfinite().all()
        else:
            assert part.target.min() >= 0 and part.target.max() < len(spec.class_names)


@pytest.mark.parametrize("seed", range(NUM_GOOD))
def test_good_files_are_read_as_written(tmp_path, seed):
    case = good(seed)
    spec, parts, _ = read(case, tmp_path)
    assert spec.target == case.table.target_kind
    check_values(case, spec, parts)
    check_sound(spec, parts)


@pytest.mark.parametrize("seed", range(NUM_BROKEN))
def test_broken_files_are_refused_in_one_line_or_read_by_the_policy(tmp_path, capsys, seed):
    kind, fault = FAULTS[seed % len(FAULTS)]
    case = kind(seed, fault).case
    if case.error is None:
        spec, parts, _ = read(case, tmp_path)
        check_values(case, spec, parts)
        check_sound(spec, parts)
        printed = capsys.readouterr().out
        assert all(words in printed for words in case.printed), (case.fault, printed)
        return
    with pytest.raises(UserError) as caught:
        read(case, tmp_path)
    line = str(caught.value)
    assert "\n" not in line and "some table.csv" in line and all(words in line for words in case.error), (
        case.fault, case.error, line
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(NUM_DAMAGED))
def test_damaged_files_end_in_one_line_or_in_sound_numbers(tmp_path, seed):
    try:
        spec, parts, _ = read(Damaged(seed), tmp_path)
    except UserError as error:
        assert "\n" not in str(error) and "some table.csv" in str(error)
    else:
        check_sound(spec, parts)
