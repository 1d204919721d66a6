"""Three sets of many small graphs from the TU collection: molecules and proteins (Morris et al. 2020)."""

import functools

from dlrun.data import download
from dlrun.data.graph_parts import GraphsPart
from dlrun.data.parts import Part
from dlrun.data.spec import DataSpec
from dlrun.data.splits import split_off
from dlrun.data.tu_reading import read_folder
from dlrun.errors import UserError
from dlrun.schema import ProperFraction, Seed

# The origin under its name of today and its old one.
MIRRORS = (
    "https://www.chrsmrrs.com/graphkerneldatasets/",
    "https://ls11-www.cs.tu-dortmund.de/people/morris/graphkerneldatasets/",
)
NEEDED = ("A", "graph_indicator", "graph_labels")
FURTHER = ("node_labels", "node_attributes", "edge_labels")


class TUDataset:
    """What the three share: text files `<name>_*.txt` of one folder, unpacked from `<name>.zip`."""

    folder_name = ""
    classes: tuple[str, ...] = ()
    in_features = 0
    num_edge_features = 1

    def __init__(
        self,
        root: str | None,
        val_fraction: float,
        test_fraction: float,
        split_seed: int,
        mirrors: tuple[str, ...] | None,
    ):
        self.folder = download.data_root(root) / "tu" / self.folder_name
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed
        self.mirrors = mirrors or MIRRORS

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="graph",
            target="graph_class",
            level="graph",
            in_features=self.in_features,
            num_edge_features=self.num_edge_features,
            out_features=len(self.classes),
            class_names=self.classes,
        )

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
            download.fetch(name.lower(), self.folder, {archive: None}, self.mirrors)
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

    kind: str = "graph"
    target: str = "graph_class"
    source: str = "download"
    folder_name = "MUTAG"
    classes = ("not mutagenic", "mutagenic")
    in_features = 7
    num_edge_features = 4

    def __init__(
        self,
        *,
        root: str | None = None,
        val_fraction: ProperFraction = 0.1,
        test_fraction: ProperFraction = 0.1,
        split_seed: Seed = 42,
        mirrors: tuple[str, ...] | None = None,
    ):
        super().__init__(root, val_fraction, test_fraction, split_seed, mirrors)


class Proteins(TUDataset):
    """1113 proteins of 4 to 620 parts of their chain: enzymes, or not (Borgwardt et al. 2005)?

    A node's features (N, 4) are one measurement, then the kind of part. Files: `<root>/tu/PROTEINS`, downloaded once if
    they are not there. The graphs are split by `split_seed`, each class alike.
    """

    kind: str = "graph"
    target: str = "graph_class"
    source: str = "download"
    folder_name = "PROTEINS"
    classes = ("class 1", "class 2")
    in_features = 4

    def __init__(
        self,
        *,
        root: str | None = None,
        val_fraction: ProperFraction = 0.1,
        test_fraction: ProperFraction = 0.1,
        split_seed: Seed = 42,
        mirrors: tuple[str, ...] | None = None,
    ):
        super().__init__(root, val_fraction, test_fraction, split_seed, mirrors)


class Enzymes(TUDataset):
    """600 enzymes of 2 to 126 parts of their chain: which of six things do they do (Borgwardt et al. 2005)?

    A node's features (N, 21) are 18 measurements, then the kind of part. Files: `<root>/tu/ENZYMES`, downloaded once if
    they are not there. The graphs are split by `split_seed`, each class alike.
    """

    kind: str = "graph"
    target: str = "graph_class"
    source: str = "download"
    folder_name = "ENZYMES"
    classes = tuple(f"EC {number}" for number in range(1, 7))
    in_features = 21

    def __init__(
        self,
        *,
        root: str | None = None,
        val_fraction: ProperFraction = 0.1,
        test_fraction: ProperFraction = 0.1,
        split_seed: Seed = 42,
        mirrors: tuple[str, ...] | None = None,
    ):
        super().__init__(root, val_fraction, test_fraction, split_seed, mirrors)
