"""The house stays in order: what a room does not list here it may not import, and no circle is possible."""

import ast
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "dlrun"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the top floor down; a room may import what it lists, all of it further down, and nothing else of dlrun.
ROOMS = {
    "__main__": {"cli"},
    "cli": {
        "sweep", "report", "run", "examples", "tasks", "models", "data", "store", "engine", "config", "plots",
        "terminal",
    },
    "api": {"sweep", "report", "run", "store", "engine", "config", "plots", "terminal"},
    "sweep": {"report", "run", "store", "engine", "config", "terminal"},
    "report": {"store", "config", "plots", "terminal"},
    "run": {
        "tasks", "models", "samplers", "data", "augment", "optim", "store", "engine", "config", "plots", "terminal",
    },
    "examples": {"tasks", "models", "data", "optim", "engine", "config", "plots"},
    "tasks": {"data", "store", "engine", "config", "plots", "terminal"},
    "models": {"config"},
    "samplers": {"data", "engine", "config"},
    "data": {"engine", "config"},
    "augment": {"engine", "config"},
    "optim": {"config"},
    "store": {"config", "terminal"},
    "engine": {"config"},
    "config": set(),
    "plots": set(),
    "terminal": set(),
    "disk": set(),
    "errors": set(),
    "__init__": set(),
}  # fmt: skip
EVERYWHERE = {"disk", "errors", "__init__"}
# Within a room: all that a model knows of the rest of dlrun, and all that the engine does.
ONLY = {
    "models": {"dlrun.config.schema", "dlrun.config.kernels", "dlrun.config.registry", "dlrun.config.networks"},
    "optim": {"dlrun.config.schema", "dlrun.config.registry"},
    "engine": {"dlrun.config.schema", "dlrun.config.spec"},
}
LIBRARIES = {"hydra": {"dlrun.config.compose", "dlrun.cli.hydra_flags"}, "omegaconf": {"dlrun.config", "dlrun.store"}}


def module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def imports(path: pathlib.Path) -> set[str]:
    """The modules that a file imports; of `from dlrun.x import y` both, since y may be one."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: imports are absolute"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (parts[1] in ROOMS) else "__init__"


def test_the_rooms_are_those_of_the_plan_and_stand_on_floors():
    assert {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if _is_code(path)} == set(ROOMS)
    order = list(ROOMS)
    for name, allowed in ROOMS.items():
        assert all(order.index(below) > order.index(name) for below in allowed), f"{name} would look up"


def _is_code(path: pathlib.Path) -> bool:
    return path.suffix == ".py" or (path.is_dir() and not path.name.startswith("__"))


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_room_imports_what_it_may(path):
    name = module_name(path)
    ours = {other for other in imports(path) if other.split(".")[0] == "dlrun"}
    wrong = {other for other in ours if room(other) not in ROOMS[room(name)] | EVERYWHERE | {room(name)}}
    assert not wrong, f"{name} may not import {wrong}"
    outside = {other for other in ours if room(other) not in (room(name), *EVERYWHERE)}
    if room(name) in ONLY:
        stray = {other for other in outside if not any(_is_at_or_below(other, known) for known in ONLY[room(name)])}
        assert not stray - {"dlrun.config"}, f"{name} may not know of {stray}"
    for library, places in LIBRARIES.items():
        if any(other.split(".")[0] == library for other in imports(path)):
            assert any(_is_at_or_below(name, place) for place in places), f"{library} stays in {places}"


def _is_at_or_below(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}.")


def test_no_file_stands_in_a_circle():
    """Not within a room either, and what is imported for type checkers alone counts."""
    modules = {module_name(path): path for path in FILES}
    below = {name: (imports(path) & modules.keys()) - {name} for name, path in modules.items()}
    while free := {name for name, others in below.items() if not others & below.keys()}:
        below = {name: others for name, others in below.items() if name not in free}
    assert not below, f"these import each other: {sorted(below)}"


def test_only_one_file_steps():
    """No other than engine/step.py."""
    for path in FILES:
        called = {
            (node.func.value.id if isinstance(node.func.value, ast.Name) else "", node.func.attr)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        steps = {
            pair for pair in called if pair[1] == "backward" or pair in (("optimizer", "step"), ("scaler", "step"))
        }
        assert not steps or module_name(path) == "dlrun.engine.step", steps


def test_no_file_of_engine_run_or_cli_asks_what_a_task_a_part_or_a_data_set_has():
    for path in FILES:
        if room(module_name(path)) not in ("engine", "run", "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("hasattr", "getattr")
            ):
                asked = ast.unparse(node.args[0])
                assert asked.split(".")[-1] not in ("task", "part", "dataset", "data", "loader", "sampler"), asked


# What each answers without: a newcomer waits for no library that it does not need.
WORDS = [
    *([], ["--help"], ["--version"], ["list"], ["list", "models"], ["list", "data"], ["list", "experiments"]),
    *(["list", "examples"], ["show", "example"]),
    *(["model=resnt"], ["trainer.epoch=3"], ["optimizer.lr=abc"], ["resnet"], ["--cfg", "job"]),
]


def test_torch_is_not_imported_to_answer(tmp_path):
    code = (
        "import os, sys\n"
        "for words in eval(sys.argv[1]):\n"
        "    if os.fork() == 0:\n"
        "        from dlrun.cli.main import main\n"
        "        try: main(words)\n"
        "        except SystemExit: pass\n"
        "        heavy = {'torch', 'pandas', 'sklearn', 'matplotlib', 'torchvision'}\n"
        "        heavy |= {'hydra', 'omegaconf'} if words[:1] == ['list'] else set()\n"
        "        wrong = heavy & set(sys.modules)\n"
        "        if wrong: print(words, wrong, file=sys.stderr, flush=True)\n"
        "        sys.stdout.flush(); os._exit(bool(wrong))\n"
        "    assert os.waitpid(-1, 0)[1] == 0, words\n"
    )
    done = subprocess.run([sys.executable, "-c", code, repr(WORDS)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_imports_what_it_uses(tmp_path):
    code = (
        "import sys; from dlrun.cli.main import main\n"
        "code = main(['model=linear', 'data=line', 'trainer.epochs=2', 'folder=run'])\n"
        "unused = {'torch._dynamo', 'torchvision', 'torch_geometric', 'pandas', 'sklearn', 'mlflow', 'wandb'}\n"
        "unused &= set(sys.modules)\n"
        "assert code == 0 and not unused, unused"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
