"""The tables of scikit-learn, raw: what a model gets is standardised by the train part alone.

Five ship with scikit-learn; `california_housing` is downloaded in the file format that scikit-learn reads.
"""

import io
import tarfile
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dlrun import disk
from dlrun.config.places import data_root
from dlrun.config.schema import FilePath, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data import download
from dlrun.data.tables.features import FeatureTable, ValueTable
from dlrun.engine.contracts import Part
from dlrun.engine.parts import TensorPart

CALIFORNIA_FILE = "cal_housing.tgz"
# scikit-learn's checksum; the first two addresses are the origin and scikit-learn's copy, whose address has no
# file name: behind a question mark it does not matter.
CALIFORNIA_SHA256 = "aaa5c9a6afe2225cc2aed2723682ae403280c4a3695a2ddda4ffb5d8215ea681"
CALIFORNIA_MIRRORS = (
    "https://ndownloader.figshare.com/files/5976036?",
    "https://www.dcc.fc.up.pt/~ltorgo/Regression/",
    "https://sagemaker-sample-files.s3.amazonaws.com/datasets/tabular/california_housing/",
)
CALIFORNIA_FEATURES = (
    "MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude",
)  # fmt: skip


class Diabetes(ValueTable):
    """442 patients, 10 measurements, and how far their diabetes has gone a year later (Efron et al. 2004).

    The raw values, not scikit-learn's scaled ones, which are scaled over all rows, test rows too. With
    `val_fraction=0` this is the split of notes 7: the rows of `train_test_split(test_size=0.2, random_state=42)`.
    """

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        x, target, names, _ = _shipped("diabetes", scaled=False)
        return self._split(x, _values(target), _value_spec(names, "progression"))


class DiabetesBinary(FeatureTable):
    """The patients and the split of `diabetes`; the target is whether the value is above the median of the train part.

    Notes 6 set binary cross-entropy on the value itself, which reaches 346 and is no probability.
    """

    target: str = "binary"

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        x, target, names, _ = _shipped("diabetes", scaled=False)
        spec, parts = self._split(x, _values(target), _value_spec(names, "progression"))
        values = {name: part.take(torch.arange(len(part))) for name, part in parts.items()}
        median = float(np.median(values["train"].target.numpy()))
        for name, whole in values.items():
            parts[name] = TensorPart(whole.inputs, (whole.target[:, 0] > median).long())
        return replace(spec, target="binary", class_names=(f"up to {median:g}", f"above {median:g}")), parts


class BreastCancer(FeatureTable):
    """569 tumours, 30 measurements of their cell nuclei: malignant or benign (Street, Wolberg and Mangasarian 1993)."""

    target: str = "binary"

    def __init__(
        self, *, positive: Literal["malignant", "benign"] = "benign", standardize: bool = True,
        val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.2, split_seed: Seed = 42,
    ):  # fmt: skip
        """**Arguments:**

        - `positive`: what is looked for, the class that precision, recall and probabilities are about; a doctor looks
          for `malignant`, scikit-learn numbers them so that it is `benign`.
        - `standardize`: whether the model gets (x - mean) / std of each feature, by the train part, or the raw values.
        - `val_fraction`, `test_fraction`: the shares of all rows that become the val and the test part.
        - `split_seed`: chooses the rows of each part.
        """
        super().__init__(
            standardize=standardize, val_fraction=val_fraction, test_fraction=test_fraction, split_seed=split_seed
        )
        self.positive = positive

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        x, target, names, class_names = _shipped("breast_cancer")
        spec, parts = self._split(x, target, _class_spec(names, "diagnosis", class_names, is_binary=True))
        if self.positive == class_names[1]:
            return spec, parts
        wholes = {name: part.take(torch.arange(len(part))) for name, part in parts.items()}
        turned: dict[str, Part] = {name: TensorPart(whole.inputs, 1 - whole.target) for name, whole in wholes.items()}
        return replace(spec, class_names=class_names[::-1]), turned


class Iris(FeatureTable):
    """150 flowers of three kinds of iris, 4 measurements (Fisher 1936)."""

    target: str = "class"

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        x, target, names, class_names = _shipped("iris")
        return self._split(x, target, _class_spec(names, "species", class_names))


class Wine(FeatureTable):
    """178 wines of three growers, 13 chemical measurements (Forina et al. 1991)."""

    target: str = "class"

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        x, target, names, class_names = _shipped("wine")
        return self._split(x, target, _class_spec(names, "cultivar", class_names))


class CaliforniaHousing(ValueTable):
    """20 640 districts of California, 8 features, the median house value in 100 000 dollars (Pace and Barry 1997).

    Files: `<root>/california_housing/cal_housing.tgz`, as scikit-learn fetches it; downloaded once if it is not there.
    """

    source: str = "download"
    stand_in: str = "data=diabetes"

    def __init__(
        self, *, root: FilePath | None = None, standardize: bool = True, standardize_target: bool = True,
        val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.2, split_seed: Seed = 42,
        mirrors: tuple[str, ...] | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `standardize`: whether the model gets (x - mean) / std of each feature, by the train part, or the raw values.
        - `standardize_target`: whether the model learns (y - mean) / std of the target y, by the train part, or y
          itself; metrics and predictions are in the units of y either way.
        - `val_fraction`, `test_fraction`: the shares of all rows that become the val and the test part.
        - `split_seed`: chooses the rows of each part.
        - `mirrors`: addresses of folders to download from, tried in order; None: the built-in ones.
        """
        super().__init__(
            standardize=standardize,
            standardize_target=standardize_target,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            split_seed=split_seed,
        )
        self.folder = data_root(root) / "california_housing"
        self.mirrors = mirrors or CALIFORNIA_MIRRORS

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        archive = {CALIFORNIA_FILE: f"sha256:{CALIFORNIA_SHA256}"}
        download.fetch("california_housing", self.folder, archive, self.mirrors, self.stand_in)
        x, target = read_california(disk.content(self.folder / CALIFORNIA_FILE))
        return self._split(x, target, _value_spec(CALIFORNIA_FEATURES, "MedHouseVal"))


def read_california(archive: bytes) -> tuple[Tensor, Tensor]:
    """Features (N, 8) and values (N, 1) of the archive, as `fetch_california_housing` of scikit-learn derives them."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        file = members.extractfile("CaliforniaHousing/cal_housing.data")
        assert file is not None, "a plain file, by the checksum"
        table = np.loadtxt(file, delimiter=",", ndmin=2)
    longitude, latitude, age, rooms, bedrooms, population, households, income, value = table.T
    x = [income, age, rooms / households, bedrooms / households, population, population / households]
    return _tensor(np.stack([*x, latitude, longitude], axis=1)), _values(value / 100_000)


def _shipped(name: str, **options: bool) -> tuple[Tensor, Tensor, tuple[str, ...], tuple[str, ...]]:
    """Raw features (N, F), target (N,), names of the features and of the classes."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(**options)
    class_names = tuple(str(class_name) for class_name in bunch.get("target_names", ()))
    return _tensor(bunch.data), torch.as_tensor(bunch.target).long(), tuple(map(str, bunch.feature_names)), class_names


def _tensor(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)


def _values(target: np.ndarray | Tensor) -> Tensor:
    return torch.as_tensor(target, dtype=torch.float32).unsqueeze(1)


def _value_spec(feature_names: tuple[str, ...], target_name: str) -> DataSpec:
    return DataSpec(
        kind="features", target="value", in_features=len(feature_names), out_features=1, feature_names=feature_names,
        target_name=target_name,
    )  # fmt: skip


def _class_spec(
    feature_names: tuple[str, ...], target_name: str, class_names: tuple[str, ...], is_binary: bool = False
) -> DataSpec:
    return DataSpec(
        kind="features", target="binary" if is_binary else "class", in_features=len(feature_names),
        out_features=1 if is_binary else len(class_names), class_names=class_names, feature_names=feature_names,
        target_name=target_name,
    )  # fmt: skip
