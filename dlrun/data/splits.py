"""Which sample is in which part: drawn for data that come without a val and a test part, or as a run has kept it."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import PurePath

import numpy as np
import torch
from torch import Tensor

from dlrun import disk
from dlrun.config.spec import PARTS
from dlrun.data.notes import say
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.kept import GOES_ON, NO_PART, Kept
from dlrun.engine.parts import TensorPart, split
from dlrun.errors import UserError

# Of a large file that is not read whole, what stands for all of it.
NUM_BLOCKS, BLOCK_BYTES = 16, 4096
EMPTY = -1  # the name of a line in which nothing stands


def split_off(part: Part, *, val_fraction: float, test_fraction: float, seed: int) -> dict[str, Part]:
    """Splits `part` by `seed` to `train`, `val` and `test`; a fraction of 0 leaves that part out.

    Both fractions are shares of the whole of `part`. The test part depends on `test_fraction` and `seed` alone.
    Of classes (integers) every part gets its share of each; see `parts.split`. Of values (floats), with a `seed`
    below 2^32, the test part holds the rows that scikit-learn's `train_test_split` draws with it as `random_state`,
    so that results can be set beside those of any script.

    **Raises:** `UserError` if any part would be empty.
    """
    if val_fraction + test_fraction >= 1:
        raise UserError(
            f"data: val_fraction {val_fraction:g} and test_fraction {test_fraction:g} leave nothing to train on; "
            "their sum must be below 1"
        )
    take = _split_values if part.labels is not None and part.labels.is_floating_point() else split
    parts, left = {"train": part}, 1.0
    for name, fraction in (("test", test_fraction), ("val", val_fraction)):
        if fraction > 0:
            parts["train"], parts[name] = take(parts["train"], fraction / left, seed)
            left -= fraction
    parts = {name: parts[name] for name in ("train", "val", "test") if name in parts}
    empty = [name for name, piece in parts.items() if len(piece) == 0]
    if empty:
        raise UserError(
            f"data: {len(part)} samples are too few for {', '.join(parts)}: {', '.join(empty)} would be empty; "
            "add samples or set val_fraction or test_fraction to 0"
        )
    return parts


class Pieces:
    """What a data set of the user's own reads, piece by piece (files, or lines of files), and the part of each sample.

    Of a data set that has been `kept` these are the pieces that the run had, in its order, whatever now lies before,
    behind or between them; equal ones stand for each other. What is changed, missing or new is counted in one line.

    **Attributes:**

    - `index` (M,): the positions of the pieces to use in what was given, in the order to use them in.
    """

    def __init__(
        self, data: DataSet, name: str, digests: np.ndarray, names: np.ndarray, *, in_place: bool = False
    ):  # fmt: skip
        """**Arguments:**

        - `data`: the data set, called `name` in messages.
        - `digests`, `names` (N,) int64: of the content of each piece, and of what it is called; `EMPTY` is no news.
        - `in_place`: a piece that has changed is still read, in no part: a header, or a node that edges lead to.

        **Raises:** `UserError` if most samples of a part are gone.
        """
        self._data, self._name, self._kept = data, name, None
        self.index = np.arange(len(digests))
        if data.kept is not None:
            self.index, self._kept = self._recalled(data.kept, digests, names, in_place)
        self._digests, self._names = digests[self.index], names[self.index]
        self._codes = np.full(len(self.index), NO_PART, dtype=np.uint8)
        self._keep()

    def join(self, first: np.ndarray, last: np.ndarray) -> None:
        """Says that the pieces behind `first` (S,), up to `last` (S,), belong to the same sample."""
        for start, end in zip(first[last > first], last[last > first], strict=True):
            self._codes[start + 1 : end + 1] = GOES_ON

    def divide(
        self, labels: Tensor | None, at: np.ndarray | None = None, given: Sequence[str] | None = None, *,
        val_fraction: float, test_fraction: float, seed: int, groups: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """The positions, among the samples, of those of each part: as the run had them, or drawn by `split_off`.

        **Arguments:**

        - `labels`: of the samples, as `Part.labels`.
        - `at` (S,): the place of each sample among the pieces; None: every piece is one.
        - `given`: the part of each sample that its files name; None: train. What is named stays; a val and a test part
          that are not are split off from train.
        - `groups`: a name for each sample; of those that are drawn, the ones of a group stay together: neighbouring
          frames of a film, photographs of one person.
        """
        at = np.arange(len(self.index)) if at is None else at
        if self._kept is not None:
            parts = {part: np.flatnonzero(self._kept[at] == place) for place, part in enumerate(PARTS)}
            parts = {part: own for part, own in parts.items() if len(own)}
        else:
            named = np.array(["train"] * len(at) if given is None else given, dtype=object)
            parts = {part: np.flatnonzero(named == part) for part in PARTS if part == "train" or (named == part).any()}
            parts |= _drawn(parts, labels, groups, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)
        self.note({part: at[own] for part, own in parts.items()})
        return {part: parts[part] for part in PARTS if part in parts}

    def parts(self) -> list[str | None] | None:
        """The part of each piece as the run had it; None: no run has kept it."""
        if self._kept is None:
            return None
        return [PARTS[code] if code < len(PARTS) else None for code in self._kept]

    def note(self, parts: Mapping[str, np.ndarray]) -> None:
        """Keeps which pieces are the samples of each part."""
        for part, own in parts.items():
            self._codes[own] = PARTS.index(part)
        self._keep()

    def _keep(self) -> None:
        self._data.found = Kept(*(torch.from_numpy(each) for each in (self._digests, self._names, self._codes.copy())))

    def _recalled(
        self, kept: Kept, digests: np.ndarray, names: np.ndarray, in_place: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """(The positions of the kept pieces that are still there, in their order; the part of each)."""
        codes, called = kept.parts.numpy(), kept.names.numpy()
        place = _matched(kept.digests.numpy(), digests)
        is_new = np.ones(len(digests), dtype=bool)
        is_new[place[place >= 0]] = False
        is_new &= names != EMPTY
        sample = np.cumsum(codes != GOES_ON)
        there = _matched(called, names)
        is_changed = (place < 0) & (there >= 0) & (called != EMPTY)
        is_changed[is_changed] = is_new[there[is_changed]]
        is_broken = np.isin(sample, sample[(place < 0) & (codes != NO_PART)])
        is_sample = codes < len(PARTS)
        gone = is_sample & is_broken
        others = int(((place < 0) & (codes == NO_PART) & (called != EMPTY)).sum())
        self._check(codes, gone, others)
        changed = int((gone & is_changed).sum())
        lost, new = int(gone.sum()) - changed, int(is_new.sum()) - int(is_changed.sum())
        if changed or lost or new or others:
            say(
                self._name,
                f"of the run's {is_sample.sum():,} samples {changed:,} changed and {lost:,} missing (left out), "
                f"{new:,} new (in no part)"
                + (f"; {others:,} other lines or files changed or missing" if others else ""),
            )
        is_used = (place >= 0) & ~is_broken
        if in_place:
            is_read = is_changed & (np.bincount(sample)[sample] == 1)
            place, codes = np.where(is_read, there, place), np.where(is_read, np.uint8(NO_PART), codes)
            is_used |= is_read
        return place[is_used], codes[is_used]

    def _check(self, codes: np.ndarray, gone: np.ndarray, others: int) -> None:
        """**Raises:** `UserError` if a part is not what it was, or all that was read is to be there and is not."""
        counts = {
            part: (int((codes == place).sum()), int(gone[codes == place].sum())) for place, part in enumerate(PARTS)
        }
        lost = [f"{own:,} of {count:,} in {part}" for part, (count, own) in counts.items() if 2 * own > count]
        if not any(count for count, _ in counts.values()) and others:
            lost = [f"{others:,} of {len(codes):,}"]
        if lost:
            raise UserError(
                f"data={self._name}: samples of the run are gone or changed ({', '.join(lost)}): these are other data "
                "than it was trained on; data.path=FILE or data.root=FOLDER says where those are"
            )


def lines_of(data: DataSet, name: str, contents: Sequence[bytes]) -> tuple[list[bytes], Pieces]:
    """(The text files as the run had them, as far as their lines are still there; their lines as pieces).

    Without a run these are `contents`, as they are. Pieces are the lines of all files, one file after another.
    """
    lines = [content.splitlines(keepends=True) for content in contents]
    marked = [b"%d:%b" % (number, line.strip()) for number, own in enumerate(lines) for line in own]
    every = [line for own in lines for line in own]
    sizes = [len(own) for own in lines]
    names = np.concatenate([np.arange(size) + (number << 40) for number, size in enumerate(sizes)])
    file_of = names >> 40
    names[[not line.strip() for line in every]] = EMPTY
    pieces = Pieces(data, name, _digests(marked), names, in_place=True)
    if data.kept is None:
        return list(contents), pieces
    numbers = file_of[pieces.index]
    chosen = [[every[place] for place in pieces.index[numbers == number]] for number in range(len(contents))]
    return [_text(own) for own in chosen], pieces


def files_of(
    data: DataSet, name: str, paths: Sequence[str], targets: Sequence[object], root: str | PurePath, *, whole: bool
) -> Pieces:
    """The files `paths` below `root` as pieces; `targets` is what is known of each, in a form that can be printed.

    Not `whole`: of a file above 64 KiB its size and 16 pieces of it stand for all, so that large folders, of which
    nothing is read before training, cost little.
    """
    contents = [
        b"%b:%b" % (content_of(path, whole), str(target).encode(errors="surrogateescape"))
        for path, target in zip(paths, targets, strict=True)
    ]
    names = _digests([os.path.relpath(path, root).encode(errors="surrogateescape") for path in paths])
    return Pieces(data, name, _digests(contents), names)


def rows_of(data: DataSet, name: str, rows: Sequence[object]) -> Pieces:
    """Rows that have been read, as pieces; what a row holds can be printed."""
    return Pieces(data, name, _digests(repr(row).encode() for row in rows), np.arange(len(rows)))


def _text(lines: list[bytes]) -> bytes:
    """`lines` as one text, in which the last one may have come to stand before others."""
    return b"".join(line if line.endswith((b"\n", b"\r")) else line + b"\n" for line in lines)


def _digests(contents: Iterable[bytes]) -> np.ndarray:
    """8 bytes of each content, as int64."""
    return np.frombuffer(b"".join(blake2b(each, digest_size=8).digest() for each in contents), dtype=np.int64)


def content_of(path: str | PurePath, whole: bool = True) -> bytes:
    """16 bytes that stand for the content of a file; of one that cannot be read, those of nothing."""
    digest = blake2b(digest_size=16)
    try:
        with disk.opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(b"%d" % size)
            if whole or size <= NUM_BLOCKS * BLOCK_BYTES:
                while block := file.read(1 << 20):
                    digest.update(block)
            else:
                for number in range(NUM_BLOCKS):
                    file.seek((size - BLOCK_BYTES) * number // (NUM_BLOCKS - 1))
                    digest.update(file.read(BLOCK_BYTES))
    except OSError:
        pass  # whoever decodes it says so
    return digest.digest()


def _matched(wanted: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The position in `there` (N,) of each of `wanted` (M,), the k-th of equal ones for the k-th; -1: none is left."""
    order = np.argsort(there, kind="stable")
    ordered = there[order]
    place = np.searchsorted(ordered, wanted) + _rank(wanted)
    is_there = place < len(ordered)
    is_there[is_there] = ordered[place[is_there]] == wanted[is_there]
    found = np.full(len(wanted), -1)
    found[is_there] = order[place[is_there]]
    return found


def _rank(values: np.ndarray) -> np.ndarray:
    """How many equal ones stand before each value."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values)) - np.searchsorted(ordered, ordered)
    return rank


def _drawn(
    parts: Mapping[str, np.ndarray], labels: Tensor | None, groups: Sequence[str] | None, *, val_fraction: float,
    test_fraction: float, seed: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """What `split_off` makes of the samples `parts["train"]`, of all that `labels` and `groups` tell of."""
    own = parts["train"]
    fractions = {
        "val_fraction": 0 if "val" in parts else val_fraction,
        "test_fraction": 0 if "test" in parts else test_fraction,
    }
    number = torch.arange(len(own))
    if groups is None:
        whole = TensorPart((number,), None if labels is None else labels[torch.from_numpy(own)])
        taken = split_off(whole, **fractions, seed=seed)
        return {name: own[_numbers(part)] for name, part in taken.items()}
    names = [groups[place] for place in own]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    member = np.array([numbers[name] for name in names])
    # The groups are split as samples are; how many samples each holds decides only what the shares come to.
    num_groups = torch.arange(len(numbers))
    taken = split_off(TensorPart((num_groups,), num_groups.float()), **fractions, seed=seed)
    return {name: own[np.isin(member, _numbers(part))] for name, part in taken.items()}


def _numbers(part: Part) -> np.ndarray:
    assert isinstance(part, TensorPart)
    return part.inputs[0].numpy()


def group_names(paths: Iterable[str], group_by: str | None) -> list[str] | None:
    """Of each file its name before the last `group_by`, which says what belongs together: `clip3` of `clip3_0001.jpg`.

    None: each file is by itself.

    **Raises:** `UserError` if all files are one group.
    """
    if group_by is None:
        return None
    stems = [PurePath(path).stem for path in paths]
    names = [stem.rpartition(group_by)[0] or stem for stem in stems]
    if len(set(names)) == 1:
        raise UserError(
            f"data.group_by: by {group_by!r} all {len(names)} images are of one group, {names[0]!r}; such as "
            f"{stems[0]!r} need another one"
        )
    return names


def some(part: Part, num: int, seed: int) -> Part:
    """`num` samples of `part`, drawn by `seed`, of each class its share. **Raises:** `UserError` if it has fewer."""
    if num > len(part):
        raise UserError(f"data.num_train: {num} are more than the {len(part)} samples there are to train on")
    return part if num == len(part) else split(part, num / len(part), seed)[1]


def _split_values(part: Part, fraction: float, seed: int) -> tuple[Part, Part]:
    """(The rest, the split-off samples), both in their original order."""
    order = np.random.RandomState(seed % 2**32).permutation(len(part))
    is_taken = torch.zeros(len(part), dtype=torch.bool)
    is_taken[order[: math.ceil(len(part) * fraction)]] = True
    return part.subset(torch.nonzero(~is_taken).flatten()), part.subset(torch.nonzero(is_taken).flatten())
