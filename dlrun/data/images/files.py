"""Which files of a folder are images: by their ending, or by their content; what is left out is counted."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from dlrun import disk
from dlrun.config.schema import few
from dlrun.data.notes import say
from dlrun.errors import UserError

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
)  # fmt: skip
# How the files begin that a reader of Pillow, or one that was added to it, may know.
_BEGINNINGS = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|BM|II\*\0|MM\0\*|RIFF....WEBP|P[1-6]\s|....ftyp|\0\0\0\x0cjP  |\xff\x0a|8BPS",
    re.DOTALL,
)
# What file managers, archives and notebooks leave behind beside names with a leading dot or two underscores.
CLUTTER = (
    "lost+found", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "Thumbs.db", "ehthumbs.db", "desktop.ini",
)  # fmt: skip
MOST_NAMED = 4  # in a message


class LeftOut:
    """Files that are not taken for images, each counted by its ending."""

    def __init__(self) -> None:
        self.num_images = 0
        self.counts: Counter[str] = Counter()

    def images(self, entries: Iterable[Path]) -> list[Path]:
        """The images among files."""
        found = []
        for path in entries:
            if is_image(path):
                found.append(path)
            else:
                self.counts[path.suffix.lower() or "without an ending"] += 1
        self.num_images += len(found)
        return found

    def __str__(self) -> str:
        """`25 .heic, 2 without an ending`."""
        return few([f"{count:,} {ending}" for ending, count in self.counts.most_common()], MOST_NAMED)

    def sentence(self) -> str | None:
        """What is left out, in a sentence; None: nothing is."""
        num, total = self.counts.total(), self.counts.total() + self.num_images
        return f"{num:,} of {total:,} files are no images that can be read here, and left out: {self}" if num else None

    def say(self, name: str) -> None:
        """One line of the data set `name`, if anything is left out."""
        if (sentence := self.sentence()) is not None:
            say(name, sentence)


def is_image(path: Path) -> bool:
    """Whether a file has the usual ending of an image, or begins as one and can be opened."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with disk.opened(path) as file:
            if not _BEGINNINGS.match(file.read(16)):
                return False
        from PIL import Image

        with Image.open(path):
            return True
    except Exception:  # of a file that is no image Pillow's readers raise nearly any type
        return False


def entries_of(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without hidden files and clutter. **Raises:** `UserError` if it cannot be read."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"data.root: cannot read {folder} ({error.strerror})") from error
    return [entry for entry in entries if not is_clutter(entry.name)]


def is_clutter(name: str) -> bool:
    """Whether a file or folder is hidden, or what some program has left behind."""
    return name.startswith((".", "__")) or name in CLUTTER


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones and clutter."""
    return [entry for entry in entries_of(folder) if entry.is_dir()]


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, without hidden ones and clutter: frame 2 of a video before frame 10."""
    entries = sorted(entries_of(folder), key=lambda entry: (_numbered(entry.name), entry.name))
    files = [entry for entry in entries if not entry.is_dir()]
    return files + [file for entry in entries if entry.is_dir() for file in files_below(entry)]


def images_of(folder: Path, of: str, left_out: LeftOut) -> list[str]:
    """The images in the folder of one class or person; `of` says which of both it is.

    **Raises:** `UserError` if there are none, or folders instead.
    """
    entries = entries_of(folder)
    folders = [entry.name for entry in entries if entry.is_dir()]
    if folders:
        raise UserError(
            f"data.root: {of} folder {folder} holds the folder {folders[0]}; images must lie directly in their {of}"
        )
    own = LeftOut()
    images = [str(path) for path in own.images(entries)]
    left_out.counts += own.counts
    left_out.num_images += own.num_images
    if not images:
        found = f"none of its {len(entries)} files is an image ({own})" if entries else "it is empty"
        raise UserError(f"data.root: {of} folder {folder} has no images: {found}; add some or remove the folder")
    return images


def _numbered(name: str) -> Sequence[str | int]:
    # Texts and numbers take turns, so that no text is held against a number.
    return [int(piece) if place % 2 else piece for place, piece in enumerate(re.split("([0-9]+)", name))]
