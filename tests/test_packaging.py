"""What stands in README.md, Dockerfile and constraints.txt is true of the files beside them."""

import pathlib
import re
import shlex
import tomllib

import pytest

from dlrun.cli.main import VERBS
from dlrun.cli.verbs import show_example
from dlrun.config import check, compose

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
GUIDES = [README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

BLOCKS = [block for guide in GUIDES for block in re.findall(r"^```\n(.*?)^```", guide, re.M | re.S)]
COMMANDS = [
    line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.startswith("dlrun ")
]


def normalized(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")


def test_readme_is_short_and_what_it_points_to_is_there():
    assert README.count("\n") < 200
    for path in re.findall(r"\]\(((?!http).*?)\)", README):
        assert (ROOT / path).exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_is_one_that_dlrun_takes(command):
    words = shlex.split(command)[1:]
    if words[0] == "show" and words[1].startswith("example="):
        show_example.read(words[1:])
        return
    if words[0] in VERBS:
        words = [word for word in words[1:] if "=" in word]
    else:
        assert all("=" in word or word in ("-m", "--help", "--cfg", "job") for word in words)
    for job in compose.expand([word for word in words if "=" in word], []):
        check.parse(compose.tree(job, []))


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.splitlines()[0])
def test_python_blocks_train(guide, tmp_path, cli):
    for block in re.findall(r"```python\n(.*?)```", guide, re.S):
        name = block.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(block)
    for line in re.findall(r"^DLRUN_PLUGINS=.*$", guide, re.M):
        assignment, _, *words = shlex.split(line)
        words = [word.replace("data=mnist", "data=synthetic") for word in words]
        cli(*words, "trainer=smoke", "logger=none", env=dict([assignment.split("=", 1)]), check=0)


def test_docker_copies_what_exists_and_runs_as_nobody_special():
    for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    user = DOCKERFILE.index("\nUSER student")
    assert "useradd --create-home student" in DOCKERFILE[:user]
    assert not re.findall(r"^USER root", DOCKERFILE, re.M)
    assert re.search(r"^FROM \S+:\S+$", DOCKERFILE, re.M), "the base image is pinned"
    assert 'ENTRYPOINT ["dlrun"]' in DOCKERFILE


def test_docker_installs_what_ci_installs():
    install = "-c constraints.txt"
    assert install in DOCKERFILE
    assert install in (ROOT / ".ci/run").read_text()
    assert all(install in line for line in README.splitlines() if "pip install -" in line)


def test_commands_in_the_head_of_the_dockerfile_are_taken():
    commented = "".join(re.findall(r"^# ?(.*\n)", DOCKERFILE, re.M)).replace("\\\n", " ")
    lines = [line for line in commented.splitlines() if "docker run" in line]
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line.split(" dlrun ")[1])
        check.parse(compose.tree(words, []))


def test_every_dependency_is_pinned_and_no_host_is_named():
    text = (ROOT / "constraints.txt").read_text()
    pins = {normalized(line) for line in text.splitlines() if "==" in line}
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    wanted += PROJECT["optional-dependencies"]["search"] + PROJECT["optional-dependencies"]["docs"]
    assert {normalized(requirement) for requirement in wanted} <= pins
    assert "://" not in text


def test_the_type_marker_and_the_licence_are_there():
    assert (ROOT / "dlrun/py.typed").exists()
    assert "MIT License" in (ROOT / "LICENSE").read_text()
