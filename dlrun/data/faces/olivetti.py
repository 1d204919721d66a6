"""The Olivetti faces, in the file that scikit-learn reads."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from dlrun import disk
from dlrun.config.places import data_root
from dlrun.config.schema import FilePath, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data import download
from dlrun.data.faces.people import People, identity_spec
from dlrun.data.images.imagefolder import STATISTICS
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import TensorPart

FILE = "olivettifaces.mat"
NUM_PEOPLE, NUM_IMAGES, SIDE = 40, 10, 64
# scikit-learn's copy, whose address has no file name (behind a question mark it does not matter), and the origin.
MIRRORS = ("https://ndownloader.figshare.com/files/5976027?", "https://cs.nyu.edu/~roweis/data/")


class Olivetti(DataSet):
    """400 grey photographs of 40 people, 1x64x64, ten of each (AT&T Laboratories Cambridge, 1992 to 1994).

    Light, expression and glasses differ; all look ahead, in front of a dark ground. People are split by `split_seed`.
    Files: `<root>/olivetti`, downloaded once if they are not there.
    """

    kind: str = "image"
    target: str = "identity"
    source: str = "download"
    stand_in: str = "data=drawn_faces"
    files: ClassVar[Mapping[str, str | None]] = {
        FILE: "sha256:b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794"
    }

    def __init__(
        self, *, root: FilePath | None = None, val_fraction: ProperFraction = 0.2, test_fraction: ProperFraction = 0.25,
        split_seed: Seed = 42, mirrors: tuple[str, ...] | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `root`: the folder of all data sets; None: the environment's `DLRUN_DATA`, else `./data`.
        - `val_fraction`, `test_fraction`: the shares of the people that become the val and the test part.
        - `split_seed`: chooses the people of each part.
        - `mirrors`: addresses of folders to download from, tried in order; None: the built-in ones.
        """
        self.folder = data_root(root) / "olivetti"
        self.mirrors = mirrors or MIRRORS
        rows = {f"person {k}": range(k * NUM_IMAGES, (k + 1) * NUM_IMAGES) for k in range(NUM_PEOPLE)}
        self.people = People(
            "olivetti", {"train": rows}, val_fraction=val_fraction, test_fraction=test_fraction, seed=split_seed
        )

    @property
    def spec(self) -> DataSpec:
        mean, std = STATISTICS[1]
        return identity_spec(self.people.names, in_channels=1, image_size=(SIDE, SIDE), mean=mean, std=std)

    def load(self) -> dict[str, Part]:
        """The parts, in memory. **Raises:** `UserError` if the file can neither be found nor downloaded."""
        from scipy.io import loadmat

        download.fetch("olivetti", self.folder, self.files, self.mirrors, self.stand_in)
        pixels = loadmat(disk.opened(self.folder / FILE))["faces"]  # (pixels, images), column by column
        images = torch.as_tensor(pixels).byte().T.reshape(-1, 1, SIDE, SIDE).transpose(2, 3).contiguous()
        parts = {}
        for part in self.people.parts:
            rows, identities = self.people.part(part)
            parts[part] = TensorPart((images[torch.tensor(rows)],), identities)
        return parts
