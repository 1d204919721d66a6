"""What a run says of places in image files: pictures and files in a folder of the user's own."""

import io
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from dlrun.data.images.imagefolder import decoding, open_upright, white_of
from dlrun.engine.contracts import ImageFile, Sighting, Task
from dlrun.errors import RunError, UserError

BATCH_SIZE = 16  # images that a model looks at together


def write(
    task: Task, images: Sequence[ImageFile], seen: Sequence[Sighting], folder: Path, format: str | None
) -> list[str]:
    """Draws each sighting on a copy of its image and, with `format`, writes the files; nothing is overwritten.

    Returns the names of the files that are not of one image alone.

    **Raises:** `UserError` for an image that cannot be decoded, and a folder that cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stems = _stems(images, folder)
        for image, sighting, stem in zip(images, seen, stems, strict=True):
            with decoding(image.path):
                picture = open_upright(image.path, max(image.size), 3, white_of([image.path])).pixels
            buffer = io.BytesIO()
            sighting.draw(picture).save(buffer, "PNG")
            _write(folder / f"{stem}.png", buffer.getvalue())
        texts = {} if format is None else task.files(format, seen, images, stems)
        own = {f"{stem}.txt" for stem in stems}
        shared = [name for name in texts if name not in own]
        ending = _free_ending(shared, folder)
        names = {name: _ended(name, ending) if name in shared else name for name in texts}
        for name, text in texts.items():
            _write(folder / names[name], text.encode())
    except RunError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"predict: cannot write {error.filename or folder} ({error.strerror})") from error
    return [names[name] for name in shared]


def _write(path: Path, content: bytes) -> None:
    # Another process may have made the file since its name was free.
    with path.open("xb") as file:
        file.write(content)


def _stems(images: Sequence[ImageFile], folder: Path) -> list[str]:
    """A stem for each image of which neither a picture nor a text is there yet: its own, or with a number."""
    # Some file systems hold Cat.png and cat.png for one.
    taken = {name.lower() for name in os.listdir(folder)}
    found = []
    for image in images:
        stem = Path(image.path).stem
        names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
        chosen = next(name for name in names if not {f"{name}.png".lower(), f"{name}.txt".lower()} & taken)
        taken.add(f"{chosen}.png".lower())
        found.append(chosen)
    return found


def _free_ending(names: Sequence[str], folder: Path) -> str:
    """`""`, or `_2` and so on: what makes all of `names` new."""
    endings = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
    return next(ending for ending in endings if not any((folder / _ended(name, ending)).exists() for name in names))


def _ended(name: str, ending: str) -> str:
    stem, suffix = os.path.splitext(name)
    return f"{stem}{ending}{suffix}"
