import hashlib
import io
import os
import pathlib
import tarfile

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from sklearn import datasets
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

from dlrun.config import schema
from dlrun.config.spec import DataSpec
from dlrun.data import DATA
from dlrun.data.splits import split_off
from dlrun.data.tables import sklearn_tables
from dlrun.data.tables.features import statistics
from dlrun.data.views import preparation
from dlrun.engine.parts import TensorPart
from dlrun.errors import UserError

CONF = pathlib.Path(__file__).parents[3] / "conf" / "data"
SHIPPED = {
    "diabetes": (442, 10, "value", 1),
    "diabetes_binary": (442, 10, "binary", 1),
    "breast_cancer": (569, 30, "binary", 1),
    "iris": (150, 4, "class", 3),
    "wine": (178, 13, "class", 3),
}


@pytest.mark.parametrize("name", ["line", "hours", *SHIPPED, "california_housing", "csv"])
def test_yaml_holds_exactly_the_parameters_and_their_defaults(name):
    values = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    parameters = DATA.describe(name).parameters
    assert list(values) == ["name", *parameters] and values["name"] == name
    for key, parameter in parameters.items():
        assert schema.check(values[key], parameter.annotation) == parameter.default, key


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tables(name):
    rows, in_features, target, out_features = SHIPPED[name]
    data = DATA.get(name)()
    parts, spec = data.load(), data.spec
    assert list(parts) == ["train", "val", "test"] and sum(map(len, parts.values())) == rows
    assert abs(len(parts["val"]) - 0.1 * rows) < 2 and abs(len(parts["test"]) - 0.2 * rows) < 2
    assert (spec.kind, spec.target, DATA.describe(name).attributes["target"]) == ("features", target, target)
    assert (spec.in_features, spec.out_features) == (in_features, out_features)
    assert len(spec.feature_names) == len(spec.mean) == len(spec.std) == in_features and spec.target_name
    assert data.load() is parts and DataSpec.from_dict(spec.to_dict()) == spec
    for part in parts.values():
        assert part.inputs[0].dtype == torch.float32 and part.inputs[0].shape == (len(part), in_features)
        if target == "value":
            assert part.target.dtype == torch.float32 and part.target.shape == (len(part), 1)
        else:
            assert part.target.dtype == torch.int64 and part.target.shape == (len(part),)
            assert part.target.unique().tolist() == list(range(len(spec.class_names)))


@pytest.mark.parametrize("name", SHIPPED)
def test_only_the_train_part_is_standardized_to_mean_0_and_std_1(name):
    data = DATA.get(name)()
    ready = {part: preparation(data.spec)(samples.inputs)[0] for part, samples in data.load().items()}
    assert ready["train"].mean(dim=0).abs().max() < 1e-4
    assert (ready["train"].std(dim=0, correction=0) - 1).abs().max() < 1e-4
    assert ready["test"].mean(dim=0).abs().max() > 1e-3
    raw = DATA.get(name)(standardize=False)
    assert raw.spec.mean is None and raw.spec.std is None
    assert torch.equal(raw.load()["train"].inputs[0], data.load()["train"].inputs[0])


def test_values_and_names_are_those_of_scikit_learn():
    data = DATA.get("wine")(val_fraction=0.0, test_fraction=0.0)
    bunch = datasets.load_wine()
    assert np.array_equal(data.load()["train"].inputs[0].numpy(), bunch.data.astype(np.float32))
    assert data.load()["train"].target.tolist() == bunch.target.tolist()
    assert data.spec.feature_names == tuple(bunch.feature_names)
    assert DATA.get("iris")().spec.class_names == ("setosa", "versicolor", "virginica")
    benign, malignant = DATA.get("breast_cancer")(), DATA.get("breast_cancer")(positive="malignant")
    assert benign.spec.class_names == ("malignant", "benign")
    assert malignant.spec.class_names == ("benign", "malignant")
    (x, y), (same_x, other_y) = (
        (data.load()["test"].inputs[0], data.load()["test"].target) for data in (benign, malignant)
    )
    assert (x == same_x).all() and (y == 1 - other_y).all()


def test_diabetes_without_val_part_is_the_split_of_the_notes():
    parts = DATA.get("diabetes")(val_fraction=0.0).load()
    x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    ours = {name: {tuple(row) for row in part.inputs[0].tolist()} for name, part in parts.items()}
    theirs = train_test_split(x.astype(np.float32), y, test_size=0.2, random_state=42)
    assert ours == {
        "train": {tuple(row) for row in theirs[0].tolist()},
        "test": {tuple(row) for row in theirs[1].tolist()},
    }
    model = LinearRegression().fit(parts["train"].inputs[0], parts["train"].target)
    assert model.score(parts["test"].inputs[0], parts["test"].target) == pytest.approx(0.4526, abs=1e-4)


@pytest.mark.parametrize(("rows", "fraction", "seed"), [(10, 0.2, 0), (101, 0.25, 7), (50, 0.5, 2**32 - 1)])
def test_values_are_split_as_scikit_learn_splits_them(rows, fraction, seed):
    whole = TensorPart((torch.arange(rows),), torch.zeros(rows, 1))
    for val_fraction in (0.0, 0.1):
        parts = split_off(whole, val_fraction=val_fraction, test_fraction=fraction, seed=seed)
        test = train_test_split(np.arange(rows), test_size=fraction, random_state=seed)[1]
        assert parts["test"].inputs[0].tolist() == sorted(test.tolist())
        assert sorted(torch.cat([part.inputs[0] for part in parts.values()]).tolist()) == list(range(rows))
    split_off(whole, val_fraction=0.1, test_fraction=fraction, seed=2**63 - 1)


def test_diabetes_binary_is_cut_at_the_median_of_the_train_part():
    for seed in (0, 42):
        values = DATA.get("diabetes")(split_seed=seed).load()
        data = DATA.get("diabetes_binary")(split_seed=seed)
        median = np.median(values["train"].target)
        for name, part in data.load().items():
            assert part.target.tolist() == (values[name].target[:, 0] > median).long().tolist()
            assert torch.equal(part.inputs[0], values[name].inputs[0])
        assert data.spec.class_names == (f"up to {median:g}", f"above {median:g}")
        assert 0.45 < data.load()["train"].target.float().mean() <= 0.5


def test_a_constant_column_has_deviation_1():
    mean, std = statistics(torch.tensor([[1.0, 0.1], [3.0, 0.1], [5.0, 0.1]]))
    assert mean == pytest.approx((3.0, 0.1)) and std == pytest.approx(((8 / 3) ** 0.5, 1.0))


def test_large_numbers_keep_their_digits_when_standardized():
    seconds = torch.tensor([[1.7e9], [1.7e9 + 4096], [1.7e9 + 8192]])
    mean, std = statistics(seconds)
    (ready,) = preparation(DataSpec(kind="features", target="value", mean=mean, std=std))((seconds,))
    assert torch.allclose(ready, torch.tensor([[-1.0], [0.0], [1.0]]) * 1.5**0.5, atol=1e-3)


def california(rows: int = 40) -> tuple[bytes, np.ndarray]:
    table = np.random.default_rng(0).uniform(1, 9, (rows, 9)).round(4)
    text = "\n".join(",".join(map(str, row)) for row in table.tolist()).encode()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("CaliforniaHousing/cal_housing.data")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return file.getvalue(), table


def test_california_housing_is_downloaded_once_and_read_as_scikit_learn_reads_it(server, tmp_path, monkeypatch):
    archive, _ = california()
    checksum = hashlib.sha256(archive).hexdigest()
    monkeypatch.setattr(sklearn_tables, "CALIFORNIA_SHA256", checksum)
    server.answers["/cal_housing.tgz"] = server.content(archive)
    options = {"root": str(tmp_path), "mirrors": (f"{server.url}/gone", server.url), "val_fraction": 0.0}
    data = DATA.get("california_housing")(**options, test_fraction=0.0)
    (x,), y = data.load()["train"].inputs, data.load()["train"].target
    assert data.spec.in_features == 8 and data.spec.out_features == 1 and len(data.spec.mean) == 8
    assert len(DATA.get("california_housing")(**options).load()["train"]) == 32
    assert server.asked == ["/gone/cal_housing.tgz", "/cal_housing.tgz"]
    file = next(tmp_path.rglob("cal_housing.tgz"))
    assert file == tmp_path / "california_housing" / "cal_housing.tgz"

    # scikit-learn's own reader, on the same file.
    from sklearn.datasets import _california_housing as theirs

    home = tmp_path / "sklearn"
    home.mkdir()
    (home / "cal_housing.tgz").write_bytes(archive)
    monkeypatch.setattr(theirs, "_fetch_remote", lambda *_, **__: str(home / "cal_housing.tgz"))
    bunch = theirs.fetch_california_housing(data_home=str(home))
    assert torch.equal(x, torch.tensor(bunch.data, dtype=torch.float32))
    assert torch.equal(y[:, 0], torch.tensor(bunch.target, dtype=torch.float32))
    assert data.spec.feature_names == tuple(bunch.feature_names)
    assert (data.spec.target_name,) == tuple(bunch.target_names)
    assert theirs.ARCHIVE.filename == sklearn_tables.CALIFORNIA_FILE


def test_california_housing_pins_the_checksum_of_scikit_learn():
    from sklearn.datasets._california_housing import ARCHIVE

    assert ARCHIVE.checksum == sklearn_tables.CALIFORNIA_SHA256
    assert all(mirror.startswith("https://") for mirror in sklearn_tables.CALIFORNIA_MIRRORS)
    assert sklearn_tables.CALIFORNIA_MIRRORS[0] == f"{ARCHIVE.url}?"


@pytest.mark.parametrize("ask", ["spec", "load"])
def test_california_housing_offline_is_one_line(tmp_path, monkeypatch, ask):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path))
    data = DATA.get("california_housing")()
    with pytest.raises(UserError) as caught:
        data.spec if ask == "spec" else data.load()
    line = str(caught.value)
    assert "data=california_housing" in line and "cal_housing.tgz" in line and "\n" not in line
    assert str(tmp_path / "california_housing") in line and os.listdir(tmp_path) == []
