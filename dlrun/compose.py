"""From the words of a command line to one plain config tree: the only importer of Hydra.

Hydra merges config.yaml, the chosen files of each group, the experiment and the overrides.
Its own messages are replaced by one line each, and unknown keys are let through on purpose:
`config.parse` knows all keys and can name the nearest.
"""

import difflib
import itertools
import pathlib
from typing import Any

import hydra
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlrun import registry, schema
from dlrun.errors import UserError

# Hydra before 1.4 wants to be told, 1.4 warns when it is.
VERSION_BASE: dict[str, Any] = {} if hydra.__version__ >= "1.4" else {"version_base": "1.3"}


def conf_folder() -> pathlib.Path:
    """The package's own config folder, in a wheel or beside an editable checkout."""
    package = pathlib.Path(__file__).parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def groups(config_dirs: list[str]) -> dict[str, list[str]]:
    """Every config group and its options: the package's, then the user's, then plug-ins."""
    found: dict[str, set[str]] = {}
    for folder in (conf_folder(), *map(pathlib.Path, config_dirs)):
        for path in folder.glob("*/*.yaml"):
            found.setdefault(path.parent.name, set()).add(path.stem)
    for kind, entries in registry.REGISTRIES.items():
        found.setdefault(kind, set()).update(entries.plugin_names())
    return {group: sorted(options) for group, options in sorted(found.items())}


def tree(overrides: list[str], config_dirs: list[str]) -> dict[str, Any]:
    """The composed config as plain containers. **Raises:** `UserError`, one line a mistake."""
    for folder in config_dirs:
        if not pathlib.Path(folder).is_dir():
            raise UserError(f"--config-dir: no folder {folder}")
    registry.load_plugins()
    parsed = [_checked(override, config_dirs) for override in parse(overrides)]
    words = [_as_word(override) for override in parsed]
    if config_dirs:
        places = ",".join(f"'file://{pathlib.Path(folder).resolve()}'" for folder in config_dirs)
        words.append(f"hydra.searchpath=[{places}]")
    _store_plugins()
    try:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(conf_folder()), job_name="dlrun", **VERSION_BASE):
            composed = compose("config", words)
        return OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"config: {_first_line(error)}") from error


def parse(overrides: list[str]) -> list[Override]:
    """Hydra's reading of `key=value` words. **Raises:** `UserError` that quotes the word."""
    parser = OverridesParser.create()
    parsed = []
    for word in overrides:
        try:
            parsed.append(parser.parse_override(word))
        except HydraException as error:
            raise UserError(f"cannot read {word!r}: {_explain_word(word, error)}") from error
    return parsed


def expand(overrides: list[str]) -> list[list[str]]:
    """The jobs of a sweep: every combination of the values that an override lists.

    `model=mlp,cnn seed=range(0,2)` gives four lists of overrides, the last key turning fastest.
    """
    axes = []
    for override in parse(overrides):
        if override.is_sweep_override():
            key = override.get_key_element()
            axes.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            axes.append([override.input_line or ""])
    return [list(job) for job in itertools.product(*axes)]


def to_yaml(values: dict[str, Any]) -> str:
    """A config as YAML text."""
    return OmegaConf.to_yaml(OmegaConf.create(values))


def load_yaml(path: pathlib.Path) -> dict[str, Any]:
    """A config file as plain containers, `${...}` left as text. **Raises:** `UserError`."""
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)  # type: ignore[return-value]
    except (OSError, OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"{path}: {_first_line(error)}") from error


def _checked(override: Override, config_dirs: list[str]) -> Override:
    if override.is_sweep_override():
        raise UserError(f"{override.input_line}: lists several values; add -m to run one job for each")
    known = groups(config_dirs)
    group = override.key_or_group
    if group in known and not isinstance(override.value(), dict):
        option = override.value()
        if override.type is OverrideType.DEL:
            raise UserError(f"~{group}: a run needs this group; choose another option with {group}=NAME")
        allowed = known[group] + (["null"] if group == "experiment" else [])
        if str(option) not in allowed and option is not None:
            near = schema.suggest(str(option), allowed)
            raise UserError(f"{group}: no option {str(option)!r}{near} ({group} options: {', '.join(allowed)})")
    return override


def _as_word(override: Override) -> str:
    """The word for Hydra: a group choice as it is, a value so that an unknown key reaches `config.parse`."""
    word = (override.input_line or "").lstrip("+")
    is_group = override.key_or_group in groups([]) or "/" in override.key_or_group or "@" in override.get_key_element()
    if is_group or override.type is OverrideType.DEL or override.key_or_group.startswith("hydra."):
        return word
    return f"++{word}"


def _store_plugins() -> None:
    """A plug-in needs no YAML: its options come from its signature, required ones as null."""
    store = ConfigStore.instance()
    for kind, entries in registry.REGISTRIES.items():
        for name in entries.plugin_names():
            parameters = entries.describe(name).parameters.values()
            node = {p.name: None if p.default is schema.REQUIRED else p.default for p in parameters}
            store.store(group=kind, name=name, node={"name": name, **node})


def _explain_word(word: str, error: Exception) -> str:
    key, equals, value = word.partition("=")
    if not equals:
        owners = [f"{group}={option}" for group, options in groups([]).items() for option in options if option == word]
        near = difflib.get_close_matches(word, [o for options in groups([]).values() for o in options], 1)
        owners = owners or [
            f"{group}={near[0]}" for group, options in groups([]).items() if near and near[0] in options
        ]
        return f"did you mean {' or '.join(owners)}?" if owners else "write key=value, or see dlrun --help"
    if any(mark in value for mark in "=:,()[]{} '\"\\"):
        return f"a value with such characters needs quotes inside quotes: '{key}=\"{value}\"'"
    return _first_line(error)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
