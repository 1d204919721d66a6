"""Three citation networks with the public split: papers, their words, and who cites whom."""

import functools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlrun import disk
from dlrun.config.places import data_root
from dlrun.config.schema import FilePath
from dlrun.config.spec import DataSpec
from dlrun.data import download
from dlrun.data.graphs.graph import Graph, both_ways, check, sparse_features
from dlrun.data.graphs.parts import NodePart
from dlrun.engine.contracts import DataSet, Part
from dlrun.errors import UserError

# The origin, and two mirrors that serve the same repository.
MIRRORS = (
    "https://raw.githubusercontent.com/kimiyoung/planetoid/master/data/",
    "https://github.com/kimiyoung/planetoid/raw/master/data/",
    "https://cdn.jsdelivr.net/gh/kimiyoung/planetoid@master/data/",
)
NAMES = ("allx", "ally", "graph", "test.index", "tx", "ty", "x", "y")
NUM_VAL = 500
# The types of numbers that an array in a file may have.
DTYPES = {
    f"{kind}{size}" for kind, sizes in {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (4, 8)}.items() for size in sizes
}


class Planetoid(DataSet):
    """What the three share: files `ind.<name>.*` of Yang, Cohen and Salakhutdinov (2016), read as numbers only.

    **Class attributes:**

    - `folder_name`: the folder below `<root>/planetoid`; in lower case, the name of the data set.
    - `checksums`: one a file, in the order of `NAMES`.
    - `classes`: one name a class, in the order of the labels.
    - `in_features`: the number of features of a node.
    """

    kind: str = "graph"
    target: str = "node_class"
    source: str = "download"
    stand_in: str = "data=block_model"
    folder_name: str
    checksums: tuple[str, ...]
    classes: tuple[str, ...]
    in_features: int

    def __init__(
        self, *, root: FilePath | None = None, normalize_features: bool = True, mirrors: tuple[str, ...] | None = None
    ):
        """**Arguments:**

        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `normalize_features`: whether the features of each node are divided by their sum, so that they add up to 1.
        - `mirrors`: addresses of folders to download from, tried in order; None: the built-in ones.
        """
        self.folder = data_root(root) / "planetoid" / self.folder_name / "raw"
        self.normalize_features, self.mirrors = normalize_features, mirrors

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="graph", target="node_class", level="node", in_features=self.in_features, num_edge_features=1,
            out_features=len(self.classes), class_names=self.classes,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        return self._parts

    @functools.cached_property
    def _parts(self) -> dict[str, Part]:
        name = self.folder_name.lower()
        files = dict(zip((f"ind.{name}.{part}" for part in NAMES), self.checksums, strict=True))
        missing = {file: checksum for file, checksum in files.items() if not (self.folder / file).is_file()}
        download.fetch(name, self.folder, missing, self.mirrors or MIRRORS, self.stand_in)
        graph, target, num_train = read_folder(self.folder, name, self.in_features, len(self.classes))
        if self.normalize_features:
            graph.x = rows_to_one(graph.x)
        test = torch.tensor(sorted(_test_index(self.folder / f"ind.{name}.test.index")))
        nodes = {"train": torch.arange(num_train), "val": torch.arange(num_train, num_train + NUM_VAL), "test": test}
        return {part: NodePart(graph, seeds, target[seeds]) for part, seeds in nodes.items()}


class Cora(Planetoid):
    """2708 papers on machine learning, their words (1433) and citations; seven topics (Planetoid's public split).

    Files: `<root>/planetoid/Cora/raw`. 20 papers of each topic are to train on, 500 to validate, 1000 to test. The
    words of a paper add up to 1 with `normalize_features`. 5278 citations, taken as undirected.
    """

    folder_name = "Cora"
    checksums = (
        "sha256:9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
        "sha256:2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
        "sha256:58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
        "sha256:297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
        "sha256:b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
        "sha256:41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
        "sha256:23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
        "sha256:94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
    )
    classes = (
        "theory", "reinforcement learning", "genetic algorithms", "neural networks", "probabilistic methods",
        "case based", "rule learning",
    )  # fmt: skip
    in_features = 1433


class CiteSeer(Planetoid):
    """3327 papers on computer science, their words (3703) and citations; six topics (Planetoid's public split).

    Files: `<root>/planetoid/CiteSeer/raw`. 20 papers of each topic are to train on, 500 to validate, 1000 to test; 15
    papers have no words. The words of a paper add up to 1 with `normalize_features`.
    """

    folder_name = "CiteSeer"
    checksums = (
        "sha256:2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668",
        "sha256:f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95",
        "sha256:d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7",
        "sha256:2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4",
        "sha256:539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21",
        "sha256:55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce",
        "sha256:d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6",
        "sha256:8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924",
    )
    classes = tuple(f"topic {number}" for number in range(1, 7))
    in_features = 3703


class PubMed(Planetoid):
    """19717 papers on diabetes, their words (500, by tf-idf) and citations; three kinds (Planetoid's public split).

    Files: `<root>/planetoid/PubMed/raw`. 20 papers of each kind are to train on, 500 to validate, 1000 to test. The
    words of a paper add up to 1 with `normalize_features`.
    """

    folder_name = "PubMed"
    checksums = (
        "sha256:508e538e2abdccdd54c4d3e9f49d638b4af7107d85845f66ddea5a5152658b7e",
        "sha256:0c37bbe3b5014ec365e9d393cf4791925e5ed94fb194305d74f064a8d7b50f0e",
        "sha256:5b89f0036ca22909471f1e6558eb42fa06e0c730a577bde5b058b40638f81dc9",
        "sha256:b101d421688bbaecbd82e8a18f1e282378d6830f3a37666f28ebc47f844341b5",
        "sha256:4eb5f5d0f30f26497eb0ac6ac9719d09c67e284f1ed0385c93f3ef27a671da3d",
        "sha256:ee2e0d4819d9fbcc403689c3bf2e49face401b605932f093bc58ab6461130fdd",
        "sha256:fbe9cb5c47200d1b7769a26e579be3b7130b556831f9d850e77c4c74f2599b33",
        "sha256:e6c807633307a07ed659249006536a147c7999c797f11a2560752990181b41b3",
    )
    classes = ("experimental", "type 1", "type 2")
    in_features = 500


def read_folder(folder: Path, name: str, in_features: int, num_classes: int) -> tuple[Graph, Tensor, int]:
    """(The graph with features in CSR, the class (N,) of each node, -1 for none, how many nodes are to train on).

    The files hold the nodes of the test part in another order, `test.index`, in which CiteSeer has gaps: papers
    without words, and without a class.

    **Raises:** `UserError` for files that do not fit together.
    """
    try:
        index = np.array(_test_index(folder / f"ind.{name}.test.index"))
        seen, asked = (read_pickle(folder / f"ind.{name}.{part}") for part in ("allx", "tx"))
        labels = [read_pickle(folder / f"ind.{name}.{part}") for part in ("ally", "ty")]
        num_nodes = max(seen["shape"][0] + len(index), int(index.max()) + 1)
        rows = [np.repeat(np.arange(part["shape"][0]), np.diff(part["indptr"])) for part in (seen, asked)]
        row, column = np.concatenate([rows[0], index[rows[1]]]), np.concatenate([seen["indices"], asked["indices"]])
        value = np.concatenate([seen["data"], asked["data"]]).astype(np.float32)
        row, column, value = (torch.from_numpy(each) for each in (row, column, value))
        x = sparse_features(row, column, value, (num_nodes, in_features))
        target = torch.full((num_nodes,), -1)
        for nodes, one_hot in ((np.arange(len(labels[0])), labels[0]), (index, labels[1])):
            if one_hot.shape != (len(nodes), num_classes):
                raise ValueError(f"labels of shape {one_hot.shape}, expected {(len(nodes), num_classes)}")
            target[torch.from_numpy(nodes)] = torch.from_numpy(one_hot.argmax(axis=1))
        num_train = len(read_pickle(folder / f"ind.{name}.y"))
        edges = both_ways(_pairs(read_pickle(folder / f"ind.{name}.graph")))
        edges = edges[:, edges[0] != edges[1]]
        graph = Graph(x, edges, torch.ones(edges.shape[1]))
        return check(graph, str(folder)), target, num_train
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{folder}: the files do not fit together ({reason}); delete them and start again") from error


def rows_to_one(x: Tensor) -> Tensor:
    """`x` (N, F) of layout CSR, each row divided in place by its sum; a row of zeros stays."""
    lengths = x.crow_indices().diff()
    row = torch.arange(len(lengths)).repeat_interleave(lengths)
    sums = torch.zeros(len(lengths)).index_add(0, row, x.values())
    x.values().div_(sums[row])
    return x


def _pairs(neighbours: dict[int, list[int]]) -> Tensor:
    pairs = [(int(node), int(other)) for node, others in neighbours.items() for other in others]
    return torch.tensor(pairs).T.reshape(2, -1)


def _test_index(path: Path) -> list[int]:
    try:
        return [int(line) for line in disk.text(path).split()]
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as one number a line ({error})") from error


class Dtype:
    """Stands in for `numpy.dtype`."""

    def __init__(self, code: str, *_: Any):
        if code not in DTYPES:
            raise pickle.UnpicklingError(f"numbers of type {code!r}")
        self.code = code

    def __setstate__(self, state: tuple) -> None:
        if state[1] not in ("<", "|"):
            raise pickle.UnpicklingError(f"byte order {state[1]!r}")


class Array:
    """Stands in for `numpy.ndarray`: `value` once it is filled."""

    value: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        values = np.frombuffer(data, dtype=np.dtype(dtype.code))
        self.value = values.reshape(shape, order="F" if is_fortran else "C")


class Matrix:
    """Stands in for `scipy.sparse.csr_matrix`: `value` is its fields by name."""

    value: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.value = {name.lstrip("_"): _plain(field) for name, field in state.items()}


def _array(*_: Any) -> Array:
    return Array()


def _dict(*_: Any) -> dict:
    return {}


def _bytes(text: str, encoding: str = "latin1") -> bytes:
    """Stands in for `_codecs.encode`, by which Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding!r}")
    return text.encode("latin1")


KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Dtype,
    ("scipy.sparse.csr", "csr_matrix"): Matrix,
    ("scipy.sparse._csr", "csr_matrix"): Matrix,
    ("collections", "defaultdict"): _dict,
    ("builtins", "list"): list,
    ("_codecs", "encode"): _bytes,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = "builtins" if module == "__builtin__" else module
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} is not among them")
        return KNOWN[module, name]


def read_pickle(path: Path) -> Any:
    """An array, the fields of a CSR matrix (`data`, `indices`, `indptr`, `shape`), or a dict of lists.

    A pickle is a program, and this one a stranger's. So it is read with the handful of names that these files use, each
    of which is a harmless stand-in here; every other name is refused, and NumPy and SciPy restore nothing.

    **Raises:** `UserError` for a file that is damaged, or asks for anything but numbers and lists.
    """
    try:
        with disk.opened(path) as file:
            return _plain(_Reader(file, encoding="latin1").load())
    except Exception as error:
        # A damaged pickle fails in as many ways as there are instructions.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path}: cannot be read ({reason}); only numbers and lists are taken from a pickle; delete the file and "
            "start again"
        ) from error


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Array | Matrix) else value
