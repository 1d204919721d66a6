"""`dlrun doctor`: is everything in place? Looks at the machine, then trains for a moment."""

import contextlib
import importlib
import importlib.metadata
import io
import os
import pathlib
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator

from dlrun import __version__
from dlrun.cli.arguments import Arguments
from dlrun.config import catalogue, check, compose, registry
from dlrun.errors import RunError, UserError

USAGE = "dlrun doctor [--recipes]"
OK, MISSING, WARNING = "ok", "missing", "warning"
GIB = 2**30
# One batch over and over: what learns at all learns it by heart.
TRAINING = ["model=cnn", "data=synthetic", "trainer=overfit", "scheduler=none", "logger=default"]
LEARNED = 0.95

Line = tuple[str, str, str]


def main(words: list[str]) -> int:
    """Prints a line for each finding and `ok` at the end. **Raises:** `RunError` if no run could work here."""
    arguments = Arguments(USAGE, "Checks versions, devices and data, and trains for a moment.")
    arguments.add_argument("--recipes", action="store_true", help="tries each recipe instead: two batches, no download")
    if arguments.parse_args(words).recipes:
        return _recipes()
    # What cannot be imported ends the check, and those that import it come later.
    for look in (_packages, _imports, _processor, _memory, _devices, _data, _folders, _plugins, _training):
        for mark, what, finding in look():
            print(f"{mark:<9}{what:<16} {finding}", flush=True)
    print("ok")
    return 0


def _packages() -> Iterator[Line]:
    """Python and what dlrun needs, each with its version."""
    from packaging.requirements import Requirement

    yield OK, "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    try:
        needed = importlib.metadata.requires("dlrun") or []
    except importlib.metadata.PackageNotFoundError:
        yield WARNING, "dlrun", f"{__version__}, not installed: its needs cannot be checked; pip install it"
        return
    yield OK, "dlrun", f"{__version__} in {pathlib.Path(__file__).parent.parent}"
    for need in map(Requirement, needed):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            yield MISSING, need.name, f"pip install '{need.name}{need.specifier}'"
            continue
        fits = need.specifier.contains(version, prereleases=True)
        yield (OK, need.name, version) if fits else (WARNING, need.name, f"{version}, but dlrun needs {need.specifier}")


def _imports() -> Iterator[Line]:
    """Packages that are there and still do not work: wrong pairs of torch and torchvision, lost libraries."""
    for name in ("torch", "torchvision", "torch.utils.tensorboard"):
        started = time.perf_counter()
        try:
            importlib.import_module(name)
        except Exception as error:
            raise RunError(
                f"{name} cannot be imported: {_first_line(error)}; reinstall it: pip install -U torch torchvision"
            ) from error
        yield OK, "import", f"{name} in {time.perf_counter() - started:.1f} s"


def _processor() -> Iterator[Line]:
    import torch

    from dlrun.engine import device as devices
    from dlrun.sweep.driver import cores

    num, threads = cores(), torch.get_num_threads()
    bf16 = "bf16 in hardware" if devices.bf16_is_native() else "no bf16 instructions: bf16 is slower than fp32"
    yield OK, "cpu", f"{num} cores, {threads} used by torch, {bf16}"
    if threads > num:
        yield WARNING, "threads", f"{threads} threads on {num} cores wait for each other; use device.threads={num}"
    load = os.getloadavg()[0]
    if load > num:
        yield WARNING, "load", f"{load:.1f} on {num} cores: other programs are at work, and training will be slower"


def _memory() -> Iterator[Line]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    meminfo = pathlib.Path("/proc/meminfo")
    lines = dict(line.split(":") for line in meminfo.read_text().splitlines()) if meminfo.exists() else {}
    free = int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else total
    mark = OK if free >= GIB else WARNING
    yield mark, "memory", f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    shared = pathlib.Path("/dev/shm")
    if shared.is_dir() and shutil.disk_usage(shared).total < GIB:
        size = shutil.disk_usage(shared).total / 2**20
        yield WARNING, "shared memory", f"{size:.0f} MiB in /dev/shm: loader processes may die (Docker: --shm-size=1g)"


def _devices() -> Iterator[Line]:
    import torch

    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        capability = f"compute capability {found.major}.{found.minor}"
        yield (
            OK,
            f"cuda {index}",
            f"{found.name}, {found.total_memory / GIB:.0f} GiB, {capability}, CUDA {torch.version.cuda}",
        )
    if torch.backends.mps.is_available():
        yield OK, "mps", "Apple GPU"
    if not torch.cuda.device_count() and shutil.which("nvidia-smi"):
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU only"
        yield WARNING, "cuda", f"an NVIDIA driver is there, but torch (built for {built}) sees no GPU"
    elif not torch.cuda.device_count() and not torch.backends.mps.is_available():
        yield OK, "gpu", "none; runs use the CPU"


def _data() -> Iterator[Line]:
    """Which data sets lie in the folders that runs look into."""
    places = {"DLRUN_DATA": os.environ.get("DLRUN_DATA"), "./data": "data"}
    for name, place in places.items():
        if not place:
            continue
        path = pathlib.Path(place).expanduser()
        used = "" if name == "DLRUN_DATA" or not os.environ.get("DLRUN_DATA") else " (not used: DLRUN_DATA is set)"
        there = [row["name"] for row in catalogue.data_sets(path) if row["files"] and row["is_there"]]
        if path.is_dir():
            yield OK, "data", f"{path}: {', '.join(there) or 'none of the known data sets'}{used}"
        elif name == "DLRUN_DATA":
            yield WARNING, "data", f"DLRUN_DATA is {path}, and there is no such folder; downloads will make it"
        else:
            yield OK, "data", f"no ./data yet: downloads will make it; data=digits and data=synthetic need none{used}"


def _folders() -> Iterator[Line]:
    from dlrun.store import files

    for place in ("outputs", "multirun"):
        try:
            files.check_writable(place)
        except UserError as error:
            yield WARNING, place, str(error)
        else:
            yield OK, place, f"{pathlib.Path(place).absolute()} can be written"
    free = shutil.disk_usage(".").free
    yield OK if free >= GIB else WARNING, "disk", f"{free / GIB:.1f} GiB free"


def _plugins() -> Iterator[Line]:
    """What the user's own files and installed packages have added."""
    added = [f"{kind}={name}" for kind, entries in registry.registries().items() for name in entries.plugin_names()]
    yield OK, "plug-ins", ", ".join(added) or "none"


def _training() -> Iterator[Line]:
    """A whole run in a temporary folder: data, model, loop, checkpoints, pictures, TensorBoard."""
    from dlrun.run.run import run

    started, heard = time.perf_counter(), io.StringIO()
    with tempfile.TemporaryDirectory(prefix="dlrun-doctor-") as home:
        words = [*TRAINING, f"outputs={home}"]
        try:
            with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
                result = run(check.parse(compose.tree(words, [])), words)
        except (UserError, RunError) as error:
            raise RunError(f"a small training fails: {error}") from error
        except Exception as error:
            raise RunError(f"a small training fails: {type(error).__name__}: {_first_line(error)}") from error
    accuracy = result.metrics["train/accuracy"]
    if accuracy < LEARNED:
        raise RunError(f"a small training learns nothing: accuracy {accuracy:.2f} on one batch, {LEARNED} expected")
    yield OK, "training", f"{' '.join(TRAINING[:3])}: accuracy {accuracy:.2f} in {time.perf_counter() - started:.1f} s"


def _recipes() -> int:
    """A run of two batches of each recipe, on data that are here, as many at once as there are cores."""
    from dlrun.sweep import grid
    from dlrun.sweep.driver import cores

    names = [recipe["name"] for recipe in catalogue.experiments([])]
    options = ["trainer=smoke", "device.threads=1", f"sweep.jobs={cores()}"]
    started = time.perf_counter()
    home = tempfile.mkdtemp(prefix="dlrun-doctor-")
    if not grid.try_each(pathlib.Path(home), names, options):
        raise RunError(f"not every recipe can be trained here; {home} has what each printed")
    shutil.rmtree(home)
    print(f"ok: {len(names)} recipes in {time.perf_counter() - started:.0f} s")
    return 0


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
