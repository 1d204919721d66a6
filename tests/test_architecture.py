"""The house stays in order: who may import whom, and how long a file and a function may be."""

import ast
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "dlrun"
FILES = sorted(PACKAGE.rglob("*.py"))

# A file may import what stands on its own line here, and nothing else of the package.
LEAVES = {"dlrun", "dlrun.errors", "dlrun.schema", "dlrun.registry"}
ALLOWED = {
    "dlrun.errors": set(),
    "dlrun.schema": set(),
    "dlrun.kernels": set(),
    "dlrun.registry": {"dlrun", "dlrun.errors", "dlrun.schema"},
    "dlrun.engine": {"dlrun.engine"},
    "dlrun.plots": {"dlrun.plots"},
    "dlrun.models": {"dlrun.models", "dlrun.schema", "dlrun.kernels"},
    "dlrun.optimizers": {"dlrun.schema"},
    "dlrun.schedulers": {"dlrun.schema"},
    "dlrun.data": {"dlrun.data", "dlrun.errors", "dlrun.schema", "dlrun.kernels"},
    "dlrun.augment": {"dlrun.augment", "dlrun.data", "dlrun.schema"},
    "dlrun.tasks": {"dlrun.tasks", "dlrun.data", "dlrun.plots", "dlrun.schema"},
    "dlrun.checkpoint": {"dlrun.errors"},
    "dlrun.seen": set(),
    "dlrun.config": LEAVES | {"dlrun.data"},
    "dlrun.yaml_file": {"dlrun.errors"},
    "dlrun.runs": LEAVES | {"dlrun.yaml_file"},
}
ONLY_IN = {
    "hydra": {"dlrun.compose", "dlrun.cli"},
    "omegaconf": {"dlrun.compose", "dlrun.folder", "dlrun.runs"},
}


def module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "dlrun":
                found |= {f"dlrun.{alias.name}" for alias in node.names}
    return found


def within(name: str, floors: set[str]) -> bool:
    return any(name == floor or name.startswith(f"{floor}.") for floor in floors if floor != "dlrun") or (
        name == "dlrun" and "dlrun" in floors
    )


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_arrows_point_down(path):
    name = module_name(path)
    floor = next((floor for floor in ALLOWED if name == floor or name.startswith(f"{floor}.")), None)
    ours = {other for other in imports(path) if other.split(".")[0] == "dlrun"}
    if floor is not None:
        wrong = {other for other in ours - {"dlrun"} if not within(other, ALLOWED[floor])}
        assert not wrong, f"{name} may not import {wrong}"
    if name != "dlrun.__main__":
        assert "dlrun.cli" not in ours
    if not name.startswith(("dlrun.cli", "dlrun.commands", "dlrun.sweep", "dlrun.worker")):
        assert "dlrun.run" not in ours


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_libraries_stay_where_they_belong(path):
    for library, places in ONLY_IN.items():
        if any(name.split(".")[0] == library for name in imports(path)):
            assert module_name(path) in places


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_file_is_read_in_one_sitting(path):
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


def test_only_the_engine_steps():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "backward":
                assert module_name(path).startswith("dlrun.engine")


@pytest.mark.parametrize(
    "words",
    [[], ["--help"], ["--version"], ["list"], ["list", "models"], ["list", "data"], ["list", "experiments"]]
    + [["model=resnt"], ["trainer.epoch=3"], ["optimizer.lr=abc"], ["resnet"], ["--cfg", "job"]],
    ids=" ".join,
)
def test_torch_is_not_imported_to_answer(words, tmp_path):
    code = (
        "import sys; from dlrun.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'sklearn', 'matplotlib', 'torchvision'}\n"
        "heavy |= {'hydra', 'omegaconf'} if sys.argv[1:2] == ['list'] else set()\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_imports_what_it_uses(tmp_path):
    code = (
        "import sys; from dlrun.cli import main\n"
        "code = main(['model=linear', 'data=line', 'trainer.epochs=2', 'folder=run'])\n"
        "unused = {'torch._dynamo', 'torchvision', 'torch_geometric', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "assert code == 0 and not unused, unused"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
